// Package queue carries jobs between processes. Its transport is asynq on
// Redis; it owns their keys there: the records of jobs, their events, the reply
// lists of waiting callers, and leases.
//
// asynq stores, dequeues and leases tasks and serves its own tools (asynqmon,
// metrics). Where a job begins and ends this package substitutes its own Lua
// scripts for asynq's, so that the queue entry, the job's record and the reply
// to a waiting caller change in one step (see wire.go).
package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/trace"

	"github.com/nexus-continuum/nexus/internal/lease"
	"github.com/nexus-continuum/nexus/internal/pipeline"
	"github.com/nexus-continuum/nexus/internal/pubsub"
	"github.com/nexus-continuum/nexus/internal/redisfault"
	"github.com/nexus-continuum/nexus/internal/redishealth"
	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/queue/reply"
)

// Options configure a Queue. Zero values take the default named beside each field.
type Options struct {
	// Redis is shared by everything in the queue; the caller closes it. It should
	// honour the deadlines of contexts, as the clients of package provider do.
	Redis redis.UniversalClient
	// Asynq makes further clients to the same Redis, for asynq's own tools.
	Asynq asynq.RedisConnOpt

	Prefix string // of every key but asynq's own; "nexus:"
	// Shards is the number of shards over which this process spreads the jobs of a
	// lane, up to MaxShards; default 1. Processes may use different numbers.
	Shards int
	// MaxQueue limits the jobs that wait in one lane; default 10 000.
	MaxQueue int
	// MaxQueueDelay is the longest estimated wait under sustained load, for a prompt
	// whose caller waits. The estimate uses the pace of the workers and includes the
	// prompts that they already hold. Further prompts are refused while the lane does
	// not run empty. A burst, and as many prompts as the workers hold, are always
	// accepted. Zero means that only MaxQueue applies.
	MaxQueueDelay time.Duration
	// MaxAttempts limits the runs of a job with a retryable error; default 3.
	MaxAttempts int
	// MaxLost limits how often a job may take its worker down; default 3.
	MaxLost int

	ResultRetention time.Duration // of succeeded and canceled records; 24 h
	FailedRetention time.Duration // of failed records; 7 days
	// ResultBytes limits the total size of the records of ended jobs in Redis, in
	// bytes. The oldest are dropped first. 0 means no limit.
	ResultBytes int64

	// EventHistory limits the events that are kept for a job; default 200. The latest
	// are kept, and up to a hundred more.
	EventHistory int

	// Liveness is the time without a sign of life after which a worker process counts
	// as dead; default 6 s. Its jobs run again within about twice that time.
	Liveness time.Duration
	// Grace is how long a stopping server lets running prompts finish before it hands
	// them back; default 10 s. Train jobs are handed back at once.
	Grace time.Duration
	// Timeout is how long one command to Redis may take; default 900 ms.
	Timeout time.Duration

	// Delivered finds the job of an answer that was delivered while its caller waited.
	// Such a job has no record. Nil means that none is found. Errors: CodeNotFound,
	// CodeUnavailable.
	Delivered func(ctx context.Context, id string) (job.Job, error)

	// Tracer makes the spans of jobs; nil means no spans.
	Tracer trace.Tracer

	Log *slog.Logger
	Now func() time.Time
}

func (o *Options) fill() {
	o.Prefix = cmp.Or(o.Prefix, "nexus:")
	o.MaxQueue = cmp.Or(o.MaxQueue, 10_000)
	o.MaxAttempts = cmp.Or(o.MaxAttempts, 3)
	o.MaxLost = cmp.Or(o.MaxLost, 3)
	o.ResultRetention = cmp.Or(o.ResultRetention, 24*time.Hour)
	o.FailedRetention = cmp.Or(o.FailedRetention, 7*24*time.Hour)
	o.EventHistory = cmp.Or(o.EventHistory, 200)
	o.Liveness = cmp.Or(o.Liveness, 6*time.Second)
	o.Grace = cmp.Or(o.Grace, 10*time.Second)
	o.Timeout = cmp.Or(o.Timeout, 900*time.Millisecond)
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	if o.Now == nil {
		o.Now = time.Now
	}
}

// The embedded parts of a Queue: its users publish and subscribe, and ask for the health
// of Redis, without knowing them.
type (
	bus    = pubsub.Bus
	health = redishealth.Monitor
)

// Queue is the connection of one process to the jobs. It is safe for concurrent use.
type Queue struct {
	opt       Options
	id        string // of this process, in the names of its reply list and owners
	born      time.Time
	redis     redis.UniversalClient
	scripts   *scripts
	producer  *asynq.Client
	*bus      // messages between processes
	*health   // Redis
	shards    *shards
	replies   []*reply.List // by the number of the shard
	pipeliner *pipeline.Pipeliner
	wakes     *wakes
	shed      shed

	mu      sync.Mutex
	state   phase
	life    context.Context // ends with Stop
	end     context.CancelFunc
	workers sync.WaitGroup
}

// phase is the state of a long-lived part: new, started or stopped.
type phase int

const (
	fresh phase = iota
	started
	stopped
)

// Open makes a Queue. It sends nothing to Redis before the first use.
func Open(opt Options) *Queue {
	opt.fill()
	q := &Queue{
		opt:     opt,
		id:      job.NewID(),
		born:    time.Now(),
		redis:   opt.Redis,
		scripts: loadScripts(opt.EventHistory, source("shared/clock")),
		wakes:   newWakes(),
		shards:  newShards(opt.Shards),
	}
	k := q.keys(job.LaneInteractive)
	q.bus = pubsub.New(opt.Redis, opt.Prefix, opt.Timeout)
	q.health = redishealth.New(redishealth.Options{Redis: opt.Redis, Own: k.own, Asynq: k.asynq, Timeout: opt.Timeout})
	q.life, q.end = context.WithCancel(context.Background())
	q.pipeliner = pipeline.New(opt.Redis)
	q.producer = asynq.NewClientFromRedisClient(&producerWire{UniversalClient: opt.Redis, pipeliner: q.pipeliner})
	for _, place := range q.shards.of(job.LaneInteractive) {
		q.replies = append(q.replies, reply.New(reply.Options{
			Redis: opt.Redis, Key: q.keys(place).reply(q.id), Tasks: q.keys(place).tasks(), Timeout: opt.Timeout, Log: opt.Log,
		}))
	}
	return q
}

// Start makes the queue ready. Readers and subscribers start when they are first
// needed, so that a process pays only for its own roles.
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
		_ = q.syncShardCount(ctx) // followed up until it works
		q.spawn(q.followShards)
	case started:
	}
	return nil
}

// Stop ends every goroutine of the queue and tells waiting callers to try again. The
// owner of the servers must stop them first.
func (q *Queue) Stop(ctx context.Context) error {
	q.mu.Lock()
	q.state = stopped
	q.mu.Unlock()
	q.end()
	q.bus.Stop()
	q.health.Stop()
	var err error
	for _, r := range q.replies {
		err = errors.Join(err, r.Stop(ctx))
	}
	return errors.Join(err, wait(ctx, &q.workers, "queue"))
}

// spawn runs f in a goroutine that Stop waits for. It returns false after Stop.
func (q *Queue) spawn(f func(context.Context)) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.state == stopped {
		return false
	}
	q.workers.Go(func() { f(q.life) })
	return true
}

// Lease prepares a lease in the Redis of the queue (see lease.New).
func (q *Queue) Lease(name string, ttl time.Duration) *lease.Lease {
	return lease.New(lease.Options{Redis: q.redis, Bus: q.bus, Prefix: q.opt.Prefix, Timeout: q.opt.Timeout, Log: q.opt.Log}, name, ttl)
}

// Asynq returns the option that makes clients for asynq's own tools: its monitor and
// its metrics.
func (q *Queue) Asynq() asynq.RedisConnOpt { return q.opt.Asynq }

// withTimeout limits one exchange with Redis to Options.Timeout.
func (q *Queue) withTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, q.opt.Timeout)
}

func (q *Queue) now() time.Time { return q.opt.Now() }

// wait waits for wg, but no longer than ctx.
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

// unavailable is the error that a caller gets when Redis fails.
func unavailable(tried string, err error) *job.Error { return redisfault.Unavailable(tried, err) }
