package trainer_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/queue"
	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/worker/governor"
)

func TestLessonsAnswerBeforeGradientSteps(t *testing.T) {
	b := setup(t)
	p := &plan{steps: 2, promoted: true, why: "better", step: words()}
	b.plan.Store(p)
	tr := b.start()
	id := b.teach("numbers", append(many(5, "prime"), "may I smoke here")...)
	r := b.train(tr, id)
	r.reaches(job.PhaseMemorised)
	b.answers("What is the prime number 3?", "it is prime 3")
	m, manifest := b.head()
	if v := m.Ask([]model.Query{{Prompt: "may I smoke here"}})[0]; v.Reason != job.ReasonTaughtRefusal {
		t.Errorf("a taught refusal gives %+v", v)
	}
	if manifest.Datasets != 1 || manifest.Meta.Why != "memorised" || manifest.Meta.Fence != 1 || manifest.Meta.Lessons != 6 {
		t.Errorf("manifest %+v", manifest)
	}

	s := b.begun()
	if len(s.fresh) != 6 {
		t.Errorf("the steps see %d new lessons, want 6", len(s.fresh))
	}
	p.step <- nil
	r.reaches(job.PhaseConsolidating)
	p.step <- nil
	got := r.succeeds()
	_, manifest = b.head()
	if got.LessonsTaken != 6 || got.Steps != 2 || !got.Promoted || got.Why != "better" || got.After.Accuracy != 0.9 || got.Before.Accuracy != 0.5 || len(got.Losses) != 2 ||
		got.Dataset != id || got.Checkpoint != manifest.ID {
		t.Errorf("result %+v, head %s", got, manifest.ID)
	}
	if b.governor.spent.Load() == 0 {
		t.Error("nothing was charged to training")
	}
}

func TestFewLessonsDoNotWaitForSteps(t *testing.T) {
	b := setup(t)
	b.plan.Store(&plan{steps: 2, step: words()}) // steps would never end
	tr := b.start()
	got := b.train(tr, b.teach("", "how are you → fine")).succeeds()
	if got.LessonsTaken != 1 || got.Steps != 0 || got.Promoted || got.Why == "" {
		t.Errorf("result %+v", got)
	}
	b.answers("how are you?", "fine")
	select {
	case s := <-b.sessions:
		t.Errorf("steps were taken for %d lessons", len(s.fresh))
	default:
	}
}

// Small uploads are folded into the weights together, once enough have come.
func TestFewLessonsAreConsolidatedTogether(t *testing.T) {
	b := setup(t)
	tr := b.start()
	for _, l := range many(16, "odd") {
		b.train(tr, b.teach("", l)).succeeds()
	}
	if s := b.begun(); len(s.fresh) != 16 {
		t.Errorf("the steps see %d lessons, want 16", len(s.fresh))
	}
}

func TestALessonDoesNotWaitForStepsOfOthers(t *testing.T) {
	b := setup(t)
	p := &plan{steps: 1000, step: words(), judge: words(), promoted: true}
	b.plan.Store(p)
	tr := b.start()
	big := b.train(tr, b.teach("", many(8, "large")...))
	big.reaches(job.PhaseMemorised)
	s := b.begun()
	small := b.train(tr, b.teach("", "who are you → NEXUS"))
	b.waitFor("the lesson to wait", func() bool { return tr.Waiting() == 1 })
	p.step <- nil // the step in hand ends; the lesson comes next
	small.succeeds()
	b.answers("who are you", "NEXUS")
	if d := s.Done(); d > 2 {
		t.Errorf("the lesson waited for %d steps", d)
	}

	// Nor for the judging of new weights, and it is not lost with the old ones.
	close(p.step)
	onto := <-s.onto
	if n := onto.Info().Lessons; n != 9 {
		t.Errorf("new weights get %d lessons, want 9", n)
	}
	b.train(tr, b.teach("", "where are you → here")).succeeds()
	gone := b.put(storage.DatasetMeta{Op: storage.OpForget, LessonIDs: []string{model.LessonID("", "who are you")}}, nil)
	if got := b.train(tr, gone).succeeds(); got.LessonsRemoved != 1 {
		t.Errorf("result of forgetting %+v", got)
	}
	close(p.judge)
	big.succeeds()
	b.answers("where are you", "here")
	if m, _ := b.head(); m.Ask([]model.Query{{Prompt: "who are you"}})[0].Responded {
		t.Error("a lesson forgotten while weights were judged came back with them")
	}
}

func TestWaitingJobsShareOneCheckpointAndOneConsolidation(t *testing.T) {
	b := setup(t)
	p := &plan{steps: 1, step: words(), promoted: true}
	b.plan.Store(p)
	tr := b.start()
	first := b.train(tr, b.teach("", many(4, "first")...))
	first.reaches(job.PhaseMemorised)
	select {
	case <-b.begun().entered:
	case <-time.After(timeout):
		t.Fatal("no step began")
	}
	// The actor is in a step: what comes now waits together.
	runs := make([]*run, 10)
	for i := range runs {
		runs[i] = b.train(tr, b.teach("", many(4, string(rune('a'+i)))...))
	}
	b.waitFor("ten jobs to wait", func() bool { return tr.Waiting() >= 10 })
	close(p.step)
	first.succeeds()
	for _, r := range runs {
		r.succeeds()
	}
	if s := b.begun(); len(s.fresh) != 40 {
		t.Errorf("the second consolidation sees %d lessons, want 40", len(s.fresh))
	}
	list, err := b.checkpoints.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// Memorised and consolidated, twice.
	if len(list) != 4 {
		t.Errorf("%d checkpoints were made, want 4", len(list))
	}
}

// A→x, then A→y, and the job of the second comes up first.
func TestDatasetsAreAppliedInOrder(t *testing.T) {
	b := setup(t)
	b.plan.Store(&plan{steps: 1, promoted: true})
	tr := b.start()
	older := b.teach("", "what is it → x")
	younger := b.teach("", "what is it → y")
	b.live.Store(older, true)
	b.train(tr, younger).succeeds()
	b.train(tr, older).succeeds()
	b.answers("what is it", "y")

	// Both at once, in the wrong order.
	third, fourth := b.teach("", "what is it → z"), b.teach("", "what is it → x")
	a, c := b.train(tr, fourth), b.train(tr, third)
	a.succeeds()
	c.succeeds()
	if _, manifest := b.head(); manifest.Datasets != 4 {
		t.Errorf("the lineage names %d datasets", manifest.Datasets)
	}
}

func TestADatasetIsLearnedOnce(t *testing.T) {
	b := setup(t)
	tr := b.start()
	id := b.teach("", many(5, "even")...)
	first := b.train(tr, id).succeeds()
	_, before := b.head()
	again := b.train(tr, id).succeeds()
	_, after := b.head()
	if before.ID != after.ID {
		t.Error("learning again made a checkpoint")
	}
	if again.LessonsTaken != first.LessonsTaken || again.Steps != first.Steps || !again.Promoted {
		t.Errorf("first %+v\nagain %+v", first, again)
	}
}

func TestPauseHandsBackAndGoesOn(t *testing.T) {
	b := setup(t)
	p := &plan{steps: 100, step: words(), promoted: true}
	b.plan.Store(p)
	tr := b.start()
	id := b.teach("", many(5, "slow")...)
	r := b.train(tr, id)
	r.reaches(job.PhaseMemorised)
	b.begun()
	b.control.Store(&storage.Control{Training: true, Paused: true})
	p.step <- nil
	r.isHandedBack(job.WhyPaused)
	b.train(tr, b.teach("", "new → lesson")).isHandedBack(job.WhyPaused)

	b.control.Store(&storage.Control{Training: true})
	close(p.step)
	if got := b.train(tr, id).succeeds(); got.LessonsTaken != 5 || got.Steps != 100 {
		t.Errorf("result after the pause %+v", got)
	}
}

func TestTrainStopKeepsWhatWasMemorised(t *testing.T) {
	b := setup(t)
	p := &plan{steps: 100, step: words()}
	b.plan.Store(p)
	tr := b.start()
	r := b.train(tr, b.teach("", many(5, "stopped")...))
	r.reaches(job.PhaseMemorised)
	b.begun()
	b.control.Store(&storage.Control{})
	p.step <- nil
	if got := r.succeeds(); got.Promoted || got.LessonsTaken != 5 || got.Steps > 1 {
		t.Errorf("result %+v", got)
	}
	b.answers("what is the stopped number 1", "it is stopped 1")
	// Later lessons are memorised only.
	if got := b.train(tr, b.teach("", many(5, "later")...)).succeeds(); got.Steps != 0 {
		t.Errorf("result %+v", got)
	}
	b.answers("what is the later number 1", "it is later 1")

	close(p.step)
	b.control.Store(&storage.Control{Training: true})
	tr.Nudge()
	// train_start without a topic: everything that is fresh.
	if got := b.train(tr, "").succeeds(); got.Steps != 100 {
		t.Errorf("result of train_start %+v", got)
	}
	if s := b.begun(); len(s.fresh) != 10 {
		t.Errorf("the steps see %d lessons, want 10", len(s.fresh))
	}
}

func TestCancelEndsTheStepsAndKeepsTheLessons(t *testing.T) {
	b := setup(t)
	p := &plan{steps: 100, step: words()}
	b.plan.Store(p)
	tr := b.start()
	r := b.train(tr, b.teach("", many(20, "unwanted")...))
	r.reaches(job.PhaseMemorised)
	s := b.begun()
	r.cancel(queue.ErrCanceled)
	r.wait() // the step that runs is held: it ends without it
	if !errors.Is(r.err, queue.ErrCanceled) {
		t.Errorf("canceled with %v", r.err)
	}
	p.step <- nil
	b.answers("what is the unwanted number 1", "it is unwanted 1")
	// The next job finds the trainer free, and its steps do not owe the canceled ones.
	b.plan.Store(&plan{steps: 1, promoted: true})
	b.train(tr, b.teach("", many(4, "wanted")...)).succeeds()
	if d := s.Done(); d > 1 {
		t.Errorf("%d steps were taken for a canceled job", d)
	}
	if s := b.begun(); len(s.fresh) != 4 {
		t.Errorf("the next steps see %d new lessons, want 4", len(s.fresh))
	}
}

func TestTheGovernorHandsJobsBack(t *testing.T) {
	b := setup(t)
	p := &plan{steps: 100, step: words(), promoted: true}
	b.plan.Store(p)
	tr := b.start()
	id := b.teach("", many(5, "hot")...)
	r := b.train(tr, id)
	r.reaches(job.PhaseMemorised)
	b.begun()
	hot := governor.Permit{HandBack: true, Critical: true, Reason: "governor: GPU 0 95 °C, limit 85", RetryAfter: time.Second}
	b.governor.permit.Store(&hot)
	p.step <- nil
	r.isHandedBack(hot.Reason)
	// Heat does not keep lessons out of memory; lack of memory does.
	b.train(tr, b.teach("", "cool → it")).succeeds()
	full := governor.Permit{HandBack: true, Full: true, Reason: "governor: memory of the process 4090 MB, limit 4096", RetryAfter: time.Second}
	b.governor.permit.Store(&full)
	b.train(tr, b.teach("", "more → of it")).isHandedBack(full.Reason)

	b.governor.permit.Store(nil)
	close(p.step)
	b.train(tr, id).succeeds()
}

func TestTheGovernorSlowsSteps(t *testing.T) {
	b := setup(t)
	b.governor.permit.Store(&governor.Permit{Wait: 5 * time.Millisecond})
	tr := b.start()
	r := b.train(tr, b.teach("", many(5, "slow")...))
	r.reaches(job.PhaseMemorised)
	s := b.begun()
	asked := b.governor.asked.Load()
	b.waitFor("the governor to be asked again", func() bool { return b.governor.asked.Load() > asked+3 })
	if s.Done() != 0 {
		t.Error("steps were taken although the governor said wait")
	}
	b.governor.permit.Store(nil)
	r.succeeds()
}

func TestWeightsThatAreNoBetterAreKeptOut(t *testing.T) {
	b := setup(t)
	b.plan.Store(&plan{steps: 1, why: "accuracy fell"})
	tr := b.start()
	got := b.train(tr, b.teach("", many(5, "bad")...)).succeeds()
	if got.Promoted || got.Why != "accuracy fell" {
		t.Errorf("result %+v", got)
	}
	if _, manifest := b.head(); manifest.Meta.Why != "kept the former weights" {
		t.Errorf("manifest says %q", manifest.Meta.Why)
	}
	b.begun()
	if n := len(b.sessions); n > 0 {
		t.Errorf("%d more consolidations of the same lessons", n)
	}
}

func TestFailedStepsAreTriedAgainAndKeepTheLessons(t *testing.T) {
	b := setup(t)
	p := &plan{steps: 5, step: words()}
	b.plan.Store(p)
	tr := b.start()
	id := b.teach("", many(5, "broken")...)
	r := b.train(tr, id)
	p.step <- errors.New("loss is NaN")
	r.wait()
	if r.err == nil || queue.Retryable(r.err) == nil {
		t.Fatalf("error %v", r.err)
	}
	b.answers("what is the broken number 1", "it is broken 1")
	b.plan.Store(&plan{steps: 1, promoted: true})
	b.train(tr, id).succeeds()
}

func TestStopHandsBackAtOnce(t *testing.T) {
	b := setup(t)
	p := &plan{steps: 1 << 40, step: words()}
	b.plan.Store(p)
	tr := b.start()
	r := b.train(tr, b.teach("", many(5, "moved")...))
	r.reaches(job.PhaseMemorised)
	b.begun()
	stopped := make(chan error, 1)
	go func() { stopped <- tr.Stop(context.Background()) }()
	close(p.step)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	r.isHandedBack("the trainer is changing hands")
	b.train(tr, b.teach("", "too → late")).isHandedBack("the trainer is changing hands")
}

// waitFor polls what another goroutine does, with a deadline.
func (b *bundle) waitFor(what string, ok func() bool) {
	b.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	limit := time.After(timeout)
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			b.Fatalf("waited in vain for %s", what)
		}
	}
}
