package heartbeat

import (
	"os"
	"path/filepath"
	"testing"
)

func TestResourcesOfThisProcess(t *testing.T) {
	t.Parallel()
	r := NewResources(nil)
	r.Read(t.Context())
	r.Read(t.Context())
	var b Beat
	r.Fill(&b)
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
