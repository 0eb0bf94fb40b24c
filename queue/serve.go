package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"

	"github.com/nexus-continuum/nexus/job"
)

// Handler runs one job. It returns a job.Answer for an interact job and a job.Trained
// for a train job. It must return soon after ctx ends. It may run again for a job whose
// result could not be written.
type Handler func(ctx context.Context, t *Task) (result any, err error)

// Server takes the jobs of one lane. It starts further servers for the other shards of
// the lane (see shard.go).
type Server struct {
	q                *Queue
	lane             job.Lane
	keys             laneKeys
	concurrency      int
	totalConcurrency int // handlers of all shards together; 0 for a sibling
	handler          Handler
	id               string // owner of the tasks that it takes

	asynq      *asynq.Server
	wake       notifier
	withAsynq  atomic.Int64           // tasks with asynq
	pausedWhy  atomic.Pointer[string] // why no more are taken; empty or nil: they are
	dequeueing sync.Mutex             // held while jobs are taken, and while holding changes

	// Used only by asynq's single processor goroutine.
	backoff    time.Duration // rest after a failed dequeue
	prefetched []prefetched  // dequeued ahead
	wasEmpty   bool          // the last dequeue found nothing

	quit  context.Context // ends: take no more
	close context.CancelFunc
	// drain cancels the context of the handlers with the cause ErrDraining.
	work  context.Context
	drain context.CancelCauseFunc

	slots    chan struct{} // handlers that run; asynq frees its own too early
	mu       sync.Mutex
	state    phase
	running  map[string]*Task
	inflight map[string]inflight // tasks that were taken and have not ended, by id
	lastOK   time.Time           // owner key written
	offs     []func()

	shards []*Server
	life   sync.Mutex // held while it starts or begins to stop; before mu
	jobs   sync.WaitGroup
	chores sync.WaitGroup
}

// Serve makes a server for a lane that runs at most concurrency handlers at once. A
// process may have several servers, even for one lane.
func (q *Queue) Serve(lane job.Lane, concurrency int, h Handler) *Server {
	s := q.serve(lane, divideUp(concurrency, len(q.shards.of(lane))), h)
	s.totalConcurrency = max(concurrency, 1)
	return s
}

func (q *Queue) serve(lane job.Lane, concurrency int, h Handler) *Server {
	s := &Server{
		q: q, lane: lane, keys: q.keys(lane), concurrency: concurrency, handler: h,
		id: job.NewID(), wake: newNotifier(),
		slots: make(chan struct{}, concurrency), running: map[string]*Task{}, inflight: map[string]inflight{},
	}
	s.quit, s.close = context.WithCancel(context.Background())
	s.work, s.drain = context.WithCancelCause(context.Background())
	return s
}

// Start begins to take jobs. It does not fail if Redis is unavailable; the server
// begins once Redis is reachable.
func (s *Server) Start(ctx context.Context) error {
	if err := s.start(ctx); err != nil {
		return err
	}
	if laneOf(s.lane) != job.LaneTrain {
		s.chores.Go(func() { s.serveShards(context.WithoutCancel(ctx)) })
	}
	return nil
}

func (s *Server) start(ctx context.Context) error {
	s.life.Lock()
	defer s.life.Unlock()
	s.mu.Lock()
	if s.state != fresh {
		s.mu.Unlock()
		return fmt.Errorf("start server of lane %s: it was started or stopped before", s.lane)
	}
	s.state = started
	s.jobs.Add(1) // asynq: while it runs it may hand over a task at any time
	s.mu.Unlock()
	s.renewLiveness(ctx)
	s.q.wakes.add(s.lane, s.wake)
	s.offs = append(s.offs,
		s.q.Listen(ctx, s.keys.wake(), func(string, bool) { s.wake.notify() }),
		// No messages are sent here. The subscription itself shows that this process is
		// alive.
		s.q.Listen(ctx, s.keys.owner(s.id), func(string, bool) {}),
		s.q.Listen(ctx, s.keys.cancel(), func(id string, renewed bool) {
			if !renewed {
				s.stopJob(id, ErrCanceled)
			}
		}))
	if err := s.listen(); err != nil {
		return err
	}
	s.chores.Go(s.maintain)
	return nil
}

// never is longer than a server lives, for the intervals of asynq's loops.
const never = 24 * time.Hour

func (s *Server) listen() error {
	s.asynq = asynq.NewServerFromRedisClient(
		&serverWire{UniversalClient: s.q.redis, server: s},
		asynq.Config{
			Concurrency:              s.concurrency,
			Queues:                   map[string]int{string(s.lane): 1},
			TaskCheckInterval:        dequeueInterval,
			DelayedTaskCheckInterval: idlePollInterval,
			// Ended tasks are removed from Redis when they end, so there is nothing to
			// clean up.
			JanitorInterval: never,
			// Handlers are told to stop earlier; this is only the last resort.
			ShutdownTimeout: 30 * time.Second,
			RetryDelayFunc:  func(int, error, *asynq.Task) time.Duration { return 0 },
			IsFailure:       func(error) bool { return false },
			Logger:          asynqLog{s.q.opt.Log.With("lane", string(s.lane))},
			LogLevel:        asynq.WarnLevel,
		})
	if err := s.asynq.Start(asynq.HandlerFunc(s.process)); err != nil {
		return fmt.Errorf("start asynq for lane %s: %w", s.lane, err)
	}
	return nil
}

// Stop drains the server. It takes no further job and lets prompts finish. Then it
// tells the handlers that still run to stop (their contexts end with ErrDraining), and
// waits for them. Jobs that they hand back are free for other workers at once.
func (s *Server) Stop(ctx context.Context) error {
	s.close()
	others := s.shardServers()
	errs := make(chan error, len(others))
	for _, o := range others {
		go func() { errs <- o.stop(ctx) }()
	}
	err := s.stop(ctx)
	for range others {
		err = errors.Join(err, <-errs)
	}
	return err
}

func (s *Server) stop(ctx context.Context) error {
	s.close()
	s.life.Lock()
	s.mu.Lock()
	was := s.state
	s.state = stopped
	s.mu.Unlock()
	s.life.Unlock()
	defer s.drain(ErrDraining)
	if was == fresh {
		return nil
	}
	if was == started {
		s.q.wakes.remove(s.lane, s.wake)
		ended := make(chan struct{})
		s.chores.Go(func() {
			s.asynq.Shutdown()
			s.jobs.Done()
			close(ended)
			s.requeuePrefetched(ctx)
		})
		s.finish(ctx, ended)
		// Cancellations were received until now.
		for _, off := range s.offs {
			off()
		}
	}
	s.drain(ErrDraining)
	if err := wait(ctx, &s.jobs, "handlers of lane "+string(s.lane)); err != nil {
		return err
	}
	if err := wait(ctx, &s.chores, "server of lane "+string(s.lane)); err != nil {
		return err
	}
	s.endLiveness(ctx)
	return nil
}

// finish gives prompts time to end, which takes milliseconds. A train job may take
// hours, so it continues elsewhere.
func (s *Server) finish(ctx context.Context, ended <-chan struct{}) {
	if s.lane == job.LaneTrain {
		return
	}
	grace := time.NewTimer(s.q.opt.Grace)
	defer grace.Stop()
	select {
	case <-ended:
	case <-grace.C:
	case <-ctx.Done():
	}
}

// process is asynq's handler. It always returns nil: the end of a job is written here
// in one step, and the wire discards asynq's acknowledgement.
func (s *Server) process(actx context.Context, at *asynq.Task) error {
	defer s.withAsynq.Add(-1)
	id, _ := asynq.GetTaskID(actx)
	defer s.removeInflight(id)
	var p payload
	if err := json.Unmarshal(at.Payload(), &p); err != nil || p.ID != id {
		s.q.opt.Log.Error("a task cannot be read", "task", id, "error", err)
		s.complete(actx, &Task{s: s, Spec: job.Spec{ID: id}}, time.Time{},
			outcome{state: job.StateFailed, err: job.Errorf(job.CodeInternal, "the job could not be read")})
		return nil
	}
	t := &Task{Spec: p.Spec, Attempt: 1, EnqueuedAt: p.CreatedAt, s: s}
	actx, t.span = s.processing(actx, at.Headers(), p)
	defer t.endSpan()
	// A job ends with the work of the server, not with asynq's lease (see watchLease).
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(actx))
	defer cancel(nil)
	defer context.AfterFunc(s.work, func() { cancel(ErrDraining) })() //nolint:contextcheck // the server's own life
	t.cancel = cancel
	if !s.track(t) {
		return nil // it runs here already; that run ends it
	}
	defer s.untrack(t)
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-s.work.Done():
		s.complete(ctx, t, time.Time{}, outcome{state: job.StateQueued, refund: true, why: stoppedWhy})
		return nil
	}
	s.execute(actx, ctx, t, p)
	return nil
}

// execute begins a job, runs its handler and writes its end. ctx ends with the job, actx
// with asynq's lease of the task.
func (s *Server) execute(actx, ctx context.Context, t *Task, p payload) {
	began := time.Now()
	if ends := s.deadlineOf(p.ID, p.Deadline); !ends.IsZero() {
		var stop context.CancelFunc
		ctx, stop = context.WithDeadlineCause(ctx, ends, ErrDeadline)
		defer stop()
		if ctx.Err() != nil {
			s.complete(ctx, t, began, outcome{state: job.StateFailed, err: timeoutError()})
			return
		}
	}
	// A job whose caller still waits has no record, so it costs no command here.
	if attempt := s.begunAttempt(p.ID); attempt > 0 {
		t.recorded.Store(true)
		t.Attempt = attempt
	} else if p.ReplyTo == "" || s.q.now().UnixMilli() >= p.WaitEnds {
		if o, stop := s.begin(ctx, t); stop {
			if o != nil {
				s.complete(ctx, t, began, *o)
			}
			return
		}
	}
	defer context.AfterFunc(actx, func() { s.watchLease(t.cancel) })()
	result, err := s.run(ctx, t)
	o := judge(result, err, endedBy(ctx), t.Attempt, s.q.opt.MaxAttempts)
	if o.err != nil && o.state == job.StateFailed {
		s.q.opt.Log.Warn("a job failed", "job", p.ID, "kind", p.Kind, "attempt", t.Attempt, "code", o.err.Code, "error", o.err)
	}
	s.complete(ctx, t, began, o)
}

// watchLease cancels a job whose asynq context ended, for example because an operator
// canceled the task in asynq's monitor. The context also ends when asynq's lease
// expires during a Redis outage. That is no reason to stop, because the owner key still
// says that the task is ours.
func (s *Server) watchLease(cancel context.CancelCauseFunc) {
	if s.recentlyAlive() {
		cancel(ErrCanceled)
	}
}

// track counts a task as running here, unless it is already counted.
func (s *Server) track(t *Task) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, twice := s.running[t.Spec.ID]; twice {
		return false
	}
	s.running[t.Spec.ID] = t
	s.jobs.Add(1)
	return true
}

func (s *Server) untrack(t *Task) {
	s.mu.Lock()
	delete(s.running, t.Spec.ID)
	s.mu.Unlock()
	s.jobs.Done()
}

func (s *Server) stopJob(id string, cause error) {
	s.mu.Lock()
	t := s.running[id]
	s.mu.Unlock()
	if t != nil {
		t.cancel(cause)
	}
}

// asynqLog passes on asynq's own log lines.
type asynqLog struct{ *slog.Logger }

func (l asynqLog) Debug(a ...any) { l.Logger.Debug("asynq", "said", fmt.Sprint(a...)) }
func (l asynqLog) Info(a ...any)  { l.Logger.Info("asynq", "said", fmt.Sprint(a...)) }
func (l asynqLog) Warn(a ...any)  { l.Logger.Warn("asynq", "said", fmt.Sprint(a...)) }
func (l asynqLog) Error(a ...any) { l.Logger.Error("asynq", "said", fmt.Sprint(a...)) }

// Fatal is never called by asynq's server.
func (l asynqLog) Fatal(a ...any) { l.Logger.Error("asynq", "said", fmt.Sprint(a...)) }

var errPanic = errors.New("the handler panicked")
