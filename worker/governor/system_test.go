package governor_test

import (
	"testing"

	"github.com/nexus-continuum/nexus/worker/governor"
)

func TestSystemReadsThisMachine(t *testing.T) {
	t.Parallel()
	s, err := governor.NewSystem()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Sample(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Something to see between two readings.
	sum := 0.0
	for i := range 50_000_000 {
		sum += float64(i)
	}
	r, err := s.Sample(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if r.Cores <= 0 || r.ProcessMB < 1 || r.MemoryTotalMB < r.ProcessMB || r.MemoryUsedMB <= 0 || r.ProcessCPUPercent <= 0 || sum == 0 {
		t.Errorf("reading %+v", r)
	}
	for _, p := range []float64{r.CPUPercent, r.ProcessCPUPercent, r.MemoryPercent()} {
		if p < 0 || p > 100 {
			t.Errorf("a share of %g %%", p)
		}
	}
}

func TestDetect(t *testing.T) {
	t.Parallel()
	s, err := governor.NewSystem()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	h, noGPU := s.Detect(t.Context())
	if h.CPU.Threads < 1 || h.MemoryMB < 1 || (len(h.GPUs) == 0) != (noGPU != "") {
		t.Errorf("hardware %+v, no GPU since %q", h, noGPU)
	}
}

func BenchmarkSample(b *testing.B) {
	s, err := governor.NewSystem()
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for b.Loop() {
		if _, err := s.Sample(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
