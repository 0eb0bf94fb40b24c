package worker

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/queue/provider"
	"github.com/nexus-continuum/nexus/worker/embedding"
	"github.com/nexus-continuum/nexus/worker/embedding/embeddingtest"
)

// desk are the lessons of a help desk, one answer a line: its phrasings, the first of
// which a test leaves out and asks.
const desk = `my secret word slipped my mind | how do i reset my password | password forgotten, what now | i need a new password → Choose “Forgot password”.
nobody can reach the machine in the hall | the printer is offline | why does the printer not print | printer shows offline → Turn the printer off and on.
getting on the net at the office fails | how do i connect to the wifi | wireless network settings | which wifi do we use → Choose the network called office.
somebody took my phone on the train | i lost my mobile | my mobile was stolen | what if a mobile is missing → Call the help line at once.
a chat with the boss of sales | where do i find the sales team | sales contact | who works in sales → Sales sits on the third floor.
money back for a hotel night | how do i claim travel expenses | travel expenses form | expenses of a journey → Fill in the travel form.
a day at home with the kids | how do i ask for vacation | vacation request | i want to take a vacation → Ask your manager in the calendar.
heat in here is killing me | the air conditioning is broken | how do i set the air conditioning | air conditioning too warm → Tell the caretaker.`

// deskLessons splits desk into lessons and the prompts that were left out.
func deskLessons(s *embeddingtest.Server) (lessons, asked []string) {
	for line := range strings.Lines(desk) {
		prompts, response, _ := strings.Cut(strings.TrimSpace(line), " → ")
		parts := strings.Split(prompts, " | ")
		s.Same(parts...)
		asked = append(asked, parts[0])
		for _, p := range parts[1:] {
			lessons = append(lessons, p+" → "+response)
		}
	}
	return lessons, asked
}

// seesWith are options with an embedding server.
func seesWith(t *testing.T, s *embeddingtest.Server, name string, patience time.Duration) func(*Options) {
	t.Helper()
	client, err := embedding.New(embedding.Options{URL: s.URL, Model: name, APIKey: embeddingtest.Key})
	if err != nil {
		t.Fatal(err)
	}
	return func(o *Options) { o.Embeddings = &Embeddings{Server: client, Timeout: patience} }
}

// seen waits until w sends prompts to the embedding server for its lessons.
func (b *bundle) seen(w *Worker, name string) {
	b.Helper()
	b.until("the lessons are embedded by "+name, func() bool {
		both := w.served.Load().both.Load()
		return both != nil && both.Space().Name == name
	})
}

func (b *bundle) answers(prompts []string) (responded int, all []job.Answer) {
	b.Helper()
	for _, p := range prompts {
		a := b.ask(p)
		if a.Responded {
			responded++
		}
		all = append(all, a)
	}
	return responded, all
}

// lessonsSent counts the lessons that a model was asked for.
func lessonsSent(s *embeddingtest.Server, name string, lessons []string) (n int) {
	for _, a := range s.Asked() {
		for _, text := range a.Texts {
			if a.Model == name && slices.ContainsFunc(lessons, func(l string) bool { return strings.HasPrefix(l, text+" → ") }) {
				n++
			}
		}
	}
	return n
}

func TestAnEmbeddingServerHasMoreAnswered(t *testing.T) {
	t.Parallel()
	s := embeddingtest.Start(t, map[string]int{"tiny": 64}) // ends after the worker
	b := setup(t, provider.Embedded)
	lessons, asked := deskLessons(s)
	w := b.worker(seesWith(t, s, "tiny", timeout))
	s.Hold()
	b.ends(b.teach(lessons...)) // without waiting for the server
	alone, _ := b.answers(asked)
	s.Release()
	b.seen(w, "tiny")
	with, all := b.answers(asked)
	if alone > 3 || with < 7 {
		t.Errorf("answered alone %d, with the server %d of %d: %+v", alone, with, len(asked), all)
	}
	if refused := b.ask("how tall is the tower of Pisa"); refused.Responded {
		t.Errorf("a prompt that nobody taught is answered: %+v", refused)
	}

	sent := len(s.Asked())
	b.answers(asked) // they are kept
	if again := b.ask("how do i reset my password"); !again.Responded || len(s.Asked()) != sent {
		t.Errorf("a repeated lesson and prompts asked before made %d requests", len(s.Asked())-sent)
	}
	if e := w.views.report(w.served.Load()); !e.Serving || e.Lessons != len(lessons) || e.Dimensions != 64 || e.Sent == 0 {
		t.Errorf("it says of itself %+v", e)
	}

	// A caller that gives up soon is not sent there.
	soon, cancel := context.WithTimeout(b.ctx, time.Second)
	defer cancel()
	first := answered{by: w.served.Load(), verdict: model.Verdict{Reason: job.ReasonLowConfidence}}
	if got := w.second(soon, model.Query{Prompt: "a prompt in a hurry"}, first, true); got.verdict.Reason != first.verdict.Reason || s.Knows("tiny", "a prompt in a hurry") {
		t.Errorf("a prompt in a hurry was sent to the server: %+v", got.verdict)
	}
}

func TestADeadEmbeddingServerIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	s := embeddingtest.Start(t, map[string]int{"tiny": 64})
	b := setup(t, provider.Embedded)
	lessons, asked := deskLessons(s)
	w := b.worker(seesWith(t, s, "tiny", 50*time.Millisecond))
	b.ends(b.teach(lessons...))
	b.seen(w, "tiny")

	s.Hold() // it takes requests and says nothing
	for i := 0; w.breakerStates()["embeddings"].State != "open"; i++ {
		if i == 20*breakerFailures {
			t.Fatal("the breaker does not open")
		}
		b.ask(fmt.Sprintf("%s, case %d", asked[1+i%7], i))
	}
	s.Release()
	sent := len(s.Asked())
	if a := b.ask("where do i find the sales team?"); !a.Responded {
		t.Errorf("a lesson is not answered while the breaker is open: %+v", a)
	}
	b.answers(asked)
	if n := len(s.Asked()) - sent; n != 0 {
		t.Errorf("%d requests while the breaker is open", n)
	}
	if e := w.views.report(w.served.Load()); e.Failed < breakerFailures {
		t.Errorf("it says of itself %+v", e)
	}
}

func TestVectorsOutliveTheProcessAndTheModelThatMadeThem(t *testing.T) {
	t.Parallel()
	s := embeddingtest.Start(t, map[string]int{"tiny": 64, "other": 48})
	b := setup(t, provider.Embedded)
	lessons, asked := deskLessons(s)
	w := b.worker(seesWith(t, s, "tiny", timeout))
	b.ends(b.teach(lessons...))
	b.seen(w, "tiny")
	sent := lessonsSent(s, "tiny", lessons)

	// Another process of the fleet, and the next one, have them from the checkpoint.
	tiny := seesWith(t, s, "tiny", timeout)
	beside := b.worker(func(o *Options) { tiny(o); o.ServeOnly = true })
	b.seen(beside, "tiny")
	b.end(w)
	b.end(beside)
	w = b.worker(tiny)
	b.seen(w, "tiny")
	if n, _ := b.answers(asked); n < 7 {
		t.Errorf("answered after a restart %d of %d", n, len(asked))
	}
	if n := lessonsSent(s, "tiny", lessons); n != sent {
		t.Errorf("%d lessons were embedded again", n-sent)
	}

	// What is unlearned is gone from there too.
	for _, prompt := range []string{"how do i reset my password", "password forgotten, what now", "i need a new password"} {
		b.ends(b.forget(prompt))
	}
	b.until("the vectors of unlearned lessons go", func() bool {
		m, _ := w.Served()
		return m.Seen() == len(lessons)-3 && w.served.Load().both.Load() != nil
	})
	if a := b.ask(asked[0]); a.Responded {
		t.Errorf("what was unlearned is answered: %+v", a)
	}
	b.end(w)

	// Another model takes over when it has seen all lessons; the old one serves until then.
	s.Hold()
	w = b.worker(seesWith(t, s, "other", timeout))
	b.seen(w, "tiny")
	if e := w.views.report(w.served.Load()); !e.Serving || !e.Outdated {
		t.Errorf("it says of itself %+v", e)
	}
	s.Release()
	b.seen(w, "other")
	if n, all := b.answers(asked[1:]); n < 6 {
		t.Errorf("answered with another model %d of %d: %+v", n, len(asked)-1, all)
	}
}

func TestAnEmbeddingServerThatRefusesIsNamedInTheHealth(t *testing.T) {
	t.Parallel()
	s := embeddingtest.Start(t, map[string]int{"tiny": 64})
	b := setup(t, provider.Embedded)
	lessons, _ := deskLessons(s)
	w := b.worker(seesWith(t, s, "gone", timeout))
	b.ends(b.teach(lessons...))
	b.until("the refusal is noted", func() bool {
		e := w.views.report(w.served.Load())
		return strings.Contains(e.Issue, "NEXUS_EMBEDDINGS_MODEL") && !e.Serving
	})
}
