package governor

import (
	"context"
	"time"
)

// Sampler reads the machine. One call may take some milliseconds; the governor
// calls it from one goroutine only.
type Sampler interface {
	// Sample returns what could be read. A part that could not be read is left
	// at its zero value and named in Reading.Faults; the error is for a machine
	// of which nothing could be read.
	Sample(ctx context.Context) (Reading, error)
}

// Reading is the machine at one moment, as far as this process may use it:
// under a cgroup limit (container, systemd) the limit is the machine.
type Reading struct {
	At time.Time

	// Cores is how many cores' worth of time may be used: the cgroup quota, or
	// the number of logical cores. It may be a fraction.
	Cores float64
	// CPUPercent is the share of Cores in use by everyone, 0–100.
	CPUPercent float64
	// ProcessCPUPercent is this process's part of Cores, 0–100.
	ProcessCPUPercent float64
	// CPUTemperature is the hottest core's; zero where no sensor is.
	// CPUHigh and CPUCritical are the sensor's own limits; zero if it has none.
	CPUTemperature, CPUHigh, CPUCritical float64

	// MemoryUsedMB and MemoryTotalMB are of the machine or the cgroup, without
	// what the kernel would give back at once (page cache).
	MemoryUsedMB, MemoryTotalMB float64
	// ProcessMB is the resident memory of this process.
	ProcessMB float64
	// ProcessThreads counts operating-system threads; zero if unknown.
	ProcessThreads int

	GPUs []GPU
	// Faults says in words what could not be read.
	Faults []string
}

// MemoryPercent is the used share of the memory, 0–100.
func (r Reading) MemoryPercent() float64 {
	if r.MemoryTotalMB <= 0 {
		return 0
	}
	return 100 * r.MemoryUsedMB / r.MemoryTotalMB
}

// GPU is one graphics processor at one moment.
type GPU struct {
	Index              int     `json:"index"`
	Name               string  `json:"name"`
	UtilizationPercent float64 `json:"utilization_percent"`
	MemoryUsedMB       float64 `json:"memory_used_mb"`
	MemoryTotalMB      float64 `json:"memory_total_mb"`
	TemperatureC       float64 `json:"temperature_c"`
	PowerW             float64 `json:"power_w"`
	// UUID and, of a card cut into slices (MIG), those of the slices, without the prefix GPU- or MIG-.
	UUID   string   `json:"uuid,omitempty"`
	Slices []string `json:"slices,omitempty"`
	// Lost says why the device no longer answers; empty while it does.
	Lost string `json:"lost,omitempty"`
}

// MemoryPercent is the used share of the GPU's memory, 0–100.
func (g GPU) MemoryPercent() float64 {
	if g.MemoryTotalMB <= 0 {
		return 0
	}
	return 100 * g.MemoryUsedMB / g.MemoryTotalMB
}
