package trainer_test

import (
	"fmt"
	"testing"
	"time"
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
