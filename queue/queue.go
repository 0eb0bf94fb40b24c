// Package queue carries jobs between processes. Its transport is asynq on
// Redis; it owns every key there: the records of jobs, their events, the reply
// lists of waiting callers, leases, beats and the log of interactions.
//
// asynq stores, dequeues and leases tasks and serves its own tools (asynqmon,
// metrics). Where a job begins and ends this package substitutes its own Lua
// scripts for asynq's, so that the queue entry, the job's record and the reply
// to a waiting caller change in one step (see wire.go).
package queue

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/trace"

	"github.com/nexus-continuum/nexus/job"
)

// Options are what a Queue needs. Zero values take the default named beside
// each field.
type Options struct {
	// Redis is shared by everything in the queue; closing it stays with the caller.
	// It should honour the deadlines of contexts, as ladder's clients do.
	Redis redis.UniversalClient
	// Asynq makes further clients to the same Redis, for asynq's own tools.
	Asynq asynq.RedisConnOpt

	Prefix string // of every key but asynq's own; "nexus:"
	// Shards is over how many shards this process spreads the jobs of a lane, up
	// to MaxShards; 1. Processes need not agree.
	Shards int
	// MaxQueue bounds the jobs that wait in one lane; 10 000.
	MaxQueue int
	// MaxQueueDelay is how long, by the pace of its workers, a prompt whose caller
	// waits may stand in line, with the prompts that workers hold already, while the
	// lane does not run empty; what comes beyond that is refused. A burst, and as
	// many as the workers hold, pass in any case. Zero bounds nothing but the
	// number.
	MaxQueueDelay time.Duration
	// MaxAttempts bounds the runs of a job whose error is retryable; 3.
	MaxAttempts int
	// MaxLost bounds how often a job may take its worker down with it; 3.
	MaxLost int

	ResultRetention time.Duration // of succeeded and canceled records; 24 h
	FailedRetention time.Duration // of failed records; 7 days
	// ResultBytes bounds what the records of ended jobs take in Redis, all of them
	// together; the oldest go first. 0 is no bound.
	ResultBytes  int64
	LogRetention time.Duration // of the interaction log; 7 days
	LogLength    int64         // of the interaction log; 10 000

	// EventHistory bounds the events that are kept of a job; 200. The last ones
	// stay, up to a hundred more.
	EventHistory int

	// Liveness is how long after its last sign a worker process counts as
	// dead; its jobs run again within about twice that. 6 s.
	Liveness time.Duration
	// Grace is how long a stopping server lets the prompts in hand come to their
	// end before it gives them back; train jobs are given back at once. 10 s.
	Grace time.Duration
	// Patience is how long one command to Redis may take; 900 ms.
	Patience time.Duration

	// Tracer makes the spans of jobs; nil makes none.
	Tracer trace.Tracer

	Log *slog.Logger
	Now func() time.Time
}

func (o *Options) fill() {
	set(&o.Prefix, "nexus:")
	set(&o.MaxQueue, 10_000)
	set(&o.MaxAttempts, 3)
	set(&o.MaxLost, 3)
	set(&o.ResultRetention, 24*time.Hour)
	set(&o.FailedRetention, 7*24*time.Hour)
	set(&o.LogRetention, 7*24*time.Hour)
	set(&o.LogLength, 10_000)
	set(&o.EventHistory, 200)
	set(&o.Liveness, 6*time.Second)
	set(&o.Grace, 10*time.Second)
	set(&o.Patience, 900*time.Millisecond)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

func set[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

// Queue is one process's way to the jobs. It is safe for concurrent use.
type Queue struct {
	opt        Options
	id         string // of this process, in the names of its reply list and owners
	born       time.Time
	redis      redis.UniversalClient
	scripts    *scripts
	producer   *asynq.Client
	subscriber *subscriber
	shards     *shards
	replies    []*replies // by the number of the shard
	pipeliner  *pipeliner
	wakes      *wakes
	shed       shed
	watch      redisWatch
	tally      tally
	rolls      rollCalls
	books      books

	mu      sync.Mutex
	state   lifecycle
	life    context.Context // ends with Stop
	end     context.CancelFunc
	workers sync.WaitGroup
}

// lifecycle of the long-lived parts here: new, started, stopped.
type lifecycle int

const (
	fresh lifecycle = iota
	started
	stopped
)

// Open makes a Queue; nothing is sent to Redis before it is used.
func Open(opt Options) *Queue {
	opt.fill()
	q := &Queue{
		opt:     opt,
		id:      job.NewID(),
		born:    time.Now(),
		redis:   opt.Redis,
		scripts: loadScripts(opt.EventHistory, source("clock")),
		wakes:   newWakes(),
		shards:  newShards(opt.Shards),
	}
	q.life, q.end = context.WithCancel(context.Background())
	q.pipeliner = &pipeliner{client: opt.Redis}
	q.producer = asynq.NewClientFromRedisClient(&producerWire{UniversalClient: opt.Redis, pipeliner: q.pipeliner})
	q.subscriber = newSubscriber(q)
	for _, place := range q.shards.of(job.LaneInteractive) {
		q.replies = append(q.replies, newReplies(q, place))
	}
	return q
}

// Start makes the queue ready. Readers and subscribers start when they are
// first needed, so that a process pays only for the roles it plays.
func (q *Queue) Start(ctx context.Context) error { //nolint:contextcheck // what it starts lives longer
	q.mu.Lock()
	was := q.state
	if was != stopped {
		q.state = started
	}
	q.mu.Unlock()
	switch was {
	case stopped:
		return fmt.Errorf("start queue: it was stopped before")
	case fresh:
		_ = q.agree(ctx) // followed up until it works
		q.spawn(q.followShards)
	case started:
	}
	return nil
}

// Stop ends every goroutine of the queue and tells waiting callers to come
// again. Servers are stopped by their owner, before.
func (q *Queue) Stop(ctx context.Context) error {
	q.mu.Lock()
	q.state = stopped
	q.mu.Unlock()
	q.end()
	q.subscriber.close()
	for _, r := range q.replies {
		r.stop(ctx)
	}
	return wait(ctx, &q.workers, "queue")
}

// spawn runs f in a goroutine that Stop waits for; false after Stop.
func (q *Queue) spawn(f func(context.Context)) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.state == stopped {
		return false
	}
	q.workers.Go(func() { f(q.life) })
	return true
}

// Ping asks Redis for a sign of life.
func (q *Queue) Ping(ctx context.Context) error {
	ctx, cancel := q.patience(ctx)
	defer cancel()
	if err := q.redis.Ping(ctx).Err(); err != nil {
		return unavailable("ping", err)
	}
	return nil
}

// Asynq makes clients for asynq's own tools: its monitor and its metrics.
func (q *Queue) Asynq() asynq.RedisConnOpt { return q.opt.Asynq }

// patience bounds one exchange with Redis.
func (q *Queue) patience(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, q.opt.Patience)
}

func (q *Queue) now() time.Time { return q.opt.Now() }

// wait waits for wg, at most until ctx ends.
func wait(ctx context.Context, wg *sync.WaitGroup, what string) error {
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop %s: its goroutines did not end: %w", what, ctx.Err())
	}
}

// pause waits for d or for ctx to end; false in the latter case.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
