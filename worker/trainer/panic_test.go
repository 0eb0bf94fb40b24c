package trainer_test

import (
	"context"
	"strings"
	"testing"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/worker/trainer"
)

// poisoned is a Datasets of which one dataset makes learning panic.
type poisoned struct {
	trainer.Datasets
	id string
}

func (p poisoned) Lessons(ctx context.Context, id string) (storage.Dataset, []storage.Lesson, error) {
	if id == p.id {
		panic("index out of range [7]")
	}
	return p.Datasets.Lessons(ctx, id)
}

// fails waits for the job to fail with an error that names a cause.
func (r *run) fails(cause string) *job.Error {
	r.b.Helper()
	r.wait()
	if r.err == nil || !strings.Contains(job.AsError(r.err).Detail, cause) {
		r.b.Fatalf("the job ended (%+v) with %v; it should fail and name %q", r.trained, r.err, cause)
	}
	return job.AsError(r.err)
}

// isRetryable tells whether the queue would run the job again.
func isRetryable(err error) bool {
	return err != nil && strings.Contains(job.AsError(err).Detail, "learning these lessons failed")
}

func TestADatasetThatPanicsIsSetAside(t *testing.T) {
	b := setup(t)
	id := b.teach("", many(3, "poison")...)
	b.opt.Datasets = poisoned{b.datasets, id}
	tr := b.start()
	b.train(tr, b.teach("", "before → 1")).succeeds()
	for range 2 {
		if r := b.train(tr, id); !isRetryable(r.fails("index out of range [7]")) {
			t.Errorf("the job ended for good with %v", r.err)
		}
	}
	if len(tr.SetAside()) != 0 {
		t.Errorf("set aside too early: %+v", tr.SetAside())
	}
	if r := b.train(tr, id); isRetryable(r.fails("set aside")) {
		t.Errorf("the job is tried again: %v", r.err)
	}
	b.waitFor("the dataset to be set aside", func() bool { return len(tr.SetAside()) == 1 })
	if s := tr.SetAside()[0]; s.Dataset != id || s.Phase != job.PhaseMemorising || !strings.Contains(s.Why, "index out of range [7]") {
		t.Errorf("set aside: %+v", s)
	}
	// Others are learned, and the next trainer knows of it.
	b.train(tr, b.teach("", "after → 2")).succeeds()
	b.answers("before", "1")
	b.answers("after", "2")
	b.stop(tr)
	b.opt.Fence = 2
	next := b.start()
	b.train(next, id).fails("set aside")
	b.waitFor("the next trainer to know", func() bool { return len(next.SetAside()) == 1 })
	_, head := b.head()
	lineage, err := b.checkpoints.Lineage(t.Context(), head.ID)
	if err != nil {
		t.Fatal(err)
	}
	if len(lineage.Missing([]string{id})) != 0 {
		t.Error("the lineage does not name the dataset: the sweep would make another job for it")
	}
}

func TestGradientStepsThatPanicFailTheirJobOnly(t *testing.T) {
	b := setup(t)
	b.plan.Store(&plan{steps: 5, panics: "nil pointer in a kernel"})
	tr := b.start()
	id := b.teach("", many(5, "broken")...)
	for range 2 {
		if r := b.train(tr, id); !isRetryable(r.fails("nil pointer in a kernel")) {
			t.Errorf("the job ended for good with %v", r.err)
		}
	}
	b.train(tr, id).fails("not tried again")
	b.answers("what is the broken number 1", "it is broken 1")
	b.waitFor("the dataset to be set aside", func() bool { return len(tr.SetAside()) == 1 })
	if s := tr.SetAside()[0]; s.Dataset != id || s.Phase != job.PhaseConsolidating {
		t.Errorf("set aside: %+v", s)
	}
	b.plan.Store(&plan{steps: 1, promoted: true})
	if got := b.train(tr, b.teach("", many(5, "whole")...)).succeeds(); !got.Promoted {
		t.Errorf("result %+v", got)
	}
}

// A panic that no dataset is to blame for ends this trainer, not the process;
// its jobs go to the next one.
func TestATrainerThatPanicsEndsAlone(t *testing.T) {
	b := setup(t)
	b.opt.Coming = func(context.Context, string) ([]string, error) { panic("a bug") }
	older := b.teach("", "older → 0")
	tr := b.start()
	r := b.train(tr, b.teach("", "one → 1"))
	r.wait()
	if !isRetryable(r.fails("a bug")) {
		t.Fatalf("the job ended with %v", r.err)
	}
	<-tr.Lost()
	b.stop(tr)
	b.opt.Coming = nil
	b.opt.Fence = 2
	b.train(b.start(), older).succeeds()
	b.answers("older", "0")
}
