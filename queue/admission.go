package queue

import (
	"sync/atomic"
	"time"

	"github.com/nexus-continuum/nexus/job"
)

// Refusals of the scripts that enqueue.
const (
	refusedFull     = -1 // as many wait as may
	refusedLate     = -2 // it would not begin before its caller gives up
	refusedStanding = -3 // the lane is overloaded lastingly
)

const (
	// shedFor is how long a process repeats a refusal for an overloaded lane
	// without asking Redis: under overload refusals are most of the work.
	shedFor = 5 * time.Millisecond
	// retryAtMost bounds what callers are told to wait: by then more is known.
	retryAtMost = time.Minute
)

// shed remembers that the interactive lane was found overloaded.
type shed struct {
	until   atomic.Int64 // Unix ns
	pending atomic.Int64
	wait    atomic.Int64 // ns
}

func (s *shed) refuses() error {
	if time.Now().UnixNano() >= s.until.Load() {
		return nil
	}
	return overloaded(s.pending.Load(), time.Duration(s.wait.Load()))
}

func (s *shed) note(pending int64, wait time.Duration) {
	s.pending.Store(pending)
	s.wait.Store(int64(wait))
	s.until.Store(time.Now().Add(shedFor).UnixNano())
}

// within is how many ms are left of a deadline, 0 without one. It may be less
// than 0.
func (q *Queue) within(deadline time.Time) int64 {
	if deadline.IsZero() {
		return 0
	}
	if left := deadline.Sub(q.now()).Milliseconds(); left != 0 {
		return left
	}
	return -1
}

// refuse says why a job was not taken, and when another would be.
func (q *Queue) refuse(call *enqueueCall, how placing, wait time.Duration, deadline time.Time) error {
	n, ahead := call.pending, call.wait
	switch call.verdict {
	case refusedStanding:
		q.shed.note(n, ahead)
		return overloaded(n, ahead)
	case refusedLate:
		patience := wait
		if left := time.Duration(q.within(deadline)) * time.Millisecond; left > 0 && (how != forCaller || left < patience) {
			patience = left
		}
		return job.Errorf(job.CodeQueueFull, "%d jobs wait already and it would take about %s until this one begins, longer than the %s it may wait; try again later",
			n, round(ahead), round(patience)).After(between(ahead - patience))
	}
	return job.Errorf(job.CodeQueueFull, "%d jobs wait already, as many as are allowed; try again later", n).After(between(ahead / 2))
}

func overloaded(pending int64, ahead time.Duration) error {
	return job.Errorf(job.CodeQueueFull, "more is asked than can be answered: %d jobs wait already, about %s of work; try again later",
		pending, round(ahead)).After(between(ahead))
}

// between is a wait that one may be told.
func between(d time.Duration) time.Duration { return min(max(d, time.Second), retryAtMost) }

// round shows a duration to people.
func round(d time.Duration) time.Duration {
	if d > 10*time.Second {
		return d.Round(time.Second)
	}
	return d.Round(10 * time.Millisecond)
}
