package trainer_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/queue"
	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/storage/dir"
	"github.com/nexus-continuum/nexus/worker/trainer"
)

// faulty is a Checkpoints whose saves fail as the test says.
type faulty struct {
	*storage.Checkpoints
	before, after atomic.Pointer[func() error]
}

func (f *faulty) Save(ctx context.Context, parent string, parts []storage.Part, meta storage.Meta) (storage.Manifest, error) {
	if fail := f.before.Load(); fail != nil {
		if err := (*fail)(); err != nil {
			return storage.Manifest{}, err
		}
	}
	m, err := f.Checkpoints.Save(ctx, parent, parts, meta)
	if fail := f.after.Load(); fail != nil && err == nil {
		if err := (*fail)(); err != nil {
			return storage.Manifest{}, err
		}
	}
	return m, err
}

func withFaults(b *bundle) *faulty {
	f := &faulty{Checkpoints: b.checkpoints}
	b.opt.Checkpoints = f
	return f
}

func always(err error) *func() error {
	f := func() error { return err }
	return &f
}

// A process that dies between any two moments leaves what the next one needs.
func TestAnotherTrainerGoesOn(t *testing.T) {
	b := setup(t)
	p := &plan{steps: 100, step: words(), promoted: true}
	b.plan.Store(p)
	first := b.start()
	id := b.teach("", many(6, "survivor")...)
	r := b.train(first, id)
	r.reaches(job.PhaseMemorised)
	b.begun()
	close(p.step)
	// It dies after the lessons are memorised: nothing more of it is saved.
	r.cancel(nil)
	b.stop(first)

	b.plan.Store(&plan{steps: 2, promoted: true})
	b.opt.Fence = 2
	second := b.start()
	got := b.train(second, id).succeeds()
	if got.LessonsTaken != 6 || got.Steps == 0 {
		t.Errorf("result %+v", got)
	}
	_, before := b.head()

	// The next dies between its last save and the acknowledgement: the job runs
	// again, and tells the same result.
	b.stop(second)
	b.opt.Fence = 3
	again := b.train(b.start(), id).succeeds()
	if again.Steps != got.Steps || again.LessonsTaken != 6 || !again.Promoted {
		t.Errorf("result after the restart %+v, before %+v", again, got)
	}
	if _, after := b.head(); after.ID != before.ID {
		t.Error("a job that had ended made a checkpoint")
	}
}

func TestStepsThatWereLostAreTakenInTheBackground(t *testing.T) {
	b := setup(t)
	b.control.Store(&storage.Control{}) // steps are not taken yet
	first := b.start()
	b.train(first, b.teach("", many(20, "later")...)).succeeds()
	b.stop(first)
	b.control.Store(&storage.Control{Training: true})
	b.opt.Fence = 2
	b.start()
	if s := b.begun(); len(s.fresh) != 20 {
		t.Errorf("the steps see %d lessons, want 20", len(s.fresh))
	}
}

func TestASaveThatFailsHandsBackAndHeals(t *testing.T) {
	b := setup(t)
	f := withFaults(b)
	tr := b.start()
	f.before.Store(always(fmt.Errorf("bucket: %w", storage.ErrUnavailable)))
	id := b.teach("", many(2, "healed")...)
	b.train(tr, id).isHandedBack("storage cannot be written")
	f.before.Store(nil)
	b.train(tr, id).succeeds()
	b.answers("what is the healed number 1", "it is healed 1")
}

// The reply to a save is lost: it happened all the same.
func TestASaveWhoseReplyIsLostIsFound(t *testing.T) {
	b := setup(t)
	f := withFaults(b)
	tr := b.start()
	f.after.Store(always(fmt.Errorf("connection reset: %w", storage.ErrUnavailable)))
	id := b.teach("", many(2, "found")...)
	b.train(tr, id).isHandedBack("storage cannot be written")
	f.after.Store(nil)
	got := b.train(tr, id).succeeds()
	_, manifest := b.head()
	if manifest.Datasets != 1 || got.LessonsTaken != 2 {
		t.Errorf("lineage of %d, result %+v", manifest.Datasets, got)
	}
}

func TestAnotherHolderOfTheLeaseEndsThisOne(t *testing.T) {
	b := setup(t)
	old := b.start()
	b.train(old, b.teach("", "one → 1")).succeeds()
	b.opt.Fence = 7
	young := b.start()
	b.train(young, b.teach("", "two → 2")).succeeds()

	for len(b.adopted) > 0 {
		<-b.adopted
	}
	id := b.teach("", "three → 3")
	r := b.train(old, id)
	<-old.Lost()
	r.isHandedBack("the trainer is changing hands")
	if n := len(b.adopted); n > 0 {
		t.Fatalf("a trainer that lost its lease put %d models to work", n)
	}
	b.train(young, id).succeeds()
	for prompt, want := range map[string]string{"one": "1", "two": "2", "three": "3"} {
		b.answers(prompt, want)
	}
}

// One turn of a trainer may have several reasons to save. When the first save
// shows that another trainer took over, none of the others may be tried.
func TestATrainerThatWasOvertakenEndsItsTurn(t *testing.T) {
	b := setup(t)
	p := &plan{steps: 100, step: words()}
	b.plan.Store(p)
	f := withFaults(b)
	old := b.start()
	canceled := b.train(old, b.teach("", many(5, "canceled")...))
	canceled.reaches(job.PhaseMemorised)
	b.begun() // the trainer is in a step until it gets a word

	var saves atomic.Int64
	overtaken := func() error { saves.Add(1); return fmt.Errorf("fence 2 has saved: %w", storage.ErrFenced) }
	f.before.Store(&overtaken)
	canceled.cancel(queue.ErrCanceled) // its state is to be saved
	canceled.wait()
	taught := b.train(old, b.teach("", "next → lesson")) // so is this
	b.waitFor("the lesson to wait", func() bool { return old.Waiting() == 1 })
	old.Save() // and somebody asks for a checkpoint
	p.step <- nil

	taught.isHandedBack("the trainer is changing hands")
	<-old.Lost()
	b.stop(old)
	if n := saves.Load(); n != 1 {
		t.Errorf("%d saves were tried after another trainer took over, want 1", n)
	}
}

func TestRollback(t *testing.T) {
	b := setup(t)
	p := &plan{steps: 100, step: words(), promoted: true}
	b.plan.Store(p)
	tr := b.start()
	b.train(tr, b.teach("", "good → yes")).succeeds()
	_, good := b.head()
	bad := b.teach("", "bad → no")
	b.train(tr, bad).succeeds()
	r := b.train(tr, b.teach("", many(5, "regretted")...))
	r.reaches(job.PhaseMemorised)
	b.begun()

	if _, err := b.checkpoints.Promote(t.Context(), good.ID); err != nil {
		t.Fatal(err)
	}
	tr.Nudge()
	p.step <- nil
	tr.Nudge()
	r2 := b.train(tr, "") // makes the actor look
	close(p.step)
	r2.wait()
	r.wait()
	if r.err == nil || job.AsError(r.err).Code != job.CodeConflict {
		t.Errorf("the job that was under way ended with %v", r.err)
	}
	b.train(tr, b.teach("", "next → step")).succeeds()
	m, head := b.head()
	if m.Ask([]model.Query{{Prompt: "bad"}})[0].Responded {
		t.Error("what was rolled back is taught again")
	}
	b.answers("next", "step")
	b.answers("good", "yes")
	// It is named in the lineage, so that no sweep brings it back.
	lineage, err := b.checkpoints.Lineage(t.Context(), head.ID)
	if err != nil {
		t.Fatal(err)
	}
	if missing := lineage.Missing([]string{bad}); len(missing) != 0 {
		t.Error("the lineage does not name what was rolled back")
	}
}

func TestDamagedDatasetFailsItsJobOnly(t *testing.T) {
	b := setup(t)
	tr := b.start()
	bad, good := b.teach("", many(3, "damaged")...), b.teach("", many(3, "whole")...)
	s, ok := b.store.(*dir.Store)
	if !ok {
		t.Fatal("not a folder")
	}
	file := filepath.Join(s.String(), "datasets", bad)
	body, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	body[len(body)-5] ^= 1
	if err := os.WriteFile(file, body, 0o600); err != nil {
		t.Fatal(err)
	}
	r := b.train(tr, bad)
	r.wait()
	if e, ok := errors.AsType[*job.Error](r.err); !ok || e.Code != job.CodeNotFound {
		t.Errorf("error %v", r.err)
	}
	b.train(tr, good).succeeds()
	if r := b.train(tr, job.NewID()); true {
		r.wait()
		if r.err == nil {
			t.Error("a dataset that is nowhere was learned")
		}
	}
}

func TestForgetATopic(t *testing.T) {
	b := setup(t)
	tr := b.start()
	b.train(tr, b.teach("work", "what do we do → work")).succeeds()
	b.train(tr, b.teach("play", "what else → play")).succeeds()
	got := b.train(tr, b.put(storage.DatasetMeta{Op: storage.OpForget, Topic: "work"}, nil)).succeeds()
	if got.LessonsRemoved != 1 {
		t.Errorf("result %+v", got)
	}
	m, _ := b.head()
	if m.Ask([]model.Query{{Prompt: "what do we do"}})[0].Responded {
		t.Error("a forgotten lesson answers")
	}
	b.answers("what else", "play")
}

// Who goes back to a checkpoint does not mean to answer again what was to be
// forgotten since.
func TestARollbackDoesNotBringForgottenLessonsBack(t *testing.T) {
	b := setup(t)
	tr := b.start()
	b.train(tr, b.teach("work", "what do we do → work")).succeeds()
	b.train(tr, b.teach("play", "what else → play")).succeeds()
	_, before := b.head()
	b.train(tr, b.put(storage.DatasetMeta{Op: storage.OpForget, Topic: "work"}, nil)).succeeds()
	if _, err := b.checkpoints.Promote(t.Context(), before.ID); err != nil {
		t.Fatal(err)
	}
	tr.Nudge()
	b.adoptedWhy("unlearned again")
	m, head := b.head()
	if m.Ask([]model.Query{{Prompt: "what do we do"}})[0].Responded {
		t.Error("a forgotten lesson answers after a rollback")
	}
	if head.Parent != before.ID {
		t.Errorf("it stands on %s, want %s", head.Parent, before.ID)
	}
	b.answers("what else", "play")
}

func TestNothingToLearnIsNoFailure(t *testing.T) {
	b := setup(t)
	b.plan.Store(&plan{begin: model.ErrNothing})
	tr := b.start()
	if got := b.train(tr, "").succeeds(); got.Steps != 0 || got.Why == "" {
		t.Errorf("result %+v", got)
	}
}

func TestStopBeforeStartAndTwice(t *testing.T) {
	b := setup(t)
	tr := trainer.New(b.opt)
	for range 2 {
		if err := tr.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
