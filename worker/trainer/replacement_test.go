package trainer_test

import (
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/worker/trainer"
)

// outgrown is a flowing deployment that was taught some lessons and
// is started again as layered; the plan is that of the replacement.
func outgrown(b *bundle, p *plan) *trainer.Trainer {
	b.Helper()
	first := b.start()
	b.train(first, b.teach("", many(5, "moved")...)).succeeds()
	b.begun()
	b.stop(first)
	for len(b.adopted) > 0 {
		<-b.adopted
	}
	b.opt.Model = model.Config{Architecture: model.Layered}
	b.opt.Fence = 2
	b.plan.Store(p)
	return b.start()
}

// serves waits for a model of that architecture to be put to work.
func (b *bundle) serves(architecture string) saved {
	b.Helper()
	limit := time.After(timeout)
	for {
		select {
		case s := <-b.adopted:
			if s.model.Info().Architecture == architecture {
				return s
			}
		case <-limit:
			b.Fatalf("no %s model is put to work", architecture)
		}
	}
}

// is waits for the replacement to be in a state; empty waits for none.
func (b *bundle) is(t *trainer.Trainer, state string) *trainer.Replacement {
	b.Helper()
	limit := time.After(timeout)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		s := t.Replacement()
		if s == nil && state == "" || s != nil && s.State == state {
			return s
		}
		select {
		case <-tick.C:
		case <-limit:
			b.Fatalf("the replacement is %+v, never %q", s, state)
		}
	}
}

func TestAnotherArchitectureIsTrainedWhileTheFormerServes(t *testing.T) {
	b := setup(t)
	steps, judge := words(), words()
	tr := outgrown(b, &plan{steps: 2, promoted: true, step: steps, judge: judge})
	if s := b.serves(model.Flowing); s.model.Info().Lessons != 5 {
		t.Fatalf("from the start on a model with %d lessons serves", s.model.Info().Lessons)
	}
	if s := b.begun(); s.replaces == nil || s.replaces.Architecture != model.Layered {
		t.Fatalf("the steps are %+v, want those of a layered model", s)
	}
	b.is(tr, trainer.ReplacementTraining)
	steps <- nil
	steps <- nil
	b.is(tr, trainer.ReplacementJudging)
	// What is taught meanwhile is answered meanwhile, and later.
	b.train(tr, b.teach("", "what came late → this")).succeeds()
	b.answers("what came late", "this")
	if m, _ := b.head(); m.Info().Architecture != model.Flowing {
		t.Error("the replacement serves before it was judged")
	}
	judge <- nil
	if s := b.serves(model.Layered); s.model.Info().Lessons != 6 {
		t.Errorf("the replacement knows %d lessons, want 6", s.model.Info().Lessons)
	}
	b.answers("what is the moved number 2", "it is moved 2")
	b.answers("what came late", "this")
	b.is(tr, "")
}

func TestAReplacementThatIsWorseIsKeptOut(t *testing.T) {
	b := setup(t)
	tr := outgrown(b, &plan{steps: 2, why: "kept out: it is worse"})
	b.begun()
	if s := b.is(tr, trainer.ReplacementKeptOut); s.Why != "kept out: it is worse" {
		t.Errorf("the reason given is %q", s.Why)
	}
	if m, _ := b.head(); m.Info().Architecture != model.Flowing {
		t.Error("a worse model serves")
	}
	// When more was taught it gets another chance.
	b.plan.Store(&plan{steps: 2, promoted: true})
	b.train(tr, b.teach("", many(100, "fresh")...)).succeeds()
	b.serves(model.Layered)
	b.answers("what is the fresh number 42", "it is fresh 42")
	b.answers("what is the moved number 2", "it is moved 2")
}

func TestJobsGoBeforeASuccessor(t *testing.T) {
	b := setup(t)
	tr := outgrown(b, &plan{steps: 1 << 40, promoted: true})
	replacement := b.begun()
	b.plan.Store(&plan{steps: 3, promoted: true})
	got := b.train(tr, b.teach("", many(6, "urgent")...)).succeeds()
	if s := b.begun(); s.replaces != nil || !got.Promoted {
		t.Errorf("the job's own steps: %+v of %+v", got, s)
	}
	// It goes on where it was.
	for before := replacement.Done(); replacement.Done() <= before; {
		b.is(tr, trainer.ReplacementTraining)
	}
	b.answers("what is the urgent number 3", "it is urgent 3")
}

func TestAnUntaughtModelGivesWayAtOnce(t *testing.T) {
	b := setup(t)
	first := b.start()
	b.train(first, b.teach("gone", "what was that → nothing")).succeeds()
	b.train(first, b.put(storage.DatasetMeta{Op: storage.OpForget, Topic: "gone"}, nil)).succeeds()
	b.stop(first)
	b.opt.Model = model.Config{Architecture: model.Layered}
	b.opt.Fence = 2
	tr := b.start()
	b.serves(model.Layered)
	b.is(tr, "")
}
