package heartbeat

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nexus-continuum/nexus/internal/lifecycle"
)

// Send publishes a beat, which expires after ttl.
type Send func(ctx context.Context, id string, payload []byte, ttl time.Duration) error

// Withdraw removes the last beat of a process that ends.
type Withdraw func(ctx context.Context, id string) error

// Pulse reads the resources and sends a snapshot at each interval.
type Pulse struct {
	recorder  *Recorder
	resources *Resources
	send      Send
	withdraw  Withdraw
	log       *slog.Logger
	interval  time.Duration

	calls func(ctx context.Context, beat func(context.Context)) // nil: nobody calls

	life    lifecycle.Life
	sending sync.Mutex // held while a beat is made and sent: they arrive in their order
	failed  bool
	over    bool
}

// Interval is how often a process beats. A beat expires after three intervals, so that
// one lost message does not make a process vanish.
const Interval = time.Second

// NewPulse returns a pulse that beats every Interval once started. withdraw may
// be nil.
func NewPulse(recorder *Recorder, resources *Resources, send Send, withdraw Withdraw, log *slog.Logger) *Pulse {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	recorder.Fill(resources.Fill)
	return &Pulse{recorder: recorder, resources: resources, send: send, withdraw: withdraw, log: log, interval: Interval}
}

// OnCalls makes the process also beat on request: listen gets the function to call then.
// Call OnCalls before Start.
func (p *Pulse) OnCalls(listen func(ctx context.Context, beat func(context.Context))) *Pulse {
	p.calls = listen
	return p
}

// Start sends the first beat and begins beating. A send that fails is logged
// once and tried again at the next beat.
func (p *Pulse) Start(ctx context.Context) error {
	return p.life.Start(ctx, func(life context.Context) error {
		p.beat(ctx)
		p.life.Every(p.interval, p.beat)
		if p.calls != nil {
			p.calls(life, p.sendBeat)
		}
		return nil
	})
}

// Stop ends the beats and withdraws the last one, so that a process that stopped normally
// is no longer counted.
func (p *Pulse) Stop(ctx context.Context) error {
	started := p.life.Started()
	if err := p.life.Stop(ctx); err != nil {
		return fmt.Errorf("stop the heartbeat: %w", err)
	}
	if p.withdraw == nil || !started {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, p.interval)
	defer cancel()
	p.beat(ctx) // what was counted since the last one stays in the totals
	p.sending.Lock()
	p.over = true // a beat after the withdrawal would count twice
	p.sending.Unlock()
	if err := p.withdraw(ctx, p.recorder.ID()); err != nil {
		p.log.Warn("the last heartbeat could not be withdrawn; it is forgotten by itself", "error", err)
	}
	return nil
}

func (p *Pulse) beat(ctx context.Context) {
	p.resources.Read(ctx)
	p.sendBeat(ctx)
}

// sendBeat sends a beat with the resources as they were last read.
func (p *Pulse) sendBeat(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, p.interval)
	defer cancel()
	p.sending.Lock()
	defer p.sending.Unlock()
	if p.over {
		return
	}
	b := p.recorder.Snapshot()
	payload, err := json.Marshal(b)
	if err == nil {
		err = p.send(ctx, b.ID, payload, 3*p.interval)
	}
	if (err != nil) != p.failed && ctx.Err() != context.Canceled {
		p.failed = err != nil
		if err != nil {
			p.log.Warn("heartbeat not sent; trying again each second", "error", err)
		} else {
			p.log.Info("heartbeat sent again")
		}
	}
}
