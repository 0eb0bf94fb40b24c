package memory_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/nexus-continuum/nexus/model/memory"
	"github.com/nexus-continuum/nexus/model/text"
	"github.com/nexus-continuum/nexus/model/wire"
)

const dim = 16

// encode gives each prompt a unit vector that follows from its words.
func encode(dst []float32, prompt string) {
	var p text.Prompt
	text.Reader{Buckets: 1 << 20}.Read(&p, prompt)
	clear(dst)
	for t := range p.Words {
		rng := rand.New(rand.NewPCG(p.Keys[t], 1))
		for i := range dst {
			dst[i] += float32(rng.NormFloat64())
		}
	}
	norm := 0.0
	for _, x := range dst {
		norm += float64(x * x)
	}
	for i := range dst {
		dst[i] /= float32(max(math.Sqrt(norm), 1e-9))
	}
}

func lessons(n int) []memory.Lesson {
	out := make([]memory.Lesson, n)
	for i := range out {
		out[i] = memory.Lesson{Topic: fmt.Sprintf("topic %d", i%3), Prompt: fmt.Sprintf("prompt number %d of word%d", i, i%17), Response: fmt.Sprintf("answer %d", i/4)}
	}
	return out
}

func search(s *memory.Store, prompt, topic string) memory.Found {
	var f text.Form
	var sc memory.Scratch
	f.Read(prompt)
	v := make([]float32, dim)
	encode(v, prompt)
	found := make([]memory.Found, 1)
	s.Search([]memory.Query{{Vector: v, Form: &f, Topic: topic}}, found, &sc)
	return found[0]
}

// A negation turns the meaning of an answer whose lessons have none, and of one with a
// single odd lesson that has. Where several lessons have one, it is a way of asking.
func TestANegationTurnsWhatIsNotTaughtWithIt(t *testing.T) {
	t.Parallel()
	plain := []string{"can i use oil for butter in a cake", "use oil for butter today", "please use oil for butter here", "now use oil for butter at home"}
	for _, c := range []struct {
		negated int
		turned  bool
	}{{0, true}, {1, true}, {2, false}, {4, false}} {
		var all []memory.Lesson
		for _, p := range plain {
			all = append(all, memory.Lesson{Prompt: p, Response: "oil"})
		}
		for i := range c.negated {
			all = append(all, memory.Lesson{Prompt: fmt.Sprintf("there is not any cream%d in the house number %d", i, i), Response: "oil"})
		}
		s, _ := memory.New(dim).Add(append(all, lessons(20)...), encode)
		found := search(s, "do not use oil for butter today", "").Candidates
		if len(found) == 0 || (found[0].Negated > 0.5) != c.turned {
			t.Errorf("with %d negated lessons: %+v", c.negated, found)
		}
	}
}

// In whatever steps lessons come, what is found is the same.
func TestStepsDoNotMatter(t *testing.T) {
	t.Parallel()
	all := lessons(400)
	once, _ := memory.New(dim).Add(all, encode)
	steps := memory.New(dim)
	for i := 0; i < len(all); {
		n := min(1+i%37, len(all)-i)
		steps, _ = steps.Add(all[i:i+n], encode)
		i += n
	}
	for _, p := range []string{"prompt number 7 of word7", "number 130", "word3", "nothing known"} {
		a, b := search(once, p, ""), search(steps, p, "")
		if fmt.Sprint(a) != fmt.Sprint(b) {
			t.Errorf("%q: at once %v, step by step %v", p, a, b)
		}
	}
	if a, b := once.Parts(), steps.Parts(); len(a) != len(b) {
		t.Errorf("%d parts at once and %d step by step", len(a), len(b))
	} else {
		for i := range a {
			if !bytes.Equal(a[i].Data, b[i].Data) {
				t.Errorf("part %s differs", a[i].Name)
			}
		}
	}
}

func TestOldStoreStaysAsItWas(t *testing.T) {
	t.Parallel()
	s, _ := memory.New(dim).Add(lessons(100), encode)
	before := fmt.Sprint(search(s, "prompt number 7 of word7", ""))
	changed := lessons(200)
	for i := range changed {
		changed[i].Response = "other"
	}
	s.Add(changed, encode)
	s.Remove(func(memory.Lesson) bool { return true }, encode)
	if after := fmt.Sprint(search(s, "prompt number 7 of word7", "")); after != before || s.Len() != 100 {
		t.Errorf("found %s and then %s", before, after)
	}
}

func TestReplacedAndRemovedLessonsAreNotFound(t *testing.T) {
	t.Parallel()
	s, _ := memory.New(dim).Add(lessons(200), encode)
	again := lessons(200)[50:150]
	for i := range again {
		again[i].Response = "new"
	}
	s, added := s.Add(again, encode)
	if added.Added != 100 || len(added.Replaced) != 100 || s.Len() != 200 {
		t.Fatalf("%+v with %d lessons", added.Added, s.Len())
	}
	for i := range 200 {
		f := search(s, lessons(200)[i].Prompt, "")
		for _, n := range f.Near {
			l := s.Lesson(n.Lesson)
			if want := 50 <= atoi(l.Prompt) && atoi(l.Prompt) < 150; (l.Response == "new") != want {
				t.Fatalf("found %+v", l)
			}
		}
	}
	s, n := s.Remove(func(l memory.Lesson) bool { return l.Response == "new" }, encode)
	if n != 100 || s.Len() != 100 {
		t.Fatalf("removed %d, %d left", n, s.Len())
	}
	for _, n := range search(s, "prompt number 60 of word9", "").Near {
		if s.Lesson(n.Lesson).Response == "new" {
			t.Error("a removed lesson is found")
		}
	}
	if s, n = s.Remove(func(memory.Lesson) bool { return true }, encode); n != 100 || s.Len() != 0 || s.Answers() != 0 {
		t.Errorf("%d removed of the rest, %d left", n, s.Len())
	}
	if f := search(s, "prompt", ""); len(f.Near) > 0 {
		t.Error("an empty memory finds something")
	}
}

func atoi(prompt string) (n int) {
	_, _ = fmt.Sscanf(prompt, "prompt number %d", &n)
	return n
}

func TestTopicNarrowsTheSearch(t *testing.T) {
	t.Parallel()
	s, _ := memory.New(dim).Add(lessons(300), encode)
	f := search(s, "prompt number 7 of word7", "topic 2")
	if len(f.Near) == 0 {
		t.Fatal("nothing found")
	}
	for _, n := range f.Near {
		if got := s.Topic(n.Lesson); got != "topic 2" {
			t.Errorf("found a lesson of %s", got)
		}
	}
	if f := search(s, "prompt", "no such topic"); len(f.Near)+len(f.Candidates) > 0 {
		t.Error("a topic that nobody taught finds something")
	}
}

func TestAnswersKeepBoundedExemplarsAndAllLessons(t *testing.T) {
	t.Parallel()
	many := make([]memory.Lesson, 1000)
	for i := range many {
		many[i] = memory.Lesson{Prompt: fmt.Sprintf("way %d to say thing%d", i, i*7), Response: "one"}
	}
	s, _ := memory.New(dim).Add(many, encode)
	if s.Len() != 1000 || s.Exemplars() > 2*memory.MaxExemplars {
		t.Errorf("%d lessons, %d exemplars", s.Len(), s.Exemplars())
	}
	s = s.Recode(dim, encode).Finish()
	if s.Len() != 1000 || s.Exemplars() != memory.MaxExemplars {
		t.Errorf("recoded: %d lessons, %d exemplars, want %d", s.Len(), s.Exemplars(), memory.MaxExemplars)
	}
	var f text.Form
	var sc memory.Scratch
	for i := range many {
		f.Read(many[i].Prompt)
		if _, how := s.Repeated(&memory.Query{Form: &f}, &sc); how != memory.Same {
			t.Fatalf("%q is not known word for word", many[i].Prompt)
		}
	}
}

func TestLeftOutAnswersAreNotFound(t *testing.T) {
	t.Parallel()
	s, _ := memory.New(dim).Add(lessons(100), encode)
	s.Each(0, func(n, a uint32) bool {
		var f text.Form
		var sc memory.Scratch
		f.Read(s.Prompt(n))
		v := make([]float32, dim)
		encode(v, s.Prompt(n))
		found := make([]memory.Found, 2)
		q := memory.Query{Vector: v, Form: &f, WithoutLesson: n + 1}
		whole := q
		whole.WithoutAnswer = a + 1
		s.Search([]memory.Query{q, whole}, found, &sc)
		for _, x := range found[0].Near {
			if x.Lesson == n {
				t.Errorf("lesson %d finds itself", n)
			}
		}
		for _, c := range found[1].Candidates {
			if c.Answer == a {
				t.Errorf("answer %d is found though left out", a)
			}
		}
		if _, how := s.Repeated(&whole, &sc); how != memory.NoRepeat {
			t.Errorf("lesson %d repeats what was left out", n)
		}
		return !t.Failed()
	})
}

func TestSearchAllocatesNothing(t *testing.T) {
	s, _ := memory.New(dim).Add(lessons(500), encode)
	var f text.Form
	var sc memory.Scratch
	f.Read("promt number 7 of word7")
	v := make([]float32, dim)
	encode(v, "prompt number 7 of word7")
	queries, found := []memory.Query{{Vector: v, Form: &f}}, make([]memory.Found, 1)
	run := func() {
		s.Search(queries, found, &sc)
		s.Repeated(&queries[0], &sc)
	}
	run()
	if n := testing.AllocsPerRun(50, run); n > 0 {
		t.Errorf("a search allocates %.0f times", n)
	}
}

func FuzzOpen(f *testing.F) {
	s, _ := memory.New(dim).Add(append(lessons(20), memory.Lesson{Prompt: "no", Refusal: true}), encode)
	s, _ = s.Add([]memory.Lesson{{Topic: "topic 0", Prompt: "prompt number 0 of word0", Response: "new"}}, encode)
	parts := s.Parts()
	for i, p := range parts {
		f.Add(uint8(i), p.Data)
	}
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		hostile := append([]wire.Part(nil), parts...)
		hostile[int(which)%len(parts)].Data = data
		s, err := memory.Open(dim, hostile)
		if err != nil {
			return
		}
		search(s, "prompt number 0 of word0", "")
		s, _ = s.Remove(func(l memory.Lesson) bool { return l.Topic == "topic 1" }, encode)
		if _, err := memory.Open(dim, s.Parts()); err != nil {
			t.Fatalf("what was opened cannot be opened again: %v", err)
		}
	})
}
