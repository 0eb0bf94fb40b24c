package governor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/mem"
	"github.com/shirou/gopsutil/v4/process"
	"github.com/shirou/gopsutil/v4/sensors"
)

// System is the Sampler of the real machine: gopsutil for the machine and the
// process, the files of the control group for its limits, NVML for GPUs.
type System struct {
	group *cgroup
	self  *process.Process
	gpus  *gpus

	lastAt    time.Time
	lastTimes cpu.TimesStat
	lastGroup time.Duration
	lastSelf  float64 // CPU seconds

	hotAt                   time.Time
	hot, hotHigh, hotCritic float64
}

// sensorsEvery is how often temperatures of the CPU are read: it takes a file
// for each sensor, and they move slowly.
const sensorsEvery = 5 * time.Second

// NewSystem looks for what can be read on this machine. Close it when done.
func NewSystem() (*System, error) {
	return newSystem(os.DirFS("/"))
}

func newSystem(root fs.FS) (*System, error) {
	self, err := process.NewProcess(int32(os.Getpid())) //nolint:gosec // ids of processes are 32 bits
	if err != nil {
		return nil, fmt.Errorf("governor: look at this process: %w", err)
	}
	return &System{group: findCgroup(root), self: self, gpus: findGPUs()}, nil
}

// Close gives the GPU library back.
func (s *System) Close() { s.gpus.close() }

// Sample reads everything. Percentages are averages since the call before; the
// first call has none.
func (s *System) Sample(ctx context.Context) (Reading, error) {
	r := Reading{At: time.Now(), Cores: float64(runtime.NumCPU())}
	quota, group := s.group.quota()
	if quota > 0 {
		r.Cores = min(r.Cores, quota)
	}
	var faults []error
	note := func(what string, err error) {
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", what, err))
		}
	}
	note("CPU", s.sampleCPU(ctx, &r, group))
	note("process", s.sampleSelf(ctx, &r))
	note("memory", s.sampleMemory(ctx, &r))
	s.sampleHeat(ctx, &r)
	gpus, err := s.gpus.sample()
	note("GPU", err)
	r.GPUs = gpus
	s.lastAt = r.At
	if ctx.Err() != nil {
		return Reading{}, ctx.Err()
	}
	for _, f := range faults {
		r.Faults = append(r.Faults, f.Error())
	}
	if len(faults) >= 3 && r.ProcessMB == 0 && r.MemoryTotalMB == 0 {
		return Reading{}, fmt.Errorf("read the machine: %w", errors.Join(faults...))
	}
	return r, nil
}

func (s *System) sampleCPU(ctx context.Context, r *Reading, group string) error {
	passed := r.At.Sub(s.lastAt).Seconds()
	// Under a quota the machine is the quota: what counts is the group's own use.
	if used, ok := s.group.usage(group); ok && group != "" {
		if !s.lastAt.IsZero() && passed > 0 {
			r.CPUPercent = percent((used - s.lastGroup).Seconds(), passed*r.Cores)
		}
		s.lastGroup = used
		return nil
	}
	t, err := cpu.TimesWithContext(ctx, false)
	if err != nil || len(t) == 0 {
		return errors.Join(err, errors.New("no times"))
	}
	if !s.lastAt.IsZero() {
		idle := t[0].Idle + t[0].Iowait - s.lastTimes.Idle - s.lastTimes.Iowait
		all := total(t[0]) - total(s.lastTimes)
		r.CPUPercent = percent(all-idle, all)
	}
	s.lastTimes = t[0]
	return nil
}

func total(t cpu.TimesStat) float64 {
	return t.User + t.System + t.Nice + t.Irq + t.Softirq + t.Steal + t.Idle + t.Iowait
}

func percent(part, whole float64) float64 {
	if whole <= 0 {
		return 0
	}
	return min(100, max(0, 100*part/whole))
}

func (s *System) sampleSelf(ctx context.Context, r *Reading) error {
	m, err := s.self.MemoryInfoWithContext(ctx)
	if err != nil {
		return err
	}
	r.ProcessMB = float64(m.RSS) / (1 << 20)
	t, err := s.self.TimesWithContext(ctx)
	if err != nil {
		return err
	}
	used := t.User + t.System
	if passed := r.At.Sub(s.lastAt).Seconds(); !s.lastAt.IsZero() {
		r.ProcessCPUPercent = percent(used-s.lastSelf, passed*r.Cores)
	}
	s.lastSelf = used
	return nil
}

func (s *System) sampleMemory(ctx context.Context, r *Reading) error {
	m, err := mem.VirtualMemoryWithContext(ctx)
	if err == nil {
		r.MemoryTotalMB = float64(m.Total) / (1 << 20)
		r.MemoryUsedMB = float64(m.Total-m.Available) / (1 << 20)
	}
	if used, limit := s.group.memoryMB(); limit > 0 && (r.MemoryTotalMB == 0 || limit < r.MemoryTotalMB) {
		r.MemoryUsedMB, r.MemoryTotalMB = used, limit
		return nil
	}
	return err
}

// sampleHeat keeps the hottest sensor that belongs to a CPU. Many machines have
// none, which is no fault.
func (s *System) sampleHeat(ctx context.Context, r *Reading) {
	if r.At.Sub(s.hotAt) >= sensorsEvery {
		s.hotAt, s.hot, s.hotHigh, s.hotCritic = r.At, 0, 0, 0
		// gopsutil returns what it could read beside warnings for the rest.
		all, _ := sensors.TemperaturesWithContext(ctx)
		for _, t := range all {
			name := strings.ToLower(t.SensorKey)
			if t.Temperature <= s.hot || !containsAny(name, "core", "cpu", "k10temp", "package", "tctl") {
				continue
			}
			s.hot, s.hotHigh, s.hotCritic = t.Temperature, t.High, t.Critical
		}
	}
	r.CPUTemperature, r.CPUHigh, r.CPUCritical = s.hot, s.hotHigh, s.hotCritic
}

func containsAny(s string, parts ...string) bool {
	for _, p := range parts {
		if strings.Contains(s, p) {
			return true
		}
	}
	return false
}
