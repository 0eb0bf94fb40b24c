package governor_test

import (
	"strings"
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
	for _, asked := range []string{governor.DeviceAuto, governor.DeviceCPU} {
		h, err := s.Detect(t.Context(), asked)
		if err != nil {
			t.Fatal(err)
		}
		if h.Device != "cpu" || h.Why == "" || h.CPU.Threads < 1 || h.MemoryMB < 1 {
			t.Errorf("hardware %+v", h)
		}
	}
	for _, asked := range []string{governor.DeviceCUDA, "tpu"} {
		if _, err := s.Detect(t.Context(), asked); err == nil || !strings.Contains(err.Error(), asked) {
			t.Errorf("device %s: %v", asked, err)
		}
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
