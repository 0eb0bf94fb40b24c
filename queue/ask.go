package queue

import (
	"context"
	"errors"
	"time"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/queue/reply"
)

// Ask queues an interact job and waits for its answer. It returns exactly one of three
// things. It returns the answer if it arrives in time. It returns the job if the wait
// ends first; the job continues and has a record from then on. Otherwise it returns an
// error: the job's own error, CodeQueueFull, CodeUnavailable (within a second), or
// CodeCanceled if ctx ended first; in that last case a job that has not begun is
// dropped.
func (q *Queue) Ask(ctx context.Context, spec job.Spec, wait time.Duration) (*job.Answer, *job.Job, error) {
	if spec.Kind == "" {
		spec.Kind = job.KindInteract
	}
	if spec.Kind != job.KindInteract {
		return nil, nil, job.Errorf(job.CodeInvalid, "only an interact job can be waited for").On("kind")
	}
	if wait <= 0 {
		j, err := q.Submit(ctx, spec)
		if err != nil {
			return nil, nil, err
		}
		return nil, &j, nil
	}
	// Reply lists live in the hash slots of this lane.
	spec.Lane = job.LaneInteractive
	if err := q.fillSpec(&spec); err != nil {
		return nil, nil, err
	}
	spec.ReplyTo = q.id
	i := q.shards.index(spec.ID)
	shard := q.shards.of(spec.Lane)[i]
	replied, err := q.replies[i].Expect(spec.ID)
	if err != nil {
		return nil, nil, err
	}
	defer q.replies[i].Forget(spec.ID)

	timer := time.NewTimer(wait)
	defer timer.Stop()
	if _, err := q.put(ctx, payload{Spec: spec, WaitEnds: q.now().Add(wait).UnixMilli(), shard: shard}, noRecord, wait); err != nil {
		return nil, nil, err
	}
	q.replies[i].Queued(spec.ID)
	select {
	case r := <-replied:
		a, err := r.Decode()
		return a, nil, err
	case <-ctx.Done():
		q.cancelWait(ctx, shard, spec.ID)
		return nil, nil, job.Errorf(job.CodeCanceled, "the caller went away").Because(context.Cause(ctx))
	case <-q.life.Done():
		return nil, nil, unavailable("wait for job "+spec.ID, errors.New("this process is stopping"))
	case <-timer.C:
		return q.detach(ctx, shard, spec, replied)
	}
}

// detach gives a job a record after its caller's wait has ended. If the job ended at
// the last moment, its reply is on the way and is returned instead.
func (q *Queue) detach(ctx context.Context, shard job.Lane, spec job.Spec, replied <-chan reply.Reply) (*job.Answer, *job.Job, error) {
	ctx, cancel := q.withTimeout(ctx)
	defer cancel()
	k := q.keys(shard)
	args := append([]any{k.own, spec.ID}, recordFields(spec)...)
	state, err := q.scripts.detach.Run(ctx, q.redis, []string{k.task(spec.ID)}, args...).Text()
	if err != nil {
		return nil, nil, unavailable("record job "+spec.ID, err)
	}
	if state != "gone" {
		j, _, err := q.readRecord(ctx, spec.ID)
		if err != nil {
			return nil, nil, err
		}
		return nil, &j, nil
	}
	select {
	case r := <-replied:
		a, err := r.Decode()
		return a, nil, err
	case <-ctx.Done():
		return nil, nil, reply.Taskless()
	}
}

// cancelWait drops a job whose caller has left. If a worker already has the job, the
// worker is notified and skips it unless computing has begun.
func (q *Queue) cancelWait(ctx context.Context, shard job.Lane, id string) {
	ctx, cancel := q.withTimeout(context.WithoutCancel(ctx))
	defer cancel()
	k := q.keys(shard)
	if err := q.scripts.cancelWait.Run(ctx, q.redis, []string{k.task(id), k.pending(), k.record(id)}, k.own, id).Err(); err != nil {
		q.opt.Log.Warn("a job whose caller went away could not be dropped", "job", id, "error", err)
	}
}
