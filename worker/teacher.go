package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/queue"
	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/topic"
	"github.com/nexus-continuum/nexus/topic/teacher"
	"github.com/nexus-continuum/nexus/worker/trainer"
)

// Teacher writes lessons about a topic; *teacher.Teacher implements it.
type Teacher interface {
	Name() string
	Lessons(ctx context.Context, about string) ([]topic.Lesson, error)
}

// Datasets is where lessons are kept; *storage.Datasets implements it.
type Datasets interface {
	trainer.Datasets
	IDs(ctx context.Context) ([]string, error)
	Stat(ctx context.Context, id string) (storage.Dataset, error)
	Create(ctx context.Context, meta storage.DatasetMeta) (*storage.DatasetWriter, error)
}

const (
	// pausedRest is how long a job rests after a paused process has handed it back.
	pausedRest = 5 * time.Second
	// awayRest is how long a job rests while its teacher is unavailable, until the
	// breaker opens.
	awayRest = 2 * time.Second
)

// withLessons is the spec of a train job with the dataset to learn from. If the job
// asks for a teacher, the lessons are written now and stored before anything is learned
// from them, so a job that runs again does not ask the teacher again.
func (w *Worker) withLessons(ctx context.Context, task *queue.Task) (job.Spec, error) {
	spec := task.Spec
	if !spec.Teacher {
		return spec, nil
	}
	var err error
	if spec.Dataset, err = w.written(ctx, spec.ID); err != nil || spec.Dataset != "" {
		return spec, err
	}
	if w.opt.Teacher == nil {
		return spec, job.Errorf(job.CodeUnavailable, "this job wants lessons about %q from a teacher, and the worker has none; set NEXUS_TEACHER_URL and NEXUS_TEACHER_MODEL for workers too", spec.Topic)
	}
	if w.control.now().Paused {
		return spec, queue.HandBack(job.WhyPaused, pausedRest)
	}
	if err := task.Progress(ctx, job.Progress{Phase: job.PhaseAsking, Message: "the teacher " + w.opt.Teacher.Name() + " writes lessons"}); err != nil {
		return spec, err
	}
	began := w.opt.Now()
	var lessons []topic.Lesson
	err = w.breakers.teacher.Do(func() (err error) {
		lessons, err = w.opt.Teacher.Lessons(ctx, spec.Topic)
		return err
	})
	if err != nil {
		return spec, untaught(ctx, err)
	}
	if spec.Dataset, err = w.keep(ctx, spec, lessons); err != nil {
		return spec, queue.Retryable(err)
	}
	w.opt.Log.Info("the teacher wrote lessons", "job", spec.ID, "topic", spec.Topic, "teacher", w.opt.Teacher.Name(),
		"lessons", len(lessons), "dataset", spec.Dataset, "took", w.opt.Now().Sub(began).Round(time.Millisecond))
	return spec, nil
}

// untaught decides what happens to a job whose lessons could not be written.
func untaught(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if open, ok := errors.AsType[*job.Error](err); ok { // the breaker's
		return queue.HandBack(open.Detail, open.RetryAfter)
	}
	told := job.Errorf(job.CodeUnavailable, "%v", err)
	switch {
	case errors.Is(err, teacher.ErrRefused):
		return told
	case errors.Is(err, teacher.ErrAway):
		return queue.HandBack(told.Detail, awayRest)
	}
	return queue.Retryable(told)
}

// clockSkew is larger than any difference expected between the clocks of two hosts.
const clockSkew = 10 * time.Minute

// written is the dataset that an earlier run of the job stored; empty if there is none.
// An id contains its time, and a dataset is made after its job.
func (w *Worker) written(ctx context.Context, id string) (string, error) {
	ids, err := w.opt.Datasets.IDs(ctx)
	if err != nil {
		return "", queue.Retryable(fmt.Errorf("look for lessons that the teacher wrote: %w", err))
	}
	asked, err := job.IDTime(id)
	if err != nil {
		return "", fmt.Errorf("look for lessons that the teacher wrote: %w", err)
	}
	for _, one := range ids {
		if made, err := job.IDTime(one); err == nil && made.Before(asked.Add(-clockSkew)) {
			continue
		}
		ds, err := w.opt.Datasets.Stat(ctx, one)
		switch {
		case errors.Is(err, storage.ErrNotFound), errors.Is(err, storage.ErrCorrupt):
		case err != nil:
			return "", queue.Retryable(fmt.Errorf("look for lessons that the teacher wrote: %w", err))
		case ds.Job == id:
			return one, nil
		}
	}
	return "", nil
}

// keep stores what the teacher wrote.
func (w *Worker) keep(ctx context.Context, spec job.Spec, lessons []topic.Lesson) (string, error) {
	d, err := w.opt.Datasets.Create(ctx, storage.DatasetMeta{Op: storage.OpTeach, Owner: spec.Owner, Topic: spec.Topic, Teacher: w.opt.Teacher.Name(), Job: spec.ID})
	if err != nil {
		return "", fmt.Errorf("keep what the teacher wrote: %w", err)
	}
	defer d.Abort()
	for _, l := range lessons {
		if err := d.Add(storage.Lesson{Prompt: l.Prompt, Response: &l.Response, Topic: spec.Topic}); err != nil {
			return "", fmt.Errorf("keep what the teacher wrote: %w", err)
		}
	}
	ds, err := d.Commit(ctx)
	if err != nil {
		return "", fmt.Errorf("keep what the teacher wrote: %w", err)
	}
	return ds.ID, nil
}
