// Package accelerator has the GPUs of a worker compute batches: it chooses between cards and
// cores, keeps behind the governor's limits, and goes on on the cores while a card is hot,
// full or lost. Every batch is answered either way; nothing that a card fails at is lost.
package accelerator

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nexus-continuum/nexus/internal/lifecycle"
	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/model/cuda"
	"github.com/nexus-continuum/nexus/model/encoder"
	"github.com/nexus-continuum/nexus/model/kernel"
	"github.com/nexus-continuum/nexus/model/text"
	"github.com/nexus-continuum/nexus/telemetry/heartbeat"
	"github.com/nexus-continuum/nexus/worker/governor"
)

// Governor says how work on a GPU is governed; *governor.Governor does.
type Governor interface {
	Card(uuid string) governor.Card
}

// ScanFrom is how many exemplars a memory has at least where a card searches it. Cores
// search smaller ones in well under a millisecond.
const ScanFrom = 100_000

// Options of an Accelerator.
type Options struct {
	// Cards are what to compute on; Choose picks them.
	Cards []cuda.Info
	// Library is the driver's; empty is libcuda.so.1.
	Library string
	// MemoryLimit is the share of a card's memory, in percent, that everybody may use together.
	MemoryLimit float64
	// From is the least number of prompts that a card takes: the measured break-even.
	From int
	// ScanFrom is the least number of exemplars that a card searches; 0 is the constant.
	ScanFrom int
	Governor Governor
	// Every is how often a card that failed is looked at; 1 s.
	Every time.Duration
	Now   func() time.Time
	Log   *slog.Logger
}

// Accelerator is the GPUs of one worker. It implements model.Device.
type Accelerator struct {
	opt   Options
	units []*unit
	life  lifecycle.Life

	mu     sync.Mutex
	wanted *model.Placement // what the cards are to hold

	prompts, batches, searches, declined atomic.Int64
}

var _ model.Device = (*Accelerator)(nil)

// New makes an accelerator; its cards open when it starts.
func New(opt Options) *Accelerator {
	if opt.ScanFrom == 0 {
		opt.ScanFrom = ScanFrom
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
	a := &Accelerator{opt: opt}
	for _, info := range opt.Cards {
		a.units = append(a.units, &unit{info: info, opt: &a.opt})
	}
	return a
}

// Start opens the cards. One that does not open is tried again later.
func (a *Accelerator) Start(ctx context.Context) error {
	return a.life.Start(ctx, func(context.Context) error {
		a.maintain(ctx)
		a.life.Every(a.opt.Every, a.maintain)
		return nil
	})
}

// Stop closes the cards.
func (a *Accelerator) Stop(ctx context.Context) error {
	return a.life.Stop(ctx, func(context.Context) error {
		for _, u := range a.units {
			u.close()
		}
		return nil
	})
}

// maintain opens the cards that are due, and has them hold what they should.
func (a *Accelerator) maintain(context.Context) {
	a.mu.Lock()
	wanted := a.wanted
	a.mu.Unlock()
	for _, u := range a.units {
		u.maintain(wanted)
	}
}

// Place implements model.Device. It returns when the cards hold the numbers, or cannot.
func (a *Accelerator) Place(p model.Placement) {
	a.mu.Lock()
	a.wanted = &p
	a.mu.Unlock()
	for _, u := range a.units {
		u.upload(&p)
	}
}

// Encode implements model.Device.
func (a *Accelerator) Encode(of encoder.Encoder, prompts []text.Prompt, h []float32, infos []encoder.Info) bool {
	if len(prompts) < a.opt.From {
		return false
	}
	u := a.pick()
	if u == nil {
		a.declined.Add(1)
		return false
	}
	defer u.leave()
	d := of.Dim()
	for at := 0; at < len(prompts); {
		// A card that is warm takes half as many at once.
		most := u.most(len(prompts))
		n := min(most, len(prompts)-at)
		if !u.compute(func(c *cuda.Card) error {
			return c.Encode(of, prompts[at:at+n], h[at*d:(at+n)*d], infos[at:at+n])
		}) {
			a.declined.Add(1)
			return false
		}
		a.batches.Add(1)
		at += n
	}
	a.prompts.Add(int64(len(prompts)))
	return true
}

// Top implements model.Device.
func (a *Accelerator) Top(rows *kernel.Rows, queries []kernel.Query, k int, hits [][]kernel.Hit) bool {
	if rows.Len() < a.opt.ScanFrom {
		return false
	}
	u := a.pick()
	if u == nil {
		a.declined.Add(1)
		return false
	}
	defer u.leave()
	if !u.compute(func(c *cuda.Card) error { return c.Top(rows, queries, k, hits) }) {
		a.declined.Add(1)
		return false
	}
	a.searches.Add(1)
	return true
}

// pick returns the card with the least work that may compute, nil if none may. The caller
// must have it leave.
func (a *Accelerator) pick() *unit {
	var best *unit
	for _, u := range a.units {
		if u.ready() && (best == nil || u.queued.Load() < best.queued.Load()) {
			best = u
		}
	}
	if best != nil {
		best.queued.Add(1)
	}
	return best
}

// Rest is how long a worker waits before it takes another batch, after one that took so long:
// as long again while a card is busier than its limit allows, and no time else.
func (a *Accelerator) Rest(took time.Duration) time.Duration {
	for _, u := range a.units {
		if u.ready() && a.opt.Governor.Card(u.info.UUID).Slow {
			return min(took, longestRest)
		}
	}
	return 0
}

// longestRest keeps a change of mind from being seen late.
const longestRest = 250 * time.Millisecond

// State says how the cards are, for the heartbeat.
func (a *Accelerator) State() []heartbeat.Card {
	out := make([]heartbeat.Card, 0, len(a.units))
	for _, u := range a.units {
		out = append(out, u.state())
	}
	return out
}

// Counts are what the cards did since the start.
type Counts struct {
	Prompts, Batches, Searches int64
	// Declined are batches and searches that the cores computed since no card could.
	Declined int64
}

// Counts returns what the cards did.
func (a *Accelerator) Counts() Counts {
	return Counts{Prompts: a.prompts.Load(), Batches: a.batches.Load(), Searches: a.searches.Load(), Declined: a.declined.Load()}
}

// broken tells a card that must be closed from one that only lacks memory, or what was asked for.
func broken(err error) bool {
	var d *cuda.DriverError
	return errors.As(err, &d) || errors.Is(err, cuda.ErrClosed)
}
