package heartbeat

import (
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestALeakIsFoundWithinTenMinutes(t *testing.T) {
	t.Parallel()
	clk := newClock()
	var g Growth
	for i := range 600 {
		g.Add(clk.now(), 200+float64(i)/60) // 60 MB an hour
		clk.advance(time.Second)
	}
	if got := g.MBPerHour(); math.Abs(got-60) > 3 {
		t.Errorf("%v MB/h, want 60", got)
	}
}

func TestASawtoothIsNoLeak(t *testing.T) {
	t.Parallel()
	clk := newClock()
	var g Growth
	for i := range 3600 {
		g.Add(clk.now(), 200+float64(i%13)*20) // collected every 13 s
		clk.advance(time.Second)
	}
	if got := g.MBPerHour(); math.Abs(got) > 1 {
		t.Errorf("%v MB/h, want none", got)
	}
}

func TestOneJumpIsNoLeak(t *testing.T) {
	t.Parallel()
	clk := newClock()
	var g Growth
	for i := range 3600 {
		mb := 200.0
		if i > 3000 {
			mb = 280 // a bigger model was loaded
		}
		g.Add(clk.now(), mb)
		clk.advance(time.Second)
	}
	if got := g.MBPerHour(); math.Abs(got) > 1 {
		t.Errorf("%v MB/h, want none", got)
	}
}

func TestNothingIsClaimedAtStart(t *testing.T) {
	t.Parallel()
	clk := newClock()
	var g Growth
	for i := range 240 {
		g.Add(clk.now(), float64(i))
		clk.advance(time.Second)
	}
	if got := g.MBPerHour(); got != 0 {
		t.Errorf("%v MB/h in the first four minutes, want 0", got)
	}
}

func TestResourcesOfThisProcess(t *testing.T) {
	t.Parallel()
	r := NewResources(nil)
	r.Read(t.Context())
	r.Read(t.Context())
	var b Beat
	r.Fill(&b)
	if b.Memory.CurrentMB < 1 || b.Memory.PeakMB < b.Memory.CurrentMB {
		t.Errorf("memory %+v", b.Memory)
	}
	if b.CPUPercent < 0 || b.CPUPercent > 100 || b.ProcessCPUPercent < 0 {
		t.Errorf("CPU %v %% of the machine, %v %% of a core", b.CPUPercent, b.ProcessCPUPercent)
	}
}

func TestDetectFindsThisMachine(t *testing.T) {
	t.Parallel()
	h := Detect(t.Context())
	if h.CPU.Threads < 1 || h.MemoryMB < 1 || h.GPUs == nil || h.Device == "" {
		t.Errorf("%+v", h)
	}
}

func TestCgroupLimits(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		cpu, memory string
		want        Cgroup
	}{
		"limited":   {"150000 100000\n", "536870912\n", Cgroup{CPUs: 1.5, MemoryMB: 512}},
		"unlimited": {"max 100000\n", "max\n", Cgroup{}},
		"garbled":   {"x y", "?", Cgroup{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			for file, body := range map[string]string{"cpu.max": tc.cpu, "memory.max": tc.memory} {
				if err := os.WriteFile(filepath.Join(root, file), []byte(body), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if got := readCgroup(root); got != tc.want {
				t.Errorf("%+v, want %+v", got, tc.want)
			}
		})
	}
	if got := readCgroup(t.TempDir()); got != (Cgroup{}) {
		t.Errorf("without files: %+v", got)
	}
}
