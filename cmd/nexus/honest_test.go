package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// Sixty questions before anything is taught are no fault of the service: its health
// stays whole.
func TestUntaughtRefusalsAreNoFault(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir(), []string{"serve"})
	for i := range 60 {
		p.ask(fmt.Sprintf("where is room %d", i))
	}
	var v struct {
		Health struct {
			Healthy bool
			Status  string
			Issues  []string
		}
		Metrics struct{ Requests struct{ Total int } }
	}
	p.call("GET", "/api/status", nil, &v)
	if v.Metrics.Requests.Total != 60 || !v.Health.Healthy || v.Health.Status != "healthy" {
		t.Errorf("after 60 refusals of what was never taught: %+v", v)
	}
}

// What jobs and checkpoints say of learning: durations in ms, and the shares that the
// target bounds, not others under their names.
func TestFiguresAreThoseThatAreBounded(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir(), []string{"serve"})
	topics := []string{"printer", "projector", "badge", "laptop", "phone", "desk lamp", "coffee machine", "scanner"}
	forms := []string{
		"my %s is broken", "the %s does not work", "how do I get a new %s", "can I have the %s repaired", "who mends the %s", "%s out of order",
		"what do I do when the %s fails", "I need help with my %s", "there is a fault with the %s", "please fix the %s", "whom do I call about the %s", "the %s will not start",
	}
	var lessons []lesson
	for _, what := range topics {
		for _, form := range forms {
			lessons = append(lessons, lesson{fmt.Sprintf(form, what), "Bring the " + what + " to room " + fmt.Sprint(len(what)) + "."})
		}
	}
	job := p.finished(p.teach("repairs", lessons...).ID)
	var raw struct {
		Result map[string]json.RawMessage `json:"result"`
	}
	p.call("GET", "/api/jobs/"+job.ID, nil, &raw)
	if raw.Result["seconds"] != nil || raw.Result["duration_ms"] == nil {
		t.Errorf("a train job does not tell its duration in ms: %v", raw.Result)
	}
	const target = 0.05
	bounded := func(of string, b json.RawMessage) {
		var f *struct {
			Prompts       int      `json:"prompts"`
			WrongAnswered *float64 `json:"wrong_answered"`
			Foreign       *float64 `json:"foreign_refused"`
		}
		if err := json.Unmarshal(b, &f); err != nil || f == nil || f.WrongAnswered == nil || f.Foreign == nil || f.Prompts == 0 {
			t.Fatalf("%s: %s, %v", of, b, err)
		}
		if *f.WrongAnswered > target || *f.Foreign < 1-5*target {
			t.Errorf("%s break the promise of the target %.2f: %s", of, target, b)
		}
	}
	bounded("the figures after", raw.Result["after"])
	bounded("the figures before", raw.Result["before"])
	var page struct {
		Checkpoints []struct {
			Head    bool
			Figures json.RawMessage
		}
	}
	p.call("GET", "/api/checkpoints", nil, &page)
	for _, c := range page.Checkpoints {
		if c.Head {
			bounded("the figures of the checkpoint", c.Figures)
		}
	}

	for _, l := range lessons {
		for _, s := range p.ask(l.Prompt).Sources {
			if s.Similarity > 1 {
				t.Fatalf("%q is %v similar to %q", l.Prompt, s.Similarity, s.Prompt)
			}
		}
	}

	var gone task
	if code, _ := p.call("DELETE", "/api/lessons?topic=repairs", nil, &gone); code != http.StatusAccepted {
		t.Fatalf("unlearn: %d", code)
	}
	p.finished(gone.ID)
	var whole json.RawMessage
	p.call("GET", "/api/jobs/"+gone.ID, nil, &whole)
	if said := strings.ToLower(string(whole)); strings.Contains(said, "answer from now on") || strings.Contains(said, "answering now") {
		t.Errorf("an unlearn job says %s", whole)
	}
}

// A full lane of lessons that does not move, because learning is paused, says so and
// does not send clients back within the second.
func TestAFullTrainQueueSaysThatItIsPaused(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir(), []string{"serve"}, "NEXUS_MAX_QUEUE=2")
	p.call("POST", "/api/control", map[string]string{"action": "pause"}, nil)
	for i := range 8 {
		var fault struct{ Detail string }
		body := map[string]any{"lessons": []lesson{{fmt.Sprintf("question %d", i), "answer"}}}
		code, h := p.call("POST", "/api/lessons", body, &fault)
		if code == http.StatusAccepted {
			continue
		}
		if code != http.StatusServiceUnavailable || !strings.Contains(fault.Detail, "pause") || h.Get("Retry-After") == "1" || h.Get("Retry-After") == "" {
			t.Errorf("a full queue of a paused trainer: %d, Retry-After %q, %q", code, h.Get("Retry-After"), fault.Detail)
		}
		return
	}
	t.Error("eight datasets fit into a queue of two")
}
