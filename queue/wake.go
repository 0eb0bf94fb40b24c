package queue

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/nexus-continuum/nexus/internal/lifecycle"
	"github.com/nexus-continuum/nexus/job"
)

const (
	// idlePollInterval is how long an idle lane waits between polls. Jobs send a notification,
	// so only a notification that was lost with a connection waits this long. asynq
	// computes the end of a lease before it dequeues, so this must stay far below 30 s.
	idlePollInterval = 2 * time.Second
	// maxRest is how long a lane rests if it is held or in trouble.
	maxRest = time.Second
	// maxDequeue limits the tasks of one dequeue, so that its script stays short.
	maxDequeue = 32
	// dequeueInterval is how long asynq sleeps after an empty dequeue. The real wait
	// happens inside the dequeue.
	dequeueInterval = time.Microsecond
)

// notifier is a latch. A notice before the wait is not lost, and several notices count
// as one.
type notifier chan struct{}

func newNotifier() notifier { return make(notifier, 1) }

func (b notifier) notify() {
	select {
	case b <- struct{}{}:
	default:
	}
}

// wakes notifies the servers of this process without a trip through Redis.
type wakes struct {
	mu        sync.RWMutex
	notifiers map[job.Lane]map[notifier]struct{}
}

func newWakes() *wakes { return &wakes{notifiers: map[job.Lane]map[notifier]struct{}{}} }

func (w *wakes) add(l job.Lane, b notifier) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.notifiers[l] == nil {
		w.notifiers[l] = map[notifier]struct{}{}
	}
	w.notifiers[l][b] = struct{}{}
}

func (w *wakes) remove(l job.Lane, b notifier) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.notifiers[l], b)
}

func (w *wakes) notify(l job.Lane) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	for b := range w.notifiers[l] {
		b.notify()
	}
}

// untilNextPoll is the time until the next common poll of this process's servers. A common
// poll wakes the process and its Redis once instead of once for each server.
func (q *Queue) untilNextPoll() time.Duration {
	return idlePollInterval - time.Since(q.born)%idlePollInterval
}

// prefetched is a task that was dequeued and not yet passed to asynq.
type prefetched struct {
	id, msg string
	ends    time.Time // its deadline by this process's own clock; zero is never
	attempt int       // that has begun with the dequeue; 0 if none has
}

// dequeue passes a task to asynq. It takes as many tasks as there are free slots and
// keeps the others for asynq's next calls. If there is none, it waits for a
// notification and tries once more. Only asynq's single processor goroutine calls it.
func (s *Server) dequeue(ctx context.Context, client redis.UniversalClient, keys []string, args []any) *redis.Cmd {
	if s.quit.Err() != nil {
		return redis.NewCmdResult(nil, redis.Nil)
	}
	if len(s.prefetched) > 0 {
		return s.nextPrefetched()
	}
	if s.isPaused() {
		s.waitForNotice(maxRest)
		s.wasEmpty = false // what came meanwhile has rung
		return redis.NewCmdResult(nil, redis.Nil)
	}
	if !s.wasEmpty {
		if cmd := s.prefetch(ctx, client, keys, args); !errors.Is(cmd.Err(), redis.Nil) {
			return cmd
		}
	}
	s.wasEmpty = false
	s.waitForNotice(s.q.untilNextPoll())
	if s.quit.Err() != nil || s.isPaused() {
		return redis.NewCmdResult(nil, redis.Nil)
	}
	cmd := s.prefetch(ctx, client, keys, args)
	// From here on new tasks send a notification, so the next call need not poll first.
	s.wasEmpty = errors.Is(cmd.Err(), redis.Nil)
	return cmd
}

func (s *Server) prefetch(ctx context.Context, client redis.UniversalClient, keys []string, args []any) *redis.Cmd {
	asked := time.Now()
	free := max(s.concurrency-int(s.withAsynq.Load()), 1)
	s.dequeueing.Lock()
	if s.isPaused() { // since it was looked at last
		s.dequeueing.Unlock()
		return redis.NewCmdResult(nil, redis.Nil)
	}
	cmd := s.q.scripts.dequeue.Run(ctx, client, keys, append(args, s.id, min(free, maxDequeue), s.keys.own, s.beginsAtOnce())...)
	got, err := cmd.StringSlice()
	if err == nil {
		s.notePrefetched(got, asked)
	}
	s.dequeueing.Unlock()
	switch {
	case errors.Is(err, redis.Nil):
		s.backoff = 0
		return redis.NewCmdResult(nil, redis.Nil)
	case err != nil:
		// asynq calls again at once; while Redis is unreachable that would be a busy
		// loop.
		s.backoff = min(max(2*s.backoff, 20*time.Millisecond), maxRest)
		lifecycle.Sleep(s.quit, s.backoff) //nolint:contextcheck // until the server quits
		return redis.NewCmdResult(nil, err)
	}
	s.backoff = 0
	return s.nextPrefetched()
}

// notePrefetched notes the tasks that the reply to a dequeue names. The caller holds taking.
func (s *Server) notePrefetched(got []string, asked time.Time) {
	for i := 0; i+3 < len(got); i += 4 {
		t := prefetched{id: got[i], msg: got[i+1]}
		// Redis reports the time left, because the clocks of hosts differ.
		if left, err := strconv.ParseInt(got[i+2], 10, 64); err == nil {
			t.ends = asked.Add(time.Duration(left) * time.Millisecond)
		}
		t.attempt, _ = strconv.Atoi(got[i+3])
		s.prefetched = append(s.prefetched, t)
		s.addInflight(t.id, t.ends, t.attempt)
	}
}

// beginsAtOnce says whether jobs begin when they are taken. Prompts do, because each
// has a free handler. A train job may wait behind another and is not running then.
func (s *Server) beginsAtOnce() string {
	if laneOf(s.lane) == job.LaneTrain {
		return "0"
	}
	return "1"
}

func (s *Server) nextPrefetched() *redis.Cmd {
	first := s.prefetched[0]
	s.prefetched = s.prefetched[1:]
	s.withAsynq.Add(1)
	return redis.NewCmdResult(first.msg, nil)
}

// requeuePrefetched frees the tasks that asynq did not fetch before it stopped.
func (s *Server) requeuePrefetched(ctx context.Context) {
	for _, t := range s.prefetched {
		s.complete(ctx, &Task{s: s, Spec: job.Spec{ID: t.id}}, time.Time{},
			outcome{state: job.StateQueued, refund: true, why: stoppedWhy})
		s.removeInflight(t.id)
	}
	s.prefetched = nil
}
