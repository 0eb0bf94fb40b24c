package model

import (
	"fmt"
	"testing"

	"github.com/nexus-continuum/nexus/job"
)

// What is hidden is as if it had never been taught: it neither answers nor makes
// another answer ambiguous, by whatever way it would be found.
func TestHiddenAnswers(t *testing.T) {
	t.Parallel()
	m, err := New(Config{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	lessons := []Lesson{
		{Topic: "shop", Prompt: "What are your opening hours?", Response: "Nine to five."},
		{Topic: "shop", Prompt: "opening times please", Response: "Nine to five."},
		{Topic: "bar", Prompt: "What are your opening hours?", Response: "All night."},
		{Topic: "bar", Prompt: "Tell me a secret", Refusal: true},
	}
	for i := range 40 {
		lessons = append(lessons, Lesson{Topic: "parts", Prompt: fmt.Sprintf("Where is part number %d kept?", i), Response: fmt.Sprintf("Shelf %d", i)})
	}
	m, _ = m.Memorise(lessons)
	ask := func(m *Model, prompt, topic string) Verdict { return m.Ask([]Query{{Prompt: prompt, Topic: topic}})[0] }
	if v := ask(m, "What are your opening hours?", ""); v.Reason != job.ReasonAmbiguous {
		t.Fatalf("before: %+v", v)
	}
	hidden := m.Hiding(func(topic, response string, refusal bool) bool { return topic == "shop" || refusal })
	for _, prompt := range []string{"What are your opening hours?", "what are your opening houres?", "Hello! What are your opening hours?"} {
		if v := ask(hidden, prompt, ""); !v.Responded || v.Response != "All night." {
			t.Errorf("%q: %+v", prompt, v)
		}
	}
	for _, prompt := range []string{"opening times please", "opening tmes please"} {
		if v := ask(hidden, prompt, "shop"); v.Responded || v.Reason != job.ReasonUntaught {
			t.Errorf("%q in a topic that is hidden: %+v", prompt, v)
		}
	}
	if v := ask(hidden, "Tell me a secret", ""); v.Reason == job.ReasonTaughtRefusal || v.Responded {
		t.Errorf("a hidden refusal: %+v", v)
	}
	near := ask(hidden, "opening times", "")
	for _, s := range near.Sources() {
		if s.Prompt == "opening times please" {
			t.Error("a hidden lesson is named as a source")
		}
	}
	if n := hidden.Info().Lessons; n != len(lessons) {
		t.Errorf("%d lessons are listed, want %d", n, len(lessons))
	}
	all := hidden.Hiding(func(string, string, bool) bool { return true })
	if v := ask(all, "Where is part number 7 kept?", ""); v.Reason != job.ReasonUntaught {
		t.Errorf("all hidden: %+v", v)
	}
	if v := ask(all.Hiding(nil), "opening times please", "shop"); v.Response != "Nine to five." {
		t.Errorf("shown again: %+v", v)
	}
	// Teaching lifts it: who serves the new model hides again.
	more, _ := hidden.Memorise([]Lesson{{Topic: "shop", Prompt: "Do you deliver?", Response: "Yes."}})
	if v := ask(more, "opening times please", "shop"); v.Response != "Nine to five." {
		t.Errorf("after teaching: %+v", v)
	}
}
