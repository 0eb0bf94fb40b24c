package worker

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/nexus-continuum/nexus/heartbeat"
	"github.com/nexus-continuum/nexus/job"
)

// When a breaker opens and closes: five failures within a minute open it, a
// minute later two successes in a row close it again.
const (
	breakerFailures = 5
	breakerWindow   = time.Minute
	breakerBucket   = 5 * time.Second
	breakerRest     = time.Minute
	breakerTrials   = 2
)

// breaker is a circuit breaker: it keeps from trying again what keeps failing.
type breaker struct {
	name    string
	circuit *gobreaker.CircuitBreaker[struct{}]
	opened  atomic.Int64 // Unix milliseconds, zero while it was never open
}

// newBreaker makes a closed breaker; onOpen is called, if set, each time it opens.
func newBreaker(name string, log *slog.Logger, now func() time.Time, onOpen func()) *breaker {
	b := &breaker{name: name}
	b.circuit = gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		Name: name, MaxRequests: breakerTrials, Interval: breakerWindow, BucketPeriod: breakerBucket, Timeout: breakerRest,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.TotalFailures >= breakerFailures },
		// That the caller went away or this process stops says nothing of what is guarded.
		IsExcluded: func(err error) bool { return errors.Is(err, context.Canceled) },
		OnStateChange: func(_ string, from, to gobreaker.State) {
			level := slog.LevelInfo
			if to == gobreaker.StateOpen {
				level = slog.LevelError
				b.opened.Store(now().UnixMilli())
			}
			log.Log(context.Background(), level, "circuit breaker "+name+" is "+to.String(), "was", from.String())
			if to == gobreaker.StateOpen && onOpen != nil {
				onOpen()
			}
		},
	})
	return b
}

// Do runs f unless the breaker is open, and counts how it went. While it is
// open the error has job.CodeUnavailable.
func (b *breaker) Do(f func() error) error {
	_, err := b.circuit.Execute(func() (struct{}, error) { return struct{}{}, f() })
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		return job.Errorf(job.CodeUnavailable, "Circuit breaker is OPEN (%s): it failed %d times within a minute; try again in a minute", b.name, breakerFailures).
			After(breakerRest).Because(err)
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

// breakers are those of one worker.
type breakers struct {
	inference, learning, storage, redis *breaker
}

func newBreakers(log *slog.Logger, now func() time.Time, onInferenceOpen func()) breakers {
	return breakers{
		inference: newBreaker("inference", log, now, onInferenceOpen),
		learning:  newBreaker("learning", log, now, nil),
		storage:   newBreaker("storage", log, now, nil),
		redis:     newBreaker("redis", log, now, nil),
	}
}

func (b *breakers) states() map[string]heartbeat.Breaker {
	out := map[string]heartbeat.Breaker{}
	for _, one := range []*breaker{b.inference, b.learning, b.storage, b.redis} {
		out[one.name] = one.state()
	}
	return out
}
