// Package cuda computes on NVIDIA cards: prompts to their unit vectors, and the nearest
// exemplars of a memory. It is a faster way to the same numbers: what it returns agrees
// with packages flow, layer and kernel, which stay the reference.
//
// The driver's library, libcuda.so.1, is opened at run time; nothing of CUDA is needed to
// build. The kernels are in folder device, compiled ahead of time to PTX. Nobody has run
// them on a card yet: they are shown to be right on the host only, where the tests compile
// the same source.
package cuda

import (
	"errors"
	"fmt"
)

// Library is the driver's library.
const Library = "libcuda.so.1"

// Info describes a card as the driver sees it: CUDA_VISIBLE_DEVICES hides cards and
// chooses slices of them (MIG).
type Info struct {
	Ordinal  int
	Name     string
	UUID     string // without the prefix GPU- or MIG-
	MemoryMB int64
	// Capability is the compute capability, such as 9.0.
	Capability   string
	Major, Minor int // of the capability
}

// Unsupported says why the kernels do not run on a card; empty if they do.
func (i Info) Unsupported() string {
	if i.Major > 7 || i.Major == 7 && i.Minor >= 5 {
		return ""
	}
	return fmt.Sprintf("%s has compute capability %s; 7.5 (Turing) or later is needed", i.Name, i.Capability)
}

// Errors that callers tell apart.
var (
	// ErrNoDriver: the machine has no driver, or one that is too old.
	ErrNoDriver = errors.New("no usable NVIDIA driver")
	// ErrMemoryLimit: the memory would pass the limit that was set for the card, or the card
	// has no more. Nothing was allocated.
	ErrMemoryLimit = errors.New("the memory limit of the GPU would be passed")
	// ErrNotHere: the weights or exemplars asked for are not on the card.
	ErrNotHere = errors.New("not on the card")
	// ErrClosed: the card was closed.
	ErrClosed = errors.New("the card is closed")
)

// DriverError is a call of the driver that failed. The card that made it must be closed:
// most failures leave it of no use until it is opened again.
type DriverError struct {
	Call string
	Code int
	Name string // such as CUDA_ERROR_ECC_UNCORRECTABLE
}

func (e *DriverError) Error() string { return fmt.Sprintf("%s: %s", e.Call, e.Name) }

// Options of Open.
type Options struct {
	// Library is the path of the driver's library; empty is Library.
	Library string
	// Ordinal is the number of the card among those that the driver shows.
	Ordinal int
	// MemoryLimit is the share of the card's memory, in percent, that must not be passed
	// by everybody together; 0 is 100.
	MemoryLimit float64
}
