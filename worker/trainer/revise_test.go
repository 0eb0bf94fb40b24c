package trainer_test

import (
	"fmt"
	"testing"

	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/storage"
)

func TestAnAnswerIsRevisedForEveryPhrasing(t *testing.T) {
	b := setup(t)
	tr := b.start()
	b.train(tr, b.teach("support", "how do I reset my password → Open Setings.", "password forgotten → Open Setings.", "opening hours → nine to five")).succeeds()
	revised := b.put(storage.DatasetMeta{Op: storage.OpRevise, Topic: "support"}, []string{
		"how do I reset my password → Open Settings.", "password forgotten → Open Settings.",
	})
	got := b.train(tr, revised).succeeds()
	if got.LessonsTaken != 2 || got.ContradictionsTotal != 0 || len(got.Contradictions) != 0 {
		t.Errorf("an edit is no contradiction: %+v", got)
	}
	b.answers("how do I reset my password", "Open Settings.")
	b.answers("password forgotten", "Open Settings.")

	from := "support"
	moved := b.put(storage.DatasetMeta{Op: storage.OpRevise, Topic: "accounts", From: &from}, []string{
		"how do I reset my password → Open Settings.", "password forgotten → Open Settings.",
	})
	b.train(tr, moved).succeeds()
	m, _ := b.head()
	counts := map[string]int{}
	m.Entries(func(e model.Entry) bool {
		counts[e.Topic]++
		return true
	})
	if counts["accounts"] != 2 || counts["support"] != 1 {
		t.Errorf("lessons by topic after the move: %v", counts)
	}
	b.answers("password forgotten", "Open Settings.")
}

// Every contradiction is counted, also where only the first of them are listed,
// and the same prompt in two topics is one.
func TestContradictionsAreCounted(t *testing.T) {
	b := setup(t)
	tr := b.start()
	b.train(tr, b.teach("shop", "what are the opening hours → nine to five")).succeeds()
	got := b.train(tr, b.teach("pool", "What are the opening hours? → seven to nine")).succeeds()
	if got.ContradictionsTotal != 1 || len(got.Contradictions) != 1 || got.Contradictions[0].OtherTopic == nil ||
		*got.Contradictions[0].OtherTopic != "shop" || got.Contradictions[0].Older != "nine to five" {
		t.Errorf("one prompt in two topics: %+v", got)
	}
	var first, second []string
	for i := range 150 {
		first = append(first, fmt.Sprintf("what is the price of part %d → %d", i, i))
		second = append(second, fmt.Sprintf("what is the price of part %d → %d", i, i+1))
	}
	b.train(tr, b.teach("parts", first...)).succeeds()
	got = b.train(tr, b.teach("parts", second...)).succeeds()
	if got.ContradictionsTotal != 150 || len(got.Contradictions) != 100 {
		t.Errorf("%d contradictions counted, %d listed; want 150 and 100", got.ContradictionsTotal, len(got.Contradictions))
	}
}
