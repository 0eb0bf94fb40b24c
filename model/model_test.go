package model_test

import (
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/model"
)

// each runs f for both architectures.
func each(t *testing.T, f func(t *testing.T, cfg model.Config)) {
	for _, a := range []string{model.Flowing, model.Layered} {
		t.Run(a, func(t *testing.T) {
			t.Parallel()
			f(t, model.Config{Architecture: a, Seed: 3})
		})
	}
}

func fresh(t testing.TB, cfg model.Config) *model.Model {
	t.Helper()
	m, err := model.New(cfg)
	if err != nil {
		t.Fatalf("new model: %v", err)
	}
	return m
}

func TestFreshModelRefusesEverything(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, cfg model.Config) {
		for _, p := range []string{"", "hello", "What is the capital of Ghana?", strings.Repeat("a", 8000), "\xff"} {
			if v := ask(fresh(t, cfg), p); v.Responded || v.Reason != job.ReasonUntaught {
				t.Errorf("%.20q: %+v, want a refusal as untaught", p, v)
			}
		}
	})
}

func TestOneLessonAnswersItsOwnWords(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, cfg model.Config) {
		m, done := fresh(t, cfg).Memorise([]model.Lesson{{Topic: "support", Prompt: "How do I reset my password?", Response: "Open Settings, then Security."}})
		if done.Added != 1 {
			t.Fatalf("memorised %+v, want one", done)
		}
		for _, p := range []string{
			"How do I reset my password?", "how do i reset my password", "HOW DO I RESET MY PASSWORD!!",
			"how do i reset my pasword", "how do i reste my password?", "how do i reset my pass word", "my password, how do I reset?",
		} {
			v := ask(m, p)
			if !v.Responded || v.Response != "Open Settings, then Security." || v.Topic != "support" {
				t.Errorf("%q: %+v, want the lesson's response", p, v)
			}
			if len(v.Sources()) == 0 || v.Sources()[0].Prompt != "How do I reset my password?" {
				t.Errorf("%q: sources %+v, want the lesson", p, v.Sources())
			}
		}
		for _, p := range []string{"Who won the 1998 world cup?", "blorf snib tralduk", "how do I", "東京はどこ", "?", "how do i reset my router"} {
			if v := ask(m, p); v.Responded {
				t.Errorf("%q is answered with %q at %.2f", p, v.Response, v.Confidence)
			}
		}
	})
}

func TestNeighboursAreNotTypos(t *testing.T) {
	t.Parallel()
	m := taught(t, []model.Lesson{
		{Topic: "capitals", Prompt: "What is the capital of Iran?", Response: "Tehran."},
		{Topic: "capitals", Prompt: "What is the capital of Ghana?", Response: "Accra."},
		{Topic: "capitals", Prompt: "What is the capital of Austria?", Response: "Vienna."},
		{Topic: "years", Prompt: "Who won in 1998?", Response: "France."},
	})
	for _, p := range []string{
		"What is the capital of Iraq?", "What is the capital of Wakanda?", "What is the capital of Guyana?",
		"What is the capital of Australia?", "Who won in 1994?",
	} {
		if v := ask(m, p); v.Responded {
			t.Errorf("%q is answered with %q at %.2f", p, v.Response, v.Confidence)
		}
	}
	m, _ = m.Memorise([]model.Lesson{{Topic: "capitals", Prompt: "What is the capital of Iraq?", Response: "Baghdad."}})
	for p, want := range map[string]string{"capital of iraq?": "Baghdad.", "what is the capital of iran": "Tehran.", "What is the capitl of Iraq?": "Baghdad."} {
		if v := ask(m, p); v.Responded && v.Response != want {
			t.Errorf("%q is answered with %q", p, v.Response)
		}
	}
}

func TestNewerResponseWins(t *testing.T) {
	t.Parallel()
	m := taught(t, []model.Lesson{{Topic: "shop", Prompt: "When are you open?", Response: "9 to 17."}})
	m, done := m.Memorise([]model.Lesson{{Topic: "shop", Prompt: "when are you OPEN", Response: "8 to 20."}})
	if len(done.Contradictions) != 1 || done.Contradictions[0].Older != "9 to 17." || done.Contradictions[0].Newer != "8 to 20." {
		t.Errorf("contradictions %+v, want the older and the newer response", done.Contradictions)
	}
	if v := ask(m, "When are you open?"); v.Response != "8 to 20." {
		t.Errorf("answered %q, want the newer response", v.Response)
	}
	m, done = m.Memorise([]model.Lesson{{Topic: "shop", Prompt: "When are you open?", Response: "8 to 20."}})
	if done.Known != 1 || done.Added != 0 || m.Info().Lessons != 1 {
		t.Errorf("taught again: %+v and %d lessons, want it known", done, m.Info().Lessons)
	}
	// Back to the first response: the last word counts.
	m, _ = m.Memorise([]model.Lesson{{Topic: "shop", Prompt: "When are you open?", Response: "9 to 17."}})
	if v := ask(m, "When are you open?"); v.Response != "9 to 17." {
		t.Errorf("answered %q after teaching the first response again", v.Response)
	}
}

func TestTaughtRefusalIsGivenAsSuch(t *testing.T) {
	t.Parallel()
	m := taught(t, []model.Lesson{
		{Topic: "bank", Prompt: "What is my balance?", Response: "See Accounts."},
		{Topic: "bank", Prompt: "Which shares should I buy?", Refusal: true},
	})
	for _, p := range []string{"Which shares should I buy?", "which shares should i buy", "which shares shoud I buy"} {
		if v := ask(m, p); v.Responded || v.Reason != job.ReasonTaughtRefusal {
			t.Errorf("%q: %+v, want a taught refusal", p, v)
		}
	}
}

func TestTopicNarrowsWhatMayAnswer(t *testing.T) {
	t.Parallel()
	m := taught(t, []model.Lesson{
		{Topic: "shop", Prompt: "When are you open?", Response: "The shop opens at nine."},
		{Topic: "library", Prompt: "When are you open?", Response: "The library opens at ten."},
	})
	for topic, want := range map[string]string{"shop": "The shop opens at nine.", "library": "The library opens at ten."} {
		if v := m.Ask([]model.Query{{Prompt: "when are you open", Topic: topic}})[0]; v.Response != want {
			t.Errorf("topic %q answers %q, want %q", topic, v.Response, want)
		}
	}
	v := m.Ask([]model.Query{{Prompt: "when are you open"}})[0]
	if prompts := []string{"When are you open?", "When are you open?"}; v.Responded || v.Reason != job.ReasonAmbiguous || len(v.Sources()) != 2 || v.Sources()[0].Prompt != prompts[0] || v.Sources()[0].ID == v.Sources()[1].ID {
		t.Errorf("two topics answer the same question differently: %+v, want a refusal that names both", v)
	}
	if v := m.Ask([]model.Query{{Prompt: "when are you open", Topic: "zoo"}})[0]; v.Reason != job.ReasonUntaught {
		t.Errorf("a topic that nobody taught: %+v", v)
	}
}

func TestUnlearnedLessonsNeverAnswer(t *testing.T) {
	t.Parallel()
	lessons := append(manyLessons(300), model.Lesson{Topic: "secret", Prompt: "what is the code", Response: "1234"}, model.Lesson{Topic: "secret", Prompt: "tell me the code", Response: "1234"})
	m := taught(t, lessons)
	before := m
	m, n := m.Unlearn(func(l model.Lesson) bool { return l.Topic == "secret" })
	if n != 2 || m.Info().Lessons != 300 || m.Info().Topics["secret"] != 0 {
		t.Fatalf("unlearned %d, %+v left", n, m.Info())
	}
	for _, p := range []string{"what is the code", "tell me the code", "the code"} {
		v := ask(m, p)
		if v.Response == "1234" {
			t.Errorf("%q still gives the secret", p)
		}
		for _, s := range v.Sources() {
			if strings.Contains(s.Prompt, "code") {
				t.Errorf("%q still names the unlearned lesson as a source", p)
			}
		}
	}
	for _, p := range m.Parts() {
		if strings.Contains(string(p.Data), "1234") {
			t.Errorf("part %s still holds the secret", p.Name)
		}
	}
	if v := ask(before, "what is the code"); v.Response != "1234" {
		t.Errorf("the model from before has changed: %+v", v)
	}
}

func TestLessonsAreListedInPages(t *testing.T) {
	t.Parallel()
	m := taught(t, append(manyLessons(25), model.Lesson{Topic: "other", Prompt: "x", Response: "y"}))
	var got []model.Lesson
	for cursor, pages := "", 0; ; pages++ {
		page, next := m.Lessons("numbers", cursor, 10)
		got = append(got, page...)
		if next == "" {
			if pages != 2 {
				t.Errorf("%d pages, want 3", pages+1)
			}
			break
		}
		cursor = next
	}
	if len(got) != 25 || got[0].Prompt != "what is item 0 called" || got[0].ID != model.LessonID("numbers", got[0].Prompt) {
		t.Errorf("listed %d lessons, the first %+v", len(got), got[0])
	}
	if l, ok := m.Lesson(got[3].ID); !ok || l != got[3] {
		t.Errorf("lesson by id: %+v, %v", l, ok)
	}
}

func TestManyAskWhileOthersTeach(t *testing.T) {
	t.Parallel()
	m := taught(t, manyLessons(200))
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 30 {
				n := (g*30 + i) % 100
				if v := ask(m, fmt.Sprintf("what is item %d called", n)); v.Response != fmt.Sprintf("It is called %d.", n) {
					t.Errorf("item %d: %+v", n, v)
				}
			}
		})
	}
	next := m
	for i := range 20 {
		next, _ = next.Memorise([]model.Lesson{{Topic: "t", Prompt: fmt.Sprintf("extra %d", i), Response: "e"}})
	}
	wg.Wait()
	if next.Info().Lessons != 220 {
		t.Errorf("%d lessons after teaching, want 220", next.Info().Lessons)
	}
}

func TestBatchGivesWhatSinglePromptsGive(t *testing.T) {
	t.Parallel()
	m := taught(t, manyLessons(120))
	var queries []model.Query
	for i := range 70 {
		queries = append(queries, model.Query{Prompt: fmt.Sprintf("please give the name of item %d", i)})
	}
	for i, v := range m.Ask(queries) {
		one := ask(m, queries[i].Prompt)
		if v.Response != one.Response || v.Reason != one.Reason || math.Abs(v.Confidence-one.Confidence) > 1e-4 {
			t.Errorf("%q: in a batch %+v, alone %+v", queries[i].Prompt, v, one)
		}
	}
}

func TestWrongSettingsAreRefused(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]model.Config{
		"architecture": {Architecture: "recurrent"}, "size": {Size: "huge"}, "target error": {TargetError: 1.5},
		"damping": {Damping: 2}, "replay": {ReplayBuffer: -1},
	} {
		if _, err := model.New(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
