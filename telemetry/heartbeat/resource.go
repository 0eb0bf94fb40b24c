package heartbeat

import (
	"context"
	"os"
	"sync"
	"time"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/process"
)

// Resources reads the CPU time of this process and of its machine.
type Resources struct {
	now func() time.Time

	mu        sync.Mutex
	self      *process.Process
	cpu       float64
	own       float64
	lastAt    time.Time
	lastOwn   float64 // CPU seconds
	lastTimes cpu.TimesStat
}

// NewResources returns a reader; now may be nil.
func NewResources(now func() time.Time) *Resources {
	if now == nil {
		now = time.Now
	}
	// Without a view of this process (no /proc) the figures stay zero.
	self, _ := process.NewProcess(int32(os.Getpid())) //nolint:gosec // ids of processes are 32 bits
	return &Resources{now: now, self: self}
}

// Read takes one reading. Percentages are averages since the reading before.
func (r *Resources) Read(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if r.self != nil {
		if t, err := r.self.TimesWithContext(ctx); err == nil {
			own := t.User + t.System
			if d := now.Sub(r.lastAt).Seconds(); !r.lastAt.IsZero() && d > 0 {
				r.own = max(0, finite(100*(own-r.lastOwn)/d))
			}
			r.lastOwn = own
		}
	}
	if t, err := cpu.TimesWithContext(ctx, false); err == nil && len(t) > 0 {
		if !r.lastAt.IsZero() {
			r.cpu = busyShare(r.lastTimes, t[0])
		}
		r.lastTimes = t[0]
	}
	r.lastAt = now
}

// Fill puts the last reading into b; hand it to Recorder.Fill.
func (r *Resources) Fill(b *Beat) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b.CPUPercent, b.ProcessCPUPercent = r.cpu, r.own
}

func busyShare(before, after cpu.TimesStat) float64 {
	idle := func(t cpu.TimesStat) float64 { return t.Idle + t.Iowait }
	all := func(t cpu.TimesStat) float64 {
		return t.User + t.System + t.Nice + t.Irq + t.Softirq + t.Steal + idle(t)
	}
	d := all(after) - all(before)
	if d <= 0 {
		return 0
	}
	return min(100, max(0, finite(100*(1-(idle(after)-idle(before))/d))))
}
