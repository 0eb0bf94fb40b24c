package main

import (
	"strings"
	"testing"

	"github.com/nexus-continuum/nexus/topic/topictest"
)

// What the pack general_knowledge must reach through the whole system, on
// phrasings that were never taught.
const (
	mostUnanswered   = 0.15 // of the held-out phrasings
	mostWrong        = 0.03 // of those answered
	mostForeignTaken = 0.10
	mostUnknownTaken = 0.10 // known template, unknown entity
)

// Trains general_knowledge over HTTP, asks its held-out phrasings and foreign
// prompts; then a kill -9 during a training job, and the job ends by itself.
func TestGeneralKnowledge(t *testing.T) {
	if testing.Short() {
		t.Skip("figures of a whole training: the run without -short has them")
	}
	t.Parallel()
	dir := t.TempDir()
	p := start(t, dir, []string{"serve"}, "NEXUS_IDLE_CPU_LIMIT=100", "NEXUS_ACTIVE_CPU_LIMIT=100")
	job := p.finished(p.learnTopic("general_knowledge"))
	if job.Result.LessonsTaken < 1200 || job.Result.Why == "" {
		t.Errorf("result of the job: %+v", job.Result)
	}

	heldout, err := topictest.Heldout()
	if err != nil {
		t.Fatal(err)
	}
	if len(heldout) < 400 {
		t.Fatalf("%d held-out phrasings, want 400", len(heldout))
	}
	answered, wrong := 0, 0
	for _, l := range heldout {
		a := p.ask(l.Prompt)
		if !a.Responded {
			continue
		}
		answered++
		if a.Response != l.Response {
			wrong++
			t.Logf("wrong: %q: %q (confidence %.3f)", l.Prompt, a.Response, a.Confidence)
		}
	}
	t.Logf("held out: %d of %d answered, %d of them wrong", answered, len(heldout), wrong)
	if share := 1 - float64(answered)/float64(len(heldout)); share > mostUnanswered {
		t.Errorf("%.1f %% of the held-out phrasings are refused", 100*share)
	}
	if share := float64(wrong) / float64(max(answered, 1)); share > mostWrong {
		t.Errorf("%.1f %% of the answers are wrong", 100*share)
	}

	taken := func(name string, prompts []topictest.Foreign, err error, most float64) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		got := 0
		for _, f := range prompts {
			if a := p.ask(f.Prompt); a.Responded {
				got++
				t.Logf("%s answered: %q: %q (confidence %.3f)", name, f.Prompt, a.Response, a.Confidence)
			}
		}
		t.Logf("%s: %d of %d answered", name, got, len(prompts))
		if share := float64(got) / float64(len(prompts)); share > most {
			t.Errorf("%s: %.1f %% were answered", name, 100*share)
		}
	}
	foreign, err := topictest.ForeignPrompts()
	if len(foreign) < 300 {
		t.Errorf("%d foreign prompts, want 300", len(foreign))
	}
	taken("foreign", foreign, err, mostForeignTaken)
	unknown, err := topictest.UnknownEntities()
	taken("unknown entity", unknown, err, mostUnknownTaken)

	// More lessons, and a kill -9 as soon as their gradient steps have begun.
	lessons := make([]lesson, 0, 60)
	for _, part := range []string{"pump", "valve", "filter", "gasket", "bearing", "sensor"} {
		for _, ask := range []string{
			"Where do we keep the spare %s?", "spare %s location", "in which store is the %s", "I need a new %s, where is it",
			"which shelf holds the %s", "who has the spare %s", "find the %s for me", "%s: where", "where can I pick up a %s", "location of the replacement %s",
		} {
			lessons = append(lessons, lesson{strings.Replace(ask, "%s", part, 1), "The spare " + part + " lies in store " + part[:1] + "."})
		}
	}
	killed := p.teach("stores", lessons...)
	p.eventually("gradient steps", func() bool {
		j := p.job(killed.ID)
		return j.Progress.Phase == "consolidating" || j.State == "succeeded"
	})
	p.kill()

	p = start(t, dir, []string{"serve"})
	p.eventually("the job ends by itself", func() bool { return p.job(killed.ID).State == "succeeded" })
	for _, l := range lessons {
		if a := p.ask(l.Prompt); !a.Responded || a.Response != l.Response {
			t.Errorf("after the crash %q: %+v", l.Prompt, a)
		}
	}
}
