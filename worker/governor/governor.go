// Package governor decides how much of the machine training may have. It reads
// the machine once a second, knows whether callers are active, and answers
// training, which asks between its slices: go on, wait so long, or hand the job
// back and say why.
package governor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nexus-continuum/nexus/internal/lifecycle"
)

// Options of a Governor. Zero values take the defaults given.
type Options struct {
	Sampler Sampler // required
	Limits  Limits
	// UseGPU says that the model runs on a GPU, so that the GPU's limits count.
	UseGPU bool
	// Every is how often the machine is read; 1 s.
	Every time.Duration
	// ActiveFor is how long after a caller was served the machine counts as
	// active; 5 s.
	ActiveFor time.Duration
	// RetryAfter is how long a job that is handed back should wait; 10 s.
	RetryAfter time.Duration
	Now        func() time.Time
	Log        *slog.Logger
	// Relieve is called, at most once a minute, when memory is near its limit;
	// the default gives free memory back to the operating system.
	Relieve func()
}

// State is what the governor last saw and decided.
type State struct {
	Mode   Mode
	Reason string
	Reading
	// PeakMB is the most resident memory that was seen.
	PeakMB float64
	// TrainingShare is what training may have of the machine, in percent.
	TrainingShare float64
	// Limits are those that are kept.
	Limits Limits
}

// Permit is the answer to a training that asks between two slices.
type Permit struct {
	// Wait is how long to wait before asking again; zero is "go on". It is
	// never long, so that a change of mind is seen soon.
	Wait time.Duration
	// HandBack says to stop and give the job back, to be tried again after
	// RetryAfter.
	HandBack   bool
	RetryAfter time.Duration
	// Reason says why, in words for people, when HandBack is set.
	Reason string
	// Critical says that work in flight must stop, not only the next slice.
	Critical bool
	// Full says that memory lacks, so that nothing more may be learned by heart
	// either. Heat, and a GPU that is lost, are no reason for that.
	Full bool
}

// Governor reads the machine and answers training. Its methods may be called by
// many goroutines at once.
type Governor struct {
	opt    Options
	budget budget

	called atomic.Int64 // when a caller was last served, Unix nanoseconds
	paused atomic.Pointer[string]

	// The loop alone writes these under mu.
	mu       sync.Mutex
	state    State
	judge    *judge
	asked    ruling // by the rules, before callers and operators count
	relieved time.Time
	faults   []string
	cards    map[string]*card // by UUID, of cards and their slices

	life lifecycle.Life
}

// longestWait bounds Permit.Wait.
const longestWait = 250 * time.Millisecond

// New makes a governor; it fails on limits that cannot be meant.
func New(opt Options) (*Governor, error) {
	if opt.Sampler == nil {
		return nil, errors.New("governor: a sampler is needed")
	}
	opt.Limits = opt.Limits.withDefaults()
	if err := opt.Limits.check(); err != nil {
		return nil, err
	}
	if opt.Every == 0 {
		opt.Every = time.Second
	}
	if opt.ActiveFor == 0 {
		opt.ActiveFor = 5 * time.Second
	}
	if opt.RetryAfter == 0 {
		opt.RetryAfter = 10 * time.Second
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Relieve == nil {
		opt.Relieve = debug.FreeOSMemory
	}
	g := &Governor{opt: opt, judge: newJudge(opt.Limits, opt.UseGPU), asked: ruling{mode: ModeIdle}, cards: map[string]*card{}}
	g.state = State{Mode: ModeIdle, Limits: opt.Limits}
	g.state.Cores = float64(runtime.GOMAXPROCS(0))
	return g, nil
}

// Start takes a first reading and keeps reading until Stop.
func (g *Governor) Start(ctx context.Context) error {
	return g.life.Start(ctx, func(context.Context) error {
		g.observe(ctx)
		g.life.Every(g.opt.Every, g.observe)
		return nil
	})
}

// Stop ends the reading; the last decision stays.
func (g *Governor) Stop(ctx context.Context) error {
	if err := g.life.Stop(ctx); err != nil {
		return fmt.Errorf("stop the governor: %w", err)
	}
	return nil
}

// Touch says that a caller was just served. It costs one atomic store.
func (g *Governor) Touch() { g.called.Store(g.opt.Now().UnixNano()) }

// Pause stops training for a reason given by people; an empty reason ends it.
func (g *Governor) Pause(reason string) {
	if reason == "" {
		g.paused.Store(nil)
		return
	}
	g.paused.Store(&reason)
}

// Spent tells how much CPU time training used since it last told.
func (g *Governor) Spent(used time.Duration) { g.budget.spend(g.opt.Now(), used) }

// Permit answers a training that asks whether it may go on.
func (g *Governor) Permit() Permit {
	now := g.opt.Now()
	mode, reason, share := g.decide(now)
	switch mode {
	case ModePaused, ModeCooling:
		g.mu.Lock()
		full := g.asked.full != ""
		g.mu.Unlock()
		return Permit{HandBack: true, RetryAfter: g.opt.RetryAfter, Reason: "governor: " + reason, Critical: mode == ModeCooling, Full: full}
	case ModeIdle, ModeActive, ModeThrottled:
	}
	g.mu.Lock()
	cores := g.state.Cores
	g.mu.Unlock()
	g.budget.setRate(now, share/100*cores)
	return Permit{Wait: min(g.budget.wait(now), longestWait)}
}

// Near says why no further jobs should be taken: a limit of memory is near,
// though not passed. It is empty if none is.
func (g *Governor) Near() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.asked.near == "" {
		return ""
	}
	return "governor: " + g.asked.near
}

// State returns what was last seen and what is decided now.
func (g *Governor) State() State {
	mode, reason, share := g.decide(g.opt.Now())
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.state
	s.Mode, s.Reason, s.TrainingShare = mode, reason, share
	s.GPUs, s.Faults = slices.Clone(s.GPUs), slices.Clone(s.Faults)
	return s
}

// decide joins what the rules ask with what callers and operators do.
func (g *Governor) decide(now time.Time) (mode Mode, reason string, share float64) {
	g.mu.Lock()
	mode, reason = g.asked.mode, g.asked.why
	g.mu.Unlock()

	active := now.Sub(time.Unix(0, g.called.Load())) < g.opt.ActiveFor
	share = g.opt.Limits.IdleCPU
	if active {
		share = min(share, g.opt.Limits.ActiveCPU)
	}
	if why := g.paused.Load(); why != nil && mode != ModeCooling {
		mode, reason = ModePaused, *why
	}
	switch mode {
	case ModePaused, ModeCooling:
		return mode, reason, 0
	case ModeThrottled:
		return mode, reason, share / 2
	case ModeIdle, ModeActive:
	}
	if active {
		return ModeActive, "callers are active", share
	}
	return ModeIdle, "no requests", share
}

// observe takes one reading and applies the rules to it.
func (g *Governor) observe(ctx context.Context) {
	reading, err := g.opt.Sampler.Sample(ctx)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		// What cannot be seen must not be used: a GPU that nobody can measure
		// may be burning. The CPU's own protection does not depend on us.
		reading = g.blind(err)
	}
	if reading.Cores <= 0 || math.IsNaN(reading.Cores) {
		reading.Cores = float64(runtime.GOMAXPROCS(0))
	}

	g.mu.Lock()
	before := g.asked.mode
	g.asked = g.judge.see(reading)
	after, why := g.asked.mode, g.asked.why
	g.judgeCards(reading.GPUs)
	peak := max(g.state.PeakMB, reading.ProcessMB)
	g.state.Reading, g.state.PeakMB = reading, peak
	fresh := !slices.Equal(g.faults, reading.Faults)
	g.faults = reading.Faults
	relieve := reading.ProcessMB >= throttleEnter*g.opt.Limits.MemoryMB && reading.At.Sub(g.relieved) >= time.Minute
	if relieve {
		g.relieved = reading.At
	}
	g.mu.Unlock()

	if after != before {
		g.opt.Log.InfoContext(ctx, "the governor changed its mode", "from", string(before), "to", string(after), "reason", why)
	}
	if fresh && len(reading.Faults) > 0 {
		g.opt.Log.WarnContext(ctx, "the machine cannot be read in full", "faults", reading.Faults)
	}
	if relieve {
		g.opt.Relieve()
	}
}

// blind is the reading when nothing could be read: the last one, with every GPU lost.
func (g *Governor) blind(err error) Reading {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.state.Reading
	r.At = g.opt.Now()
	r.Faults = []string{err.Error()}
	r.GPUs = slices.Clone(r.GPUs)
	for i := range r.GPUs {
		r.GPUs[i].Lost = err.Error()
	}
	return r
}
