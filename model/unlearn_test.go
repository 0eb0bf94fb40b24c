package model

import (
	"bytes"
	"testing"

	"github.com/nexus-continuum/nexus/model/gate"
)

// stepped is m with weights that took some steps, whether they are better or not.
func stepped(t *testing.T, m *Model, opt LearnOptions) *Model {
	t.Helper()
	l, err := m.Learner(opt)
	if err != nil {
		t.Fatal(err)
	}
	for range 40 {
		if _, err := l.Step(); err != nil {
			t.Fatal(err)
		}
	}
	next, err := l.carry(m, l.trainer.Weights())
	if err != nil {
		t.Fatal(err)
	}
	next = l.recode(next)
	next.gate = gate.Calibrate(l.judge(next), m.cfg.TargetError)
	return next
}

// What was unlearned is nowhere: no prompt brings it back as an answer or a
// source, not from memory and not from weights that took steps on it, no later
// steps repeat it, and no byte of a checkpoint holds its words.
func TestUnlearnedFromMemoryAndWeights(t *testing.T) {
	t.Parallel()
	m, err := New(Config{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	lessons := pack(t)[:160]
	gone := map[string]bool{}
	var phrasings []Lesson
	for i := range lessons {
		lessons[i].Topic = "kept"
		if len(gone) < 6 || gone[lessons[i].Response] {
			lessons[i].Topic, gone[lessons[i].Response] = "secret", true
			phrasings = append(phrasings, lessons[i])
		}
	}
	m, _ = m.Memorise(lessons)
	m = stepped(t, m, LearnOptions{Fresh: idsOf(lessons), Seed: 1})
	for _, l := range phrasings {
		if v := m.Ask([]Query{{Prompt: l.Prompt}})[0]; v.Response != l.Response {
			t.Fatalf("%q is answered %q before anything is unlearned", l.Prompt, v.Response)
		}
	}
	one := phrasings[0]
	first, n := m.Unlearn(func(l Lesson) bool { return l.Prompt == one.Prompt })
	if n != 1 {
		t.Fatalf("%d lessons unlearned, want 1", n)
	}
	if _, ok := first.Lesson(LessonID(one.Topic, one.Prompt)); ok {
		t.Error("the one lesson is still listed")
	}
	for _, p := range first.Parts() {
		if bytes.Contains(p.Data, []byte(one.Prompt)) {
			t.Errorf("part %s holds the prompt of the one lesson", p.Name)
		}
	}

	topicless, n := first.Unlearn(func(l Lesson) bool { return l.Topic == "secret" })
	if n != len(phrasings)-1 {
		t.Fatalf("%d lessons unlearned, want %d", n, len(phrasings)-1)
	}
	again, err := Open(Config{Seed: 1}, topicless.Parts())
	if err != nil {
		t.Fatal(err)
	}
	later := stepped(t, topicless, LearnOptions{Seed: 2}) // replay alone
	for name, m := range map[string]*Model{"from the same weights": topicless, "opened again": again, "after more steps": later} {
		if m.Info().Lessons != len(lessons)-len(phrasings) || m.Info().Topics["secret"] != 0 {
			t.Errorf("%s: %+v", name, m.Info())
		}
		answered := 0
		for _, l := range phrasings {
			v := m.Ask([]Query{{Prompt: l.Prompt}})[0]
			if gone[v.Response] {
				t.Errorf("%s: %q is still answered %q", name, l.Prompt, v.Response)
			}
			if v.Responded {
				answered++
			}
			for _, s := range v.Sources() {
				for _, g := range phrasings {
					if s.Prompt == g.Prompt {
						t.Errorf("%s: %q has the source %q", name, l.Prompt, s.Prompt)
					}
				}
			}
		}
		// To the weights they are near what they were; the gate must not take
		// that for knowledge.
		if share := float64(answered) / float64(len(phrasings)); share > 0.2 {
			t.Errorf("%s: %.2f of the unlearned prompts get another answer", name, share)
		}
		for _, p := range m.Parts() {
			for _, l := range phrasings {
				if bytes.Contains(p.Data, []byte(l.Prompt)) || bytes.Contains(p.Data, []byte(l.Response)) {
					t.Fatalf("%s: part %s holds %q", name, p.Name, l.Prompt)
				}
			}
		}
		examples, answers := m.pick(LearnOptions{Seed: 3}, m.reader(), len(lessons))
		for _, a := range answers {
			if response, _ := m.store.Response(a); gone[response] {
				t.Errorf("%s: steps would see %q", name, response)
			}
		}
		if len(examples) > len(lessons)-len(phrasings) {
			t.Errorf("%s: steps would see %d examples of %d lessons", name, len(examples), m.Info().Lessons)
		}
	}
	// Taught anew with another answer, the new one counts.
	newer := Lesson{Topic: "secret", Prompt: one.Prompt, Response: "It is not told any more."}
	taught, _ := topicless.Memorise([]Lesson{newer})
	if v := taught.Ask([]Query{{Prompt: one.Prompt}})[0]; v.Response != newer.Response {
		t.Errorf("taught anew: %+v", v)
	}
}
