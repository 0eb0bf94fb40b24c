package queue

import (
	"context"
	"errors"

	"github.com/nexus-continuum/nexus/job"
)

// Cancel ends a queued job at once. For a running job it notifies the worker, and the
// returned job is still running. Errors: CodeJobEnded, CodeNotFound, CodeUnavailable.
func (q *Queue) Cancel(ctx context.Context, id string) (job.Job, error) {
	j, lane, err := q.readRecord(ctx, id)
	if errors.Is(err, errNoRecord) {
		if j, err = q.Job(ctx, id); err != nil {
			return job.Job{}, err
		}
	}
	if err != nil {
		return job.Job{}, err
	}
	ended := job.Errorf(job.CodeJobEnded, "job %s has ended; it cannot be canceled", id)
	if j.State.Final() {
		return j, ended
	}
	k := q.keys(lane)
	rctx, cancel := q.withTimeout(ctx)
	defer cancel()
	verdict, err := q.scripts.cancel.Run(rctx, q.redis,
		[]string{k.record(id), k.task(id), k.pending(), k.scheduled(), k.retry(), k.active(), k.lease()},
		k.own, id).Text()
	switch {
	case err != nil:
		return job.Job{}, unavailable("cancel job "+id, err)
	case verdict == "none":
		return job.Job{}, notFound(id)
	case verdict == "ended":
		return j, ended
	}
	j, _, err = q.readRecord(ctx, id)
	if errors.Is(err, errNoRecord) {
		return job.Job{}, notFound(id)
	}
	return j, err
}

func canceledError() *job.Error { return job.Errorf(job.CodeCanceled, "the job was canceled") }
