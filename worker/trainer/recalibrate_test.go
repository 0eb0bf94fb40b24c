package trainer_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/worker/trainer"
)

// Lessons that came without gradient steps change what held-out prompts find:
// when asked, the threshold is set by that, saved, and not touched again until
// something changed.
func TestTheThresholdIsSetAnewWhenAsked(t *testing.T) {
	b := setup(t)
	b.opt.Small, b.opt.Quiet = 10_000, time.Hour // no gradient steps
	tr := b.start()
	var lessons []string
	for i := range 120 {
		for _, form := range []string{"where is item %d", "find me item %d please", "item %d is where", "on which shelf do I find item %d"} {
			lessons = append(lessons, fmt.Sprintf(form+" → shelf %d", i, i))
		}
	}
	b.train(tr, b.teach("", lessons...)).succeeds()
	b.train(tr, b.judge("i-0", "please tell me of item 3", "shelf 3", false)).succeeds()
	before, taught := b.head()

	tr.Recalibrate()
	b.adoptedWhy("recalibrated")
	after, level := b.head()
	if level.Parent != taught.ID || len(level.Meta.Figures) == 0 {
		t.Errorf("checkpoint %+v, want one on %s with figures", level, taught.ID)
	}
	was, is := before.Info(), after.Info()
	if is.Judged <= was.Judged || is.Lessons != was.Lessons {
		t.Errorf("threshold %.3f (before %.3f) with %d judged prompts and %d lessons", is.Threshold, was.Threshold, is.Judged, is.Lessons)
	}

	tr.Recalibrate() // nothing has changed since
	b.train(tr, b.teach("", "how are you → fine")).succeeds()
	if _, next := b.head(); next.Parent != level.ID {
		t.Errorf("the next checkpoint stands on %s, want %s: nothing was to be set", next.Parent, level.ID)
	}
}

// adoptedWhy waits for a checkpoint made for a reason.
func (b *bundle) adoptedWhy(why string) {
	b.Helper()
	limit := time.After(timeout)
	for {
		select {
		case s := <-b.adopted:
			if s.manifest.Meta.Why == why {
				return
			}
		case <-limit:
			b.Fatalf("no checkpoint was %s", why)
		}
	}
}

// A job without gradient steps ends with a threshold that all its lessons had a say
// in, not only those by which the first one was set in a hurry.
func TestAJobWithoutStepsEndsWithAWholeCalibration(t *testing.T) {
	b := setup(t)
	b.opt.Quiet = time.Hour
	b.opt.Learn = func(*model.Model, []string, uint64, func()) (trainer.Learner, error) { return nil, model.ErrNothing }
	tr := b.start()
	got := b.train(tr, b.teach("", twoForms(0, 120)...)).succeeds()
	m, _ := b.head()
	if got.Steps != 0 || m.Sampled() {
		t.Errorf("%d steps, sampled %v: want a threshold set by all lessons, and no steps", got.Steps, m.Sampled())
	}
	if got.After == nil || got.After.Prompts < 200 {
		t.Errorf("the job's figures are %+v, want those of about 240 left-out lessons", got.After)
	}
}

// What is taught lesson by lesson is looked at as a whole once nobody teaches.
func TestTheThresholdIsSetByAllOnceNobodyTeaches(t *testing.T) {
	b := setup(t)
	b.opt.Small, b.opt.Quiet = 10_000, 20*time.Millisecond
	tr := b.start()
	b.train(tr, b.teach("", twoForms(0, 120)...)).succeeds()
	b.adoptedWhy("recalibrated")
	m, _ := b.head()
	if m.Sampled() {
		t.Error("the threshold still stands on a sample")
	}
}

func twoForms(from, to int) (out []string) {
	for i := from; i < to; i++ {
		for _, form := range []string{"where is item %d", "on which shelf do I find item %d"} {
			out = append(out, fmt.Sprintf(form+" → shelf %d", i, i))
		}
	}
	return out
}
