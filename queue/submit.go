package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hibiken/asynq"

	"github.com/nexus-continuum/nexus/job"
)

// payload is the content of a task: the job, and data that only this package needs.
type payload struct {
	job.Spec
	// WaitEnds is when the caller's wait ends (unix ms). From then on the job may have
	// a record although it also has a reply list.
	WaitEnds int64 `json:"outlives,omitempty"`

	shard job.Lane // empty if it is not known yet
}

// noTimeout disables asynq's own timeout, which is rounded to seconds. The server's
// context enforces deadlines instead.
const noTimeout = 10 * 365 * 24 * time.Hour

// Submit makes a record and queues the job. It returns a job.Error with CodeQueueFull
// if the lane is full, and with CodeUnavailable, within a second, if Redis is
// unreachable. An interact job also gets CodeUnavailable while Redis is nearly full.
// After an error the caller has nothing to clean up. Submitting the same id again is
// not an error.
func (q *Queue) Submit(ctx context.Context, spec job.Spec) (job.Job, error) {
	if err := q.fillSpec(&spec); err != nil {
		return job.Job{}, err
	}
	spec.ReplyTo = ""
	if s := q.CachedRedisState(); s.Full() && spec.Kind == job.KindInteract {
		return job.Job{}, job.Errorf(job.CodeUnavailable,
			"Redis has used %d of its %d MB (maxmemory): a job that nobody waits for is refused, so that callers who wait are still served; raise maxmemory or lower NEXUS_RESULT_MAX_MB",
			s.UsedBytes>>20, s.MaxBytes>>20).After(5 * time.Second)
	}
	shard := q.shards.forJob(spec.Lane, spec.ID)
	call, err := q.put(ctx, payload{Spec: spec, shard: shard}, newRecord, 0)
	if err != nil {
		return job.Job{}, err
	}
	j := newJob(spec)
	if call.pending > 0 {
		position := q.queuePosition(shard, int(call.pending))
		j.QueuePosition = &position
	}
	if call.rests {
		if why := q.pausedReason(ctx, shard); why != "" {
			j.WaitingFor = &why
		}
	}
	return j, nil
}

// fillSpec fills in what the caller may omit and rejects a spec that cannot run.
func (q *Queue) fillSpec(spec *job.Spec) error {
	if !spec.Kind.Valid() {
		return job.Errorf(job.CodeInvalid, "kind %q is unknown; it is one of %q and %q", spec.Kind, job.KindInteract, job.KindTrain).On("kind")
	}
	if spec.ID == "" {
		spec.ID = job.NewID()
	} else if _, err := job.IDTime(spec.ID); err != nil {
		return job.Errorf(job.CodeInvalid, "%v", err).On("id")
	}
	if spec.Lane == "" {
		spec.Lane = job.LaneBatch
		if spec.Kind == job.KindTrain {
			spec.Lane = job.LaneTrain
		}
	}
	if spec.CreatedAt.IsZero() {
		spec.CreatedAt = q.now()
	}
	return nil
}

// recordMode says how put handles the record of a job.
type recordMode int

const (
	noRecord       recordMode = iota // a caller waits; there is no record yet
	newRecord                        // make the record, unless it is there
	existingRecord                   // it is there, and lost its task
)

// put queues a task with its data in one step and wakes a worker. wait is how long the
// caller waits, if there is one. call holds the reply of Redis about the lane.
func (q *Queue) put(ctx context.Context, p payload, how recordMode, wait time.Duration) (call *enqueueCall, err error) {
	if how == noRecord {
		if err := q.shed.refuses(true); err != nil {
			return nil, err
		}
	}
	if p.shard == "" {
		p.shard = q.shards.forJob(p.Lane, p.ID)
	}
	ctx, headers, sent := q.sending(ctx, p)
	defer func() { sent(err) }()
	body, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("encode job %s: %w", p.ID, err)
	}
	k := q.keys(p.shard)
	call = &enqueueCall{script: q.scripts.submit, batched: true}
	switch how {
	case noRecord:
		call.script, call.batched = q.scripts.enqueue, false
		call.extra = []any{
			k.own, q.boundOf(p.shard), q.millisLeft(p.Deadline), k.reply(p.ReplyTo),
			max(wait.Milliseconds(), 1), q.opt.MaxQueueDelay.Milliseconds(),
		}
	case newRecord:
		fields := recordFields(p.Spec)
		call.extra = append([]any{k.own, q.boundOf(p.shard), q.millisLeft(p.Deadline), len(fields)}, fields...)
	case existingRecord:
		call.extra = []any{k.own, 0, 0, 0}
	}
	ctx, cancel := q.withTimeout(ctx)
	defer cancel()
	task := asynq.NewTaskWithHeaders(string(p.Kind), body, headers)
	_, err = q.producer.EnqueueContext(context.WithValue(ctx, enqueueKey{}, call), task,
		asynq.TaskID(p.ID), asynq.Queue(string(p.shard)), asynq.Timeout(noTimeout), asynq.MaxRetry(1<<20))
	switch {
	case call.err != nil:
		return nil, unavailable("enqueue job "+p.ID, call.err)
	case err != nil && !errors.Is(err, asynq.ErrTaskIDConflict):
		return nil, unavailable("enqueue job "+p.ID, err)
	case !call.done:
		return nil, fmt.Errorf("enqueue job %s: asynq no longer enqueues as this package knows it", p.ID)
	case call.verdict < 0:
		return nil, q.refuse(ctx, call, p.shard, how, wait, p.Deadline)
	}
	q.wakes.notify(p.shard)
	return call, nil
}
