package heartbeat

import (
	"context"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/klauspost/cpuid/v2"
	"github.com/shirou/gopsutil/v4/mem"
)

// Hardware is what a host offers.
type Hardware struct {
	CPU      CPU    `json:"cpu"`
	MemoryMB int64  `json:"memory_mb"`
	Cgroup   Cgroup `json:"cgroup"`
	GPUs     []GPU  `json:"gpus"`
	// Device is what the worker computes on, Why the reason for the choice.
	Device string `json:"device"`
	Why    string `json:"why"`
}

// CPU describes the processor.
type CPU struct {
	Model    string   `json:"model"`
	Cores    int      `json:"cores"`   // physical, as the processor reports them
	Threads  int      `json:"threads"` // usable by this process
	Vector   []string `json:"vector"`
	Platform string   `json:"platform"`
}

// Cgroup holds the limits of the control group; zero is none.
type Cgroup struct {
	CPUs     float64 `json:"cpus"`
	MemoryMB int64   `json:"memory_mb"`
}

// GPU describes one accelerator.
type GPU struct {
	Name       string `json:"name"`
	MemoryMB   int64  `json:"memory_mb"`
	Driver     string `json:"driver"`
	Capability string `json:"capability"`
}

// Detect looks at this machine. It finds no GPUs: whoever can drive one adds it.
func Detect(ctx context.Context) Hardware {
	h := Hardware{
		CPU: CPU{
			Model: cpuid.CPU.BrandName, Cores: cpuid.CPU.PhysicalCores, Threads: runtime.GOMAXPROCS(0),
			Vector: vectorExtensions(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
		},
		Cgroup: readCgroup("/sys/fs/cgroup"),
		GPUs:   []GPU{},
		Device: "cpu",
		Why:    "no GPU was looked for",
	}
	if m, err := mem.VirtualMemoryWithContext(ctx); err == nil {
		h.MemoryMB = int64(m.Total >> 20)
	}
	return h
}

func vectorExtensions() []string {
	out := []string{}
	for _, f := range []struct {
		name string
		id   cpuid.FeatureID
	}{
		{"avx2", cpuid.AVX2},
		{"fma3", cpuid.FMA3},
		{"avx512f", cpuid.AVX512F},
		{"avx512vnni", cpuid.AVX512VNNI},
		{"avxvnni", cpuid.AVXVNNI},
		{"asimd", cpuid.ASIMD},
	} {
		if cpuid.CPU.Supports(f.id) {
			out = append(out, f.name)
		}
	}
	return out
}

// readCgroup reads the version 2 limits of the group mounted at root.
func readCgroup(root string) Cgroup {
	var c Cgroup
	if b, err := os.ReadFile(root + "/cpu.max"); err == nil {
		if f := strings.Fields(string(b)); len(f) == 2 && f[0] != "max" {
			quota, err1 := strconv.ParseFloat(f[0], 64)
			period, err2 := strconv.ParseFloat(f[1], 64)
			if err1 == nil && err2 == nil && period > 0 {
				c.CPUs = quota / period
			}
		}
	}
	if b, err := os.ReadFile(root + "/memory.max"); err == nil {
		if n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil {
			c.MemoryMB = n >> 20
		}
	}
	return c
}
