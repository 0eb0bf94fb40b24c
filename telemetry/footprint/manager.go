// Package footprint looks after the memory of one process: it knows how much there
// is, how fast it grows and how sure that is, and when it comes near a bound it
// has everybody give back what can be spared.
package footprint

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/shirou/gopsutil/v4/process"

	"github.com/nexus-continuum/nexus/internal/lifecycle"
	"github.com/nexus-continuum/nexus/telemetry/heartbeat"
)

// Options of a Manager. Zero values take the defaults given.
type Options struct {
	// WarningMB and CriticalMB are resident memory from which to warn, and from
	// which everything that can be spared is given up; 3072 and 4096.
	WarningMB, CriticalMB float64
	// Read returns the resident memory in MB; of this process.
	Read func(ctx context.Context) (mb float64, err error)
	// Free gives free memory back to the system; debug.FreeOSMemory.
	Free  func()
	Every time.Duration // 1 s
	Now   func() time.Time
	Log   *slog.Logger
}

// Defaults of the bounds, in MB: those of the runbook.
const (
	DefaultWarningMB  = 3072
	DefaultCriticalMB = 4096
)

const (
	// below is the share of a bound under which its level is left again.
	below = 0.95
	// cleanupEvery is how often memory is given back at most.
	cleanupEvery = time.Minute
)

// Relief gives up what can be spared. Below the critical bound that is only
// what is not missed at once.
type Relief func(critical bool)

// Manager watches the memory of this process.
type Manager struct {
	opt Options

	mu      sync.Mutex
	growth  Growth
	trendAt time.Time
	state   heartbeat.Memory
	cleaned time.Time
	reliefs []Relief
	faulty  bool

	life lifecycle.Life
}

// New makes a manager; it fails on bounds that cannot be meant.
func New(opt Options) (*Manager, error) {
	if opt.WarningMB == 0 {
		opt.WarningMB = DefaultWarningMB
	}
	if opt.CriticalMB == 0 {
		opt.CriticalMB = DefaultCriticalMB
	}
	if !(opt.WarningMB > 0 && opt.WarningMB < opt.CriticalMB) {
		return nil, fmt.Errorf("memory: the warning bound of %g MB must be above 0 and below the critical one, %g MB", opt.WarningMB, opt.CriticalMB)
	}
	if opt.Read == nil {
		self, err := process.NewProcess(int32(os.Getpid())) //nolint:gosec // ids of processes are 32 bits
		if err != nil {
			return nil, fmt.Errorf("memory: look at this process: %w", err)
		}
		opt.Read = func(ctx context.Context) (float64, error) {
			m, err := self.MemoryInfoWithContext(ctx)
			if err != nil {
				return 0, err
			}
			return float64(m.RSS) / (1 << 20), nil
		}
	}
	if opt.Free == nil {
		opt.Free = debug.FreeOSMemory
	}
	if opt.Every == 0 {
		opt.Every = time.Second
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	return &Manager{opt: opt, state: heartbeat.Memory{WarningMB: opt.WarningMB, CriticalMB: opt.CriticalMB, Level: heartbeat.MemoryOK}}, nil
}

// OnPressure adds something that can give memory back. Call it before Start.
func (m *Manager) OnPressure(r Relief) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reliefs = append(m.reliefs, r)
}

// Start takes a first reading and keeps reading until Stop.
func (m *Manager) Start(ctx context.Context) error {
	return m.life.Start(ctx, func(context.Context) error {
		m.observe(ctx)
		m.life.Every(m.opt.Every, m.observe)
		return nil
	})
}

// Stop ends the reading.
func (m *Manager) Stop(ctx context.Context) error {
	if err := m.life.Stop(ctx); err != nil {
		return fmt.Errorf("stop the memory manager: %w", err)
	}
	return nil
}

// State is what was last seen.
func (m *Manager) State() heartbeat.Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state
}

// Fill puts the state into a beat; hand it to heartbeat.Recorder.Fill.
func (m *Manager) Fill(b *heartbeat.Beat) { b.Memory = m.State() }

func (m *Manager) observe(ctx context.Context) {
	mb, err := m.opt.Read(ctx)
	if ctx.Err() != nil {
		return
	}
	if err != nil || math.IsNaN(mb) || math.IsInf(mb, 0) {
		m.unread(err)
		return
	}
	now := m.opt.Now()
	m.mu.Lock()
	m.faulty = false
	s := &m.state
	s.CurrentMB, s.PeakMB = mb, max(s.PeakMB, mb)
	m.growth.Add(now, mb)
	// Thousands of slopes need not be sorted more often than they change.
	if now.Sub(m.trendAt) >= growthSlot {
		m.trendAt = now
		t := m.growth.Trend()
		s.GrowthRateMBPerHour, s.GrowthConfidence = t.MBPerHour, t.Confidence
		s.GrowthLowMBPerHour, s.GrowthHighMBPerHour = t.Low, t.High
	}
	before := s.Level
	s.Level = m.level(mb, before)
	state := *s
	m.mu.Unlock()
	m.logChange(before, state)
	if state.Level != heartbeat.MemoryOK {
		m.cleanup(ctx, state.Level == heartbeat.MemoryCritical)
	}
}

// unread says once that nothing can be read.
func (m *Manager) unread(err error) {
	m.mu.Lock()
	told := m.faulty
	m.faulty = true
	m.mu.Unlock()
	if !told {
		m.opt.Log.Warn("the memory of this process cannot be read", "error", errors.Join(err))
	}
}

// level is left a little below where it was entered, so that it does not flap.
func (m *Manager) level(mb float64, before string) string {
	critical, warning := m.opt.CriticalMB, m.opt.WarningMB
	switch before {
	case heartbeat.MemoryCritical:
		critical *= below
		warning *= below
	case heartbeat.MemoryWarning:
		warning *= below
	}
	switch {
	case mb > critical:
		return heartbeat.MemoryCritical
	case mb > warning:
		return heartbeat.MemoryWarning
	}
	return heartbeat.MemoryOK
}

func (m *Manager) logChange(before string, s heartbeat.Memory) {
	if s.Level == before {
		return
	}
	figures := []any{"mb", math.Round(s.CurrentMB), "growth_mb_per_hour", math.Round(s.GrowthRateMBPerHour), "growth_confidence", s.GrowthConfidence}
	switch s.Level {
	case heartbeat.MemoryCritical:
		m.opt.Log.Error("memory is above its critical bound", append(figures, "bound_mb", s.CriticalMB)...)
	case heartbeat.MemoryWarning:
		m.opt.Log.Warn("memory is above its warning bound", append(figures, "bound_mb", s.WarningMB)...)
	default:
		m.opt.Log.Info("memory is below its bounds again", figures...)
	}
}

// Relieve gives back what can be spared, at most once a minute.
func (m *Manager) Relieve() { m.cleanup(context.Background(), false) }

func (m *Manager) cleanup(ctx context.Context, critical bool) {
	now := m.opt.Now()
	m.mu.Lock()
	if !m.cleaned.IsZero() && now.Sub(m.cleaned) < cleanupEvery {
		m.mu.Unlock()
		return
	}
	m.cleaned = now
	m.state.Cleanups++
	reliefs, before := m.reliefs, m.state.CurrentMB
	m.mu.Unlock()
	for _, r := range reliefs {
		r(critical)
	}
	m.opt.Free()
	after, err := m.opt.Read(ctx)
	if err == nil {
		m.opt.Log.Info("memory was given back", "before_mb", math.Round(before), "after_mb", math.Round(after), "critical", critical)
	}
}
