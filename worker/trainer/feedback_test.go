package trainer_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/nexus-continuum/nexus/model"
)

// What people say of answers is in the checkpoint that every worker follows, and
// in that of the trainer that comes next.
func TestComplaintsRaiseTheThreshold(t *testing.T) {
	b := setup(t)
	first := b.start()
	b.train(first, b.teach("", many(12, "prime")...)).succeeds()
	before, _ := b.head()

	got := b.train(first, b.judge("i-0", "please tell me the prime number 3", "it is prime 3", false)).succeeds()
	after, manifest := b.head()
	if got.Why != "Feedback saved. It is counted in the refusal threshold." || got.Checkpoint != manifest.ID || after.Info().Judged != before.Info().Judged+1 {
		t.Fatalf("result %+v, %d judged in the head", got, after.Info().Judged)
	}
	var jobs []*run
	for i := range 40 {
		jobs = append(jobs, b.train(first, b.judge(fmt.Sprint("i-", i), fmt.Sprintf("please tell me the prime number %d", i%12), fmt.Sprintf("it is prime %d", i%12), false)))
	}
	for _, r := range jobs {
		r.succeeds()
	}
	after, _ = b.head()
	was, is := before.Info(), after.Info()
	if is.Judged != was.Judged+40 || is.Threshold <= was.Threshold {
		t.Errorf("threshold %.3f with %d judged prompts, want 40 more and more than %.3f", is.Threshold, is.Judged, was.Threshold)
	}
	b.stop(first)

	second := b.start()
	b.train(second, b.judge("i-40", "is there any cheese on the moon", "", true)).succeeds()
	later, _ := b.head()
	if later.Info().Judged != was.Judged+41 || later.Info().Threshold > is.Threshold {
		t.Errorf("after a restart: threshold %.3f with %d judged prompts, want at most %.3f with 41 more", later.Info().Threshold, later.Info().Judged, is.Threshold)
	}
}

// Judgements that arrive while new weights are judged are not lost with them.
func TestFeedbackWhileNewWeightsAreJudged(t *testing.T) {
	b := setup(t)
	p := &plan{steps: 1, judge: words(), promoted: true}
	b.plan.Store(p)
	tr := b.start()
	big := b.train(tr, b.teach("", many(12, "prime")...))
	<-b.begun().onto
	before, _ := b.head()
	b.train(tr, b.judge("i-1", "please tell me the prime number 3", "it is prime 3", false)).succeeds()
	p.judge <- nil
	big.succeeds()
	if m, _ := b.head(); m.Info().Judged != before.Info().Judged+1 {
		t.Errorf("%d judged prompts after new weights were promoted, %d before the complaint", m.Info().Judged, before.Info().Judged)
	}
}

// A lesson made of the judgement, which is learned before it, does not hide what
// was judged.
func TestTheRightAnswerDoesNotHideTheComplaint(t *testing.T) {
	b := setup(t)
	tr := b.start()
	b.train(tr, b.teach("", many(12, "prime")...)).succeeds()
	before, _ := b.head()
	const prompt = "please tell me the prime number 3"
	lesson := b.teach("", prompt+" → seven")
	judgement := b.judge("i-1", prompt, "it is prime 3", false)
	runs := []*run{b.train(tr, judgement), b.train(tr, lesson)}
	b.live.Store(lesson, true)
	for _, r := range runs {
		r.succeeds()
	}
	m, manifest := b.head()
	if m.Info().Judged != before.Info().Judged+1 {
		t.Errorf("%d judged prompts, %d before the complaint", m.Info().Judged, before.Info().Judged)
	}
	lineage, err := b.checkpoints.Lineage(b.Context(), manifest.ID)
	if err != nil || !slices.Contains([]string(lineage), judgement) {
		t.Errorf("lineage %q, %v; want the judgement in it", lineage, err)
	}
	if v := m.Ask([]model.Query{{Prompt: prompt}})[0]; v.Response != "seven" {
		t.Errorf("%+v, want the right answer", v)
	}
}
