package worker

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/telemetry/heartbeat"
)

// Limits of a breaker: five failures within a minute open it. A minute later, two
// successes in a row close it again.
const (
	breakerFailures = 5
	breakerWindow   = time.Minute
	// breakerBucket is the resolution of the minute in which failures are counted.
	breakerBucket = time.Second
	breakerRest   = time.Minute
	breakerTrials = 2
)

// breaker is a circuit breaker: it stops retries of what keeps failing.
type breaker struct {
	name    string
	circuit *gobreaker.CircuitBreaker[struct{}]
	now     func() time.Time
	opened  atomic.Int64          // Unix milliseconds, zero while it was never open
	last    atomic.Pointer[error] // of what it guards
}

// newBreaker makes a closed breaker; onOpen is called, if set, each time it opens.
func newBreaker(name string, log *slog.Logger, now func() time.Time, onOpen func()) *breaker {
	b := &breaker{name: name, now: now}
	b.circuit = gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		Name: name, MaxRequests: breakerTrials, Interval: breakerWindow, BucketPeriod: breakerBucket, Timeout: breakerRest,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.TotalFailures >= breakerFailures },
		// A caller that left, or a process that stops, says nothing about what is
		// guarded.
		IsExcluded: func(err error) bool { return errors.Is(err, context.Canceled) },
		OnStateChange: func(_ string, from, to gobreaker.State) {
			b.changed(log, from, to)
			if to == gobreaker.StateOpen && onOpen != nil {
				onOpen()
			}
		},
	})
	return b
}

func (b *breaker) changed(log *slog.Logger, from, to gobreaker.State) {
	text := "circuit breaker " + b.name + " is " + to.String()
	if to != gobreaker.StateOpen {
		log.Info(text, "breaker", b.name, "was", from.String())
		return
	}
	b.opened.Store(b.now().UnixMilli())
	var last error
	if p := b.last.Load(); p != nil {
		last = *p
	}
	log.Error(text, "breaker", b.name, "was", from.String(), "last_failure", last)
}

// Do runs f and counts its result. While the breaker is open, Do does not run f and
// returns an error with job.CodeUnavailable that says when to try again.
func (b *breaker) Do(f func() error) error {
	_, err := b.circuit.Execute(func() (struct{}, error) {
		err := f()
		if err != nil {
			b.last.Store(&err)
		}
		return struct{}{}, err
	})
	switch {
	case errors.Is(err, gobreaker.ErrOpenState):
		rest := time.UnixMilli(b.opened.Load()).Add(breakerRest).Sub(b.now())
		return job.Errorf(job.CodeUnavailable, "Circuit breaker is OPEN (%s): it failed %d times within a minute; try again in a minute", b.name, breakerFailures).
			After(max(rest, time.Second)).Because(err)
	case errors.Is(err, gobreaker.ErrTooManyRequests):
		return job.Errorf(job.CodeUnavailable, "Circuit breaker is OPEN (%s): it is being tried whether it works again; try again shortly", b.name).
			After(time.Second).Because(err)
	}
	return err
}

// Open reports whether Do would refuse now.
func (b *breaker) Open() bool { return b.circuit.State() == gobreaker.StateOpen }

func (b *breaker) state() heartbeat.Breaker {
	s := heartbeat.Breaker{State: b.circuit.State().String(), Failures: int(b.circuit.Counts().TotalFailures)}
	if at := b.opened.Load(); at != 0 && s.State != gobreaker.StateClosed.String() {
		s.OpenedAt = job.At(time.UnixMilli(at))
	}
	return s
}

// breakers are the circuit breakers of one worker. The inference breaker belongs to the
// model that serves (see served), because a new model has not failed yet.
type breakers struct {
	learning, storage, redis *breaker
	teacher                  *breaker // closed where there is no teacher
	embeddings               *breaker // nil where there is no embedding server
}

func newBreakers(log *slog.Logger, now func() time.Time) breakers {
	return breakers{
		learning: newBreaker("learning", log, now, nil),
		storage:  newBreaker("storage", log, now, nil),
		redis:    newBreaker("redis", log, now, nil),
		teacher:  newBreaker("teacher", log, now, nil),
	}
}

// breakerStates returns the present state of every breaker.
func (w *Worker) breakerStates() map[string]heartbeat.Breaker {
	all := []*breaker{w.breakers.learning, w.breakers.storage, w.breakers.redis, w.breakers.teacher}
	if b := w.breakers.embeddings; b != nil {
		all = append(all, b)
	}
	if s := w.served.Load(); s != nil {
		all = append(all, s.breaker)
	}
	out := make(map[string]heartbeat.Breaker, len(all))
	for _, one := range all {
		out[one.name] = one.state()
	}
	return out
}
