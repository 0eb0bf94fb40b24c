// Package webhook sends the events of jobs to their receivers, by the Standard Webhooks
// scheme (https://www.standardwebhooks.com). Any number of deliverers share the work. An
// event arrives at least once, and the events of one job arrive in order.
package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/nexus-continuum/nexus/internal/lifecycle"
	"github.com/nexus-continuum/nexus/queue/outbox"
)

// Options of a Deliverer. Outbox and Secret are required.
type Options struct {
	Outbox *outbox.Outbox
	Secret string // whsec_…
	Guard  Guard
	// Timeout of one request, answer included; 10 s.
	Timeout time.Duration
	// Rest returns how long to wait after so many failures (from 1). False means that
	// the event is given up. nil means Backoff.
	Rest func(failures int) (time.Duration, bool)
	// AtOnce is how many requests may be under way; 64.
	AtOnce int
	Now    func() time.Time
	Log    *slog.Logger
}

// look is how often a deliverer polls. It is notified of new events, also after a lost
// connection, and knows when postponed events are due. So polling finds only events whose
// notification was lost.
const look = 15 * time.Second

// lookAgain is how soon it polls again after a failure.
const lookAgain = 2 * time.Second

// Backoff is how long to wait after so many failures: 5 s, then three times
// longer each time up to 3 h, in all about a day. Each wait varies by ±20 %, so that a
// receiver that recovers does not get all calls at once.
func Backoff(failures int) (time.Duration, bool) {
	const most = 15
	if failures > most {
		return 0, false
	}
	rest := 5 * time.Second
	for range failures - 1 {
		rest = min(3*rest, 3*time.Hour)
	}
	return time.Duration(float64(rest) * (0.8 + 0.4*rand.Float64())), true
}

// Deliverer posts events until it is stopped.
type Deliverer struct {
	opt    Options
	client *http.Client
	signer *standard.Webhook

	life lifecycle.Life
}

// New makes a deliverer; nothing is sent before Start.
func New(opt Options) (*Deliverer, error) {
	if opt.Outbox == nil {
		return nil, errors.New("webhook: an outbox is needed")
	}
	if err := CheckSecret(opt.Secret); err != nil {
		return nil, fmt.Errorf("webhook: the secret %w", err)
	}
	signer, err := standard.NewWebhook(opt.Secret)
	if err != nil {
		return nil, fmt.Errorf("webhook: %w", err)
	}
	if opt.Timeout == 0 {
		opt.Timeout = 10 * time.Second
	}
	if opt.Rest == nil {
		opt.Rest = Backoff
	}
	if opt.AtOnce == 0 {
		opt.AtOnce = 64
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	return &Deliverer{opt: opt, client: opt.Guard.client(opt.Timeout), signer: signer}, nil
}

// Start begins to deliver.
func (d *Deliverer) Start(ctx context.Context) error {
	return d.life.Start(ctx, func(context.Context) error {
		d.life.Go(d.run)
		return nil
	})
}

// Stop cancels the requests under way and waits for them. Another deliverer, or a later
// start, sends them again.
func (d *Deliverer) Stop(ctx context.Context) error {
	if err := d.life.Stop(ctx); err != nil {
		return fmt.Errorf("stop the delivery of webhooks: %w", err)
	}
	d.client.CloseIdleConnections()
	return nil
}

// run sends events, up to AtOnce at a time.
func (d *Deliverer) run(ctx context.Context) {
	var hands sync.WaitGroup
	defer hands.Wait()
	news := make(chan struct{}, 1)
	hands.Go(func() {
		d.opt.Outbox.Watch(ctx, func() {
			select {
			case news <- struct{}{}:
			default: // one notice is enough
			}
		})
	})
	done := make(chan struct{}, d.opt.AtOnce)
	timer := time.NewTimer(look)
	defer timer.Stop()
	for busy := 0; ; {
		due, next, err := d.fetch(ctx, d.opt.AtOnce-busy)
		if err != nil && ctx.Err() == nil {
			d.opt.Log.Warn("events for webhooks could not be fetched; they are looked for again", "error", err)
			next = lookAgain
		}
		for _, p := range due {
			busy++
			hands.Go(func() {
				d.handle(ctx, p)
				done <- struct{}{}
			})
		}
		timer.Reset(min(next, look))
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-news:
		case <-done:
			busy--
		}
	}
}

// fetch borrows events for longer than a request and its report can take.
func (d *Deliverer) fetch(ctx context.Context, free int) ([]outbox.Delivery, time.Duration, error) {
	if free == 0 {
		return nil, look, nil
	}
	return d.opt.Outbox.Lend(ctx, free, 3*d.opt.Timeout)
}
