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

// payload is what a task carries: the job, and what only this package needs.
type payload struct {
	job.Spec
	// Outlives is when the caller's wait runs out (unix ms). From then on the
	// job may have a record although it has a reply list too.
	Outlives int64 `json:"outlives,omitempty"`

	place job.Lane // its shard, if that is known already
}

// faraway keeps asynq's own timeout, which it rounds to seconds, out of the
// way: deadlines are kept by the server's context.
const faraway = 10 * 365 * 24 * time.Hour

// Submit makes a record and queues the job. It answers job.Error with
// CodeQueueFull when the lane is full and CodeUnavailable, within a second,
// when Redis is gone; then nothing was stored that the caller must know of.
// Submitting the same id again is no error.
func (q *Queue) Submit(ctx context.Context, spec job.Spec) (job.Job, error) {
	if err := q.complete(&spec); err != nil {
		return job.Job{}, err
	}
	spec.ReplyTo = ""
	if s := q.lately(); s.Full() && spec.Kind == job.KindInteract {
		return job.Job{}, job.Errorf(job.CodeUnavailable,
			"Redis has used %d of its %d MB (maxmemory): a job that nobody waits for is refused, so that callers who wait are still served; raise maxmemory or lower NEXUS_RESULT_MAX_MB",
			s.UsedBytes>>20, s.MaxBytes>>20).After(5 * time.Second)
	}
	place := q.shards.place(spec.Lane, spec.ID)
	call, err := q.put(ctx, payload{Spec: spec, place: place}, withRecord, 0)
	if err != nil {
		return job.Job{}, err
	}
	j := newJob(spec)
	if call.pending > 0 {
		position := q.queuePosition(place, int(call.pending))
		j.QueuePosition = &position
	}
	if call.rests {
		if why := q.standsStill(ctx, place); why != "" {
			j.WaitingFor = &why
		}
	}
	return j, nil
}

// complete fills what the caller may leave out and refuses what cannot be run.
func (q *Queue) complete(spec *job.Spec) error {
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

// placing says how put treats the record of a job.
type placing int

const (
	forCaller  placing = iota // a caller waits; there is no record yet
	withRecord                // make the record, unless it is there
	forRecord                 // it is there, and lost its task
)

// put queues a task, with what belongs to it, in one step, and wakes a worker.
// wait is how long the caller waits, if one does. It returns what Redis said of
// the lane.
func (q *Queue) put(ctx context.Context, p payload, how placing, wait time.Duration) (call *enqueueCall, err error) {
	if how == forCaller {
		if err := q.shed.refuses(true); err != nil {
			return nil, err
		}
	}
	if p.place == "" {
		p.place = q.shards.place(p.Lane, p.ID)
	}
	ctx, headers, sent := q.sending(ctx, p)
	defer func() { sent(err) }()
	body, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("encode job %s: %w", p.ID, err)
	}
	k := q.keys(p.place)
	call = &enqueueCall{script: q.scripts.submit}
	switch how {
	case forCaller:
		call.script = q.scripts.enqueue
		call.extra = []any{
			k.own, q.boundOf(p.place), q.within(p.Deadline), k.reply(p.ReplyTo),
			max(wait.Milliseconds(), 1), q.opt.MaxQueueDelay.Milliseconds(),
		}
	case withRecord:
		call.extra = append([]any{k.own, q.boundOf(p.place), q.within(p.Deadline)}, recordFields(p.Spec)...)
	case forRecord:
		call.extra = []any{k.own, 0, 0}
	}
	ctx, cancel := q.patience(ctx)
	defer cancel()
	task := asynq.NewTaskWithHeaders(string(p.Kind), body, headers)
	_, err = q.producer.EnqueueContext(context.WithValue(ctx, enqueueKey{}, call), task,
		asynq.TaskID(p.ID), asynq.Queue(string(p.place)), asynq.Timeout(faraway), asynq.MaxRetry(1<<20))
	switch {
	case call.err != nil:
		return nil, unavailable("enqueue job "+p.ID, call.err)
	case err != nil && !errors.Is(err, asynq.ErrTaskIDConflict):
		return nil, unavailable("enqueue job "+p.ID, err)
	case !call.done:
		return nil, fmt.Errorf("enqueue job %s: asynq no longer enqueues as this package knows it", p.ID)
	case call.verdict < 0:
		return nil, q.refuse(ctx, call, p.place, how, wait, p.Deadline)
	}
	q.wakes.notify(p.place)
	return call, nil
}
