package worker

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/queue/provider"
	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/topic"
)

// author writes twenty lessons, new ones each time.
type author struct{ asked atomic.Int64 }

func (*author) Name() string { return "tiny" }

func (a *author) Lessons(_ context.Context, about string) ([]topic.Lesson, error) {
	n := a.asked.Add(1)
	out := make([]topic.Lesson, 20)
	for i := range out {
		out[i] = topic.Lesson{Prompt: fmt.Sprintf("%s number %d", about, i), Response: fmt.Sprintf("answer %d of request %d", i, n)}
	}
	return out, nil
}

// A job whose worker stops in the middle goes on elsewhere with the lessons that
// were written for it.
func TestTheTeacherIsAskedOnceForAJob(t *testing.T) {
	t.Parallel()
	b := setup(t, provider.Embedded)
	a := &author{}
	slow := newSlowSteps(t)
	first := b.worker(func(o *Options) { o.Teacher, o.Learn = a, slow.learn })
	id := job.NewID()
	if _, err := b.queue.Submit(b.ctx, job.Spec{ID: id, Kind: job.KindTrain, Lane: job.LaneTrain, Topic: "tides", Teacher: true}); err != nil {
		t.Fatal(err)
	}
	<-slow.begun
	close(slow.step)
	b.end(first)
	quick := newSlowSteps(t)
	quick.total = 3
	close(quick.step)
	b.worker(func(o *Options) { o.Teacher, o.Learn = a, quick.learn })
	if got := b.ends(id); got.LessonsTaken != 20 || got.Steps != 3 {
		t.Errorf("result %+v, want the 20 lessons and the steps of the second worker", got)
	}
	if got := b.ask("tides number 7"); got.Response != "answer 7 of request 1" || a.asked.Load() != 1 {
		t.Errorf("answer %q after %d requests, want what the first and only one gave", got.Response, a.asked.Load())
	}
	all, err := b.datasets.List(b.ctx)
	if err != nil || len(all) != 1 || all[0].Teacher != "tiny" || all[0].Job != id {
		t.Errorf("datasets %+v, %v; want one that names its author and its job", all, err)
	}
}

// Nothing is asked of the teacher while learning is paused.
func TestTheTeacherRestsWhileLearningIsPaused(t *testing.T) {
	t.Parallel()
	b := setup(t, provider.Embedded)
	if _, err := b.control.Update(b.ctx, func(c *storage.Control) { c.Paused = true }); err != nil {
		t.Fatal(err)
	}
	a := &author{}
	b.worker(func(o *Options) { o.Teacher = a })
	id := job.NewID()
	if _, err := b.queue.Submit(b.ctx, job.Spec{ID: id, Kind: job.KindTrain, Lane: job.LaneTrain, Topic: "tides", Teacher: true}); err != nil {
		t.Fatal(err)
	}
	b.until("the job waits and says why", func() bool {
		j := b.job(id)
		return j.State == job.StateQueued && j.WaitingFor != nil && *j.WaitingFor == job.WhyPaused
	})
	if n := a.asked.Load(); n != 0 {
		t.Errorf("the teacher was asked %d times", n)
	}
}
