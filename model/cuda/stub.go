//go:build !(linux && cgo)

package cuda

import (
	"fmt"

	"github.com/nexus-continuum/nexus/model/encoder"
	"github.com/nexus-continuum/nexus/model/kernel"
	"github.com/nexus-continuum/nexus/model/text"
)

// Card stands in where no GPU is used: what governs one, NVML, needs cgo and Linux.
type Card struct{ Info }

// Usage is the memory of a card, in bytes.
type Usage struct{ Ours, Used, Total uint64 }

var errBuild = fmt.Errorf("%w: this binary was built without cgo, or for another system than Linux", ErrNoDriver)

// List finds nothing.
func List(string) ([]Info, error) { return nil, errBuild }

// Open fails.
func Open(Options) (*Card, error) { return nil, errBuild }

// Load fails, as all that follow do.
func (*Card) Load(encoder.Encoder, encoder.Weights, encoder.Options) error { return errBuild }

// Place fails.
func (*Card) Place(*kernel.Rows) error { return errBuild }

// Encode fails.
func (*Card) Encode(encoder.Encoder, []text.Prompt, []float32, []encoder.Info) error { return errBuild }

// Top fails.
func (*Card) Top(*kernel.Rows, []kernel.Query, int, [][]kernel.Hit) error { return errBuild }

// Usage fails.
func (*Card) Usage() (Usage, error) { return Usage{}, errBuild }

// Close does nothing.
func (*Card) Close() {}
