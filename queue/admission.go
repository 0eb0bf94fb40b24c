package queue

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nexus-continuum/nexus/job"
)

// Refusals that the enqueue scripts return.
const (
	refusedFull  = -1 // as many wait as may
	refusedLate  = -2 // it would not begin before its caller gives up
	refusedDelay = -3 // the lane is overloaded lastingly
)

const (
	// shedFor is how long a process limits its requests after Redis refused a prompt
	// for overload. During that time it passes only about as many prompts to Redis as
	// the workers take. Under overload, refusals are most of the work.
	shedFor = 100 * time.Millisecond
	// shedFactor is the factor above the workers' pace at which prompts may still ask
	// Redis, so that faster workers are noticed. shedBurst is how many prompts may ask
	// at once.
	shedFactor = 1.5
	shedBurst  = 8
	// maxRetryAfter limits the wait that callers are told. By then more is known.
	maxRetryAfter = time.Minute
)

// shed records that the interactive lane is overloaded.
type shed struct {
	ends atomic.Int64 // Unix ns; looked at first, so that a calm lane costs nothing

	mu      sync.Mutex
	refusal error
	pace    float64 // tasks that the workers take a second
	passes  float64 // prompts that may ask Redis
	at      time.Time
}

// refuses returns why a prompt is refused without asking Redis, or nil if it may ask.
// take uses up that permission.
func (s *shed) refuses(take bool) error {
	if s.ends.Load() == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if now.UnixNano() >= s.ends.Load() {
		s.ends.Store(0)
		return nil
	}
	s.passes = min(s.passes+now.Sub(s.at).Seconds()*s.pace*shedFactor, shedBurst)
	s.at = now
	if s.passes < 1 {
		return s.refusal
	}
	if take {
		s.passes--
	}
	return nil
}

// note records the reply of Redis when it refused for overload.
func (s *shed) note(pending int64, wait time.Duration, refusal error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.ends.Load() == 0 {
		s.passes, s.at = 0, now
	}
	s.refusal, s.pace = refusal, 0
	if wait > 0 {
		s.pace = float64(pending) / wait.Seconds()
	}
	s.ends.Store(now.Add(shedFor).UnixNano())
}

// Overloaded returns why a prompt whose caller waits would be refused now, or nil. It
// uses only what this process knows and does not contact Redis. After nil, Redis may
// still refuse the prompt.
func (q *Queue) Overloaded() error { return q.shed.refuses(false) }

// millisLeft returns the milliseconds left until a deadline, or 0 if there is none. A past
// deadline gives a negative number.
func (q *Queue) millisLeft(deadline time.Time) int64 {
	if deadline.IsZero() {
		return 0
	}
	if left := deadline.Sub(q.now()).Milliseconds(); left != 0 {
		return left
	}
	return -1
}

// refuse returns the error for a job that was not taken. It says why, and when to try
// again.
func (q *Queue) refuse(ctx context.Context, call *enqueueCall, shard job.Lane, how recordMode, wait time.Duration, deadline time.Time) error {
	n, ahead := call.pending, call.wait
	switch call.verdict {
	case refusedDelay:
		err := overloaded(n, ahead)
		q.shed.note(n, ahead, err)
		return err
	case refusedLate:
		within := wait
		if left := time.Duration(q.millisLeft(deadline)) * time.Millisecond; left > 0 && (how != noRecord || left < within) {
			within = left
		}
		return job.Errorf(job.CodeQueueFull, "%d jobs wait already and it would take about %s until this one begins, longer than the %s it may wait; try again later",
			n, roundForDisplay(ahead), roundForDisplay(within)).After(clampRetryAfter(ahead - within))
	}
	if why := q.pausedReason(ctx, shard); why != "" {
		return job.Errorf(job.CodeQueueFull, "%d jobs wait already, as many as are allowed, and none begins: %s", n, why).After(maxRetryAfter)
	}
	return job.Errorf(job.CodeQueueFull, "%d jobs wait already, as many as are allowed; try again later", n).After(clampRetryAfter(ahead / 2))
}

// pausedReason returns why no jobs of a full lane are taken. It returns "" if jobs are
// taken, or if the state cannot be read now.
func (q *Queue) pausedReason(ctx context.Context, shard job.Lane) string {
	s, err := q.shardState(ctx, shard)
	if err != nil {
		return ""
	}
	return s.PausedWhy
}

func overloaded(pending int64, ahead time.Duration) error {
	return job.Errorf(job.CodeQueueFull, "more is asked than can be answered: %d jobs wait already, about %s of work; try again later",
		pending, roundForDisplay(ahead)).After(clampRetryAfter(ahead))
}

// clampRetryAfter limits a wait to what a caller may be told: one second to maxRetryAfter.
func clampRetryAfter(d time.Duration) time.Duration { return min(max(d, time.Second), maxRetryAfter) }

// roundForDisplay rounds a duration for display.
func roundForDisplay(d time.Duration) time.Duration {
	if d > 10*time.Second {
		return d.Round(time.Second)
	}
	return d.Round(10 * time.Millisecond)
}
