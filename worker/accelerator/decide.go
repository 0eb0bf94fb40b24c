package accelerator

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/model/cuda"
)

// Devices that may be asked for.
const (
	DeviceAuto = "auto"
	DeviceCPU  = "cpu"
	DeviceCUDA = "cuda"
)

// Wish is what was asked for.
type Wish struct {
	Device string   // one of the Device constants; empty is auto
	GPUs   []string // cards, see Pick
}

// Machine is what Decide asks of the machine.
type Machine struct {
	// Kernels names those of the cores.
	Kernels string
	// NoGPU says why no GPU can be measured; empty if one can.
	NoGPU string
	// List names the cards, Watched says which of them NVML can measure, and Measure compares
	// one with a core.
	List    func() ([]cuda.Info, error)
	Watched func(uuid string) bool
	Measure func(card cuda.Info) (Measured, error)
}

// Decision is what to compute on, and why.
type Decision struct {
	Device string
	Why    string
	Cards  []cuda.Info // none on the CPU
	From   int         // see Options
}

// Decide chooses. Asked for cuda it fails where no card can be used, since a service that
// silently ran elsewhere than told would surprise whoever planned for it.
func Decide(wish Wish, m Machine) (Decision, error) {
	cpu := func(why string) Decision {
		return Decision{Device: DeviceCPU, Why: why + "; kernels: " + m.Kernels}
	}
	switch wish.Device {
	case DeviceCPU:
		return cpu("asked for"), nil
	case DeviceAuto, "", DeviceCUDA:
	default:
		return Decision{}, fmt.Errorf("must be auto, cpu or cuda")
	}
	cards, why, err := m.usable(wish.GPUs)
	switch {
	case err != nil:
		return Decision{}, err
	case len(cards) == 0 && wish.Device == DeviceCUDA:
		return Decision{}, fmt.Errorf("no GPU can be used: %s; set NEXUS_DEVICE to auto or cpu to run without one", why)
	case len(cards) == 0:
		return cpu(why), nil
	}
	measured, err := m.Measure(cards[0])
	asked := wish.Device == DeviceCUDA
	switch {
	case err != nil && !asked:
		return cpu(fmt.Sprintf("%s could not be measured: %s", cards[0].Name, err)), nil
	case err != nil:
		why = "asked for, but it could not be measured: " + err.Error()
	case measured.From == 0 && !asked:
		return cpu(fmt.Sprintf("%s is no faster: %s", cards[0].Name, measured)), nil
	default:
		why = measured.String()
		if asked {
			why = "asked for; " + why
		}
	}
	d := Decision{Device: DeviceCUDA, Cards: cards, From: measured.From}
	if d.From == 0 {
		d.From = leastFrom
	}
	d.Why = fmt.Sprintf("%s: %s; searches of at least %d exemplars run on the card, training on the cores", names(cards), why, ScanFrom)
	return d, nil
}

// leastFrom is the smallest batch for a card that was asked for though it is not faster.
const leastFrom = 2

// usable gives the cards that were asked for and can be used, and why there are none.
func (m Machine) usable(asked []string) (cards []cuda.Info, why string, err error) {
	all, err := m.List()
	switch {
	case err != nil: // that there is none is no failure, but a reason
		return nil, cmp.Or(m.NoGPU, err.Error()), nil //nolint:nilerr // see above
	case len(all) == 0:
		return nil, "the NVIDIA driver shows no GPU", nil
	}
	picked, err := Pick(all, asked)
	if err != nil {
		return nil, "", fmt.Errorf("NEXUS_GPU_DEVICES: %w", err)
	}
	for _, c := range picked {
		switch {
		case c.Unsupported() != "":
			why = c.Unsupported()
		case m.NoGPU != "":
			why = fmt.Sprintf("%s cannot be kept within its limits: %s", c.Name, m.NoGPU)
		case !m.Watched(c.UUID):
			why = fmt.Sprintf("%s cannot be kept within its limits: NVML does not show it", c.Name)
		default:
			cards = append(cards, c)
		}
	}
	return cards, why, nil
}

func names(cards []cuda.Info) string {
	out := make([]string, len(cards))
	for i, c := range cards {
		out[i] = c.Name
	}
	return strings.Join(out, ", ")
}

// Real is the machine that the process runs on. c is the model that will be served.
func Real(library string, memoryLimit float64, c model.Config) Machine {
	return Machine{
		List: func() ([]cuda.Info, error) { return cuda.List(library) },
		Measure: func(card cuda.Info) (Measured, error) {
			return Measure(cuda.Options{Library: library, Ordinal: card.Ordinal, MemoryLimit: memoryLimit}, c)
		},
	}
}
