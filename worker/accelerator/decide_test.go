package accelerator_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/model/cuda"
	"github.com/nexus-continuum/nexus/worker/accelerator"
)

func TestDecide(t *testing.T) {
	t.Parallel()
	h100 := cuda.Info{Ordinal: 0, Name: "H100", UUID: "aa", Capability: "9.0", Major: 9}
	l4 := cuda.Info{Ordinal: 1, Name: "L4", UUID: "bb", Capability: "8.9", Major: 8, Minor: 9}
	old := cuda.Info{Ordinal: 0, Name: "P100", UUID: "cc", Capability: "6.0", Major: 6}
	faster := accelerator.Measured{From: 4, Card: 120 * time.Microsecond, Core: 1600 * time.Microsecond}
	slower := accelerator.Measured{Card: 3 * time.Millisecond, Core: time.Millisecond}
	for name, c := range map[string]struct {
		wish     accelerator.Wish
		cards    []cuda.Info
		listing  error
		noGPU    string
		blind    bool // NVML does not show the card
		measured accelerator.Measured
		failed   error // measuring

		device string
		says   string // the reason, or the error
		fails  bool
		from   int
		n      int // cards
	}{
		"cpu": {wish: accelerator.Wish{Device: "cpu"}, cards: []cuda.Info{h100}, device: "cpu", says: "asked for; kernels: avx2"},
		"auto without a driver": {
			wish: accelerator.Wish{Device: "auto"}, listing: cuda.ErrNoDriver, noGPU: "no NVIDIA driver on this machine",
			device: "cpu", says: "no NVIDIA driver on this machine; kernels: avx2",
		},
		"cuda without a driver": {
			wish: accelerator.Wish{Device: "cuda"}, listing: cuda.ErrNoDriver, noGPU: "no NVIDIA driver on this machine",
			fails: true, says: "no GPU can be used: no NVIDIA driver on this machine; set NEXUS_DEVICE to auto or cpu",
		},
		"auto, faster": {
			wish: accelerator.Wish{Device: "auto"}, cards: []cuda.Info{h100, l4}, measured: faster, device: "cuda", from: 4, n: 2,
			says: "H100, L4: 32 prompts take 120µs on the card and 1.6ms on one core; the cores compute fewer than 4 at once; searches of at least 100000 exemplars run on the card, training on the cores",
		},
		"auto, slower": {
			wish: accelerator.Wish{}, cards: []cuda.Info{h100}, measured: slower, device: "cpu", says: "H100 is no faster: 32 prompts take 3ms on the card and 1ms on one core",
		},
		"cuda, slower": {wish: accelerator.Wish{Device: "cuda"}, cards: []cuda.Info{h100}, measured: slower, device: "cuda", from: 2, n: 1, says: "asked for; 32 prompts take 3ms"},
		"auto, not measured": {
			wish: accelerator.Wish{Device: "auto"}, cards: []cuda.Info{h100}, failed: errors.New("cuCtxCreate: CUDA_ERROR_UNKNOWN"), device: "cpu", says: "could not be measured: cuCtxCreate",
		},
		"cuda, not measured": {
			wish: accelerator.Wish{Device: "cuda"}, cards: []cuda.Info{h100}, failed: cuda.ErrMemoryLimit, device: "cuda", from: 2, n: 1, says: "asked for, but it could not be measured",
		},
		"the driver does not start": {wish: accelerator.Wish{Device: "cuda"}, listing: errors.New("cuInit: CUDA_ERROR_UNKNOWN"), fails: true, says: "cuInit: CUDA_ERROR_UNKNOWN"},
		"the driver shows none":     {wish: accelerator.Wish{Device: "auto"}, device: "cpu", says: "the NVIDIA driver shows no GPU"},
		"one by number":             {wish: accelerator.Wish{Device: "auto", GPUs: []string{"1"}}, cards: []cuda.Info{h100, l4}, measured: faster, device: "cuda", from: 4, n: 1, says: "L4: "},
		"one by UUID":               {wish: accelerator.Wish{Device: "auto", GPUs: []string{"GPU-BB"}}, cards: []cuda.Info{h100, l4}, measured: faster, device: "cuda", from: 4, n: 1, says: "L4: "},
		"one that is not there": {
			wish: accelerator.Wish{Device: "auto", GPUs: []string{"7"}}, cards: []cuda.Info{h100}, fails: true, says: `NEXUS_GPU_DEVICES: GPU "7" is not there; the driver shows 0 (H100, aa)`,
		},
		"too old":         {wish: accelerator.Wish{Device: "cuda"}, cards: []cuda.Info{old}, fails: true, says: "P100 has compute capability 6.0; 7.5 (Turing) or later is needed"},
		"without NVML":    {wish: accelerator.Wish{Device: "auto"}, cards: []cuda.Info{h100}, noGPU: "NVML is missing", device: "cpu", says: "H100 cannot be kept within its limits: NVML is missing"},
		"unknown to NVML": {wish: accelerator.Wish{Device: "cuda"}, cards: []cuda.Info{h100}, blind: true, fails: true, says: "NVML does not show it"},
		"no such device":  {wish: accelerator.Wish{Device: "tpu"}, fails: true, says: "must be auto, cpu or cuda"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := accelerator.Decide(c.wish, accelerator.Machine{
				Kernels: "avx2", NoGPU: c.noGPU,
				List:    func() ([]cuda.Info, error) { return c.cards, c.listing },
				Watched: func(string) bool { return !c.blind },
				Measure: func(cuda.Info) (accelerator.Measured, error) { return c.measured, c.failed },
			})
			said := d.Why
			if err != nil {
				said = err.Error()
			}
			if (err != nil) != c.fails || d.Device != c.device || d.From != c.from || len(d.Cards) != c.n || !strings.Contains(said, c.says) {
				t.Errorf("decided %+v, %v; want %s with %d cards from %d prompts, saying %q", d, err, c.device, c.n, c.from, c.says)
			}
		})
	}
}
