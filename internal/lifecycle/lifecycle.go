// Package lifecycle is the one contract of everything in NEXUS that lives long:
// a Start that returns when the part is ready, a Stop that waits for its
// goroutines, both safe to call twice and in any order, and a cause that tells
// a stop from a failure.
//
// A part embeds or holds a Life and writes its own Start and Stop on top:
//
//	func (p *Poller) Start(ctx context.Context) error {
//		return p.life.Start(ctx, func(ctx context.Context) error {
//			p.life.Go(p.run)
//			return nil
//		})
//	}
//
//	func (p *Poller) Stop(ctx context.Context) error { return p.life.Stop(ctx) }
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Causes for which a life ends, besides those that Fail is given.
var (
	// ErrStopped is the cause of a life that Stop ended.
	ErrStopped = errors.New("stopped")
	// ErrAgain is returned by Start after Stop: a part lives once.
	ErrAgain = errors.New("it was stopped before and cannot be started again")
)

// Life is the time between the Start and the Stop of a part. The zero value is
// ready to use; it must not be copied after the first use.
type Life struct {
	starting sync.Mutex // held during Start, so that Stop waits for its end
	mu       sync.Mutex
	ctx      context.Context // nil before Start
	cancel   context.CancelCauseFunc
	stopped  bool
	ended    chan struct{} // closed when the goroutines have ended after Stop
	failed   error         // of what Stop ran
	loops    sync.WaitGroup
}

// Start begins the life and calls begin. The context that begin and the
// goroutines get has ctx's values but not its end: it ends with Stop or Fail.
// A second Start does nothing. If begin fails, its goroutines are ended, and
// Start may be called again.
func (l *Life) Start(ctx context.Context, begin func(ctx context.Context) error) error {
	l.starting.Lock()
	defer l.starting.Unlock()
	l.mu.Lock()
	if l.stopped || l.ctx != nil {
		stopped := l.stopped
		l.mu.Unlock()
		if stopped {
			return ErrAgain
		}
		return nil
	}
	l.ctx, l.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	life, cancel := l.ctx, l.cancel
	l.mu.Unlock()
	err := begin(life) //nolint:contextcheck // the life outlives the context of its start
	if err != nil {
		cancel(err)
		l.loops.Wait()
		l.mu.Lock()
		l.ctx, l.cancel = nil, nil
		l.mu.Unlock()
	}
	return err
}

// Go runs f in a goroutine that Stop waits for. Before Start it does nothing.
func (l *Life) Go(f func(ctx context.Context)) {
	if ctx := l.Context(); ctx != nil {
		l.loops.Go(func() { f(ctx) })
	}
}

// Every calls f at once each time that d has passed, until the life ends.
func (l *Life) Every(d time.Duration, f func(ctx context.Context)) {
	l.Go(func(ctx context.Context) {
		tick := time.NewTicker(d)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				f(ctx)
			}
		}
	})
}

// Context ends with the life; it is nil before Start.
func (l *Life) Context() context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ctx
}

// Started reports whether Start was called and has not failed.
func (l *Life) Started() bool { return l.Context() != nil }

// Fail ends the life with a cause that is not a stop. Goroutines are to end; Stop
// must be called all the same, to wait for them.
func (l *Life) Fail(cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cancel != nil {
		l.cancel(cause)
	}
}

// Cause is nil while the part lives or before it does, ErrStopped after a Stop,
// and otherwise what Fail was given.
func (l *Life) Cause() error {
	if ctx := l.Context(); ctx != nil {
		return context.Cause(ctx)
	}
	return nil
}

// Stop ends the life, calls each of ends and waits for the goroutines, until ctx
// ends. Before Start it does nothing; a second Stop waits as the first does,
// without calling ends again, and returns the same error.
func (l *Life) Stop(ctx context.Context, ends ...func(ctx context.Context) error) error {
	l.starting.Lock()
	l.mu.Lock()
	if l.ctx == nil {
		l.mu.Unlock()
		l.starting.Unlock()
		return nil
	}
	first := !l.stopped
	l.stopped = true
	if first {
		l.ended = make(chan struct{})
		l.cancel(ErrStopped)
	}
	l.mu.Unlock()
	l.starting.Unlock()
	if first {
		go func() {
			var failed error
			for _, end := range ends {
				failed = errors.Join(failed, end(ctx))
			}
			l.loops.Wait()
			l.mu.Lock()
			l.failed = failed
			l.mu.Unlock()
			close(l.ended)
		}()
	}
	select {
	case <-l.ended:
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.failed
	case <-ctx.Done():
		return fmt.Errorf("some work did not end in time: %w", ctx.Err())
	}
}

// Sleep waits for d. It returns false if ctx ends first.
func Sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
