package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/nexus-continuum/nexus/job"
)

func TestAQueueIsPausedAndResumed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if a := b.post("/api/queues/batch/pause", ""); a.text(t, "status") != "paused" {
		t.Fatalf("%d %s", a.status, a.body)
	}
	taken := b.post("/api/jobs", `{"kind":"interact","prompt":"How do I reset my password?"}`)
	if !strings.Contains(taken.text(t, "waiting_for"), whyByHand) {
		t.Errorf("the job that was just taken does not say why it waits: %s", taken.body)
	}
	id := taken.text(t, "id")
	if a := b.get("/api/jobs/" + id); !strings.Contains(a.text(t, "waiting_for"), whyByHand) {
		t.Errorf("the job does not say why it waits: %s", a.body)
	}
	if a := b.get("/api/status"); !strings.Contains(string(a.body), "queue batch is paused") {
		t.Errorf("the health does not name the queue: %s", a.body)
	}
	if a := b.post("/api/queues/batch/resume", ""); a.text(t, "status") != "resumed" {
		t.Fatalf("%d %s", a.status, a.body)
	}
	b.ended(id)

	b.post("/api/queues/train/pause", "")
	if a := b.get("/api/status"); a.json(t)["daemon"].(map[string]any)["paused"] != true {
		t.Errorf("a paused queue for training is not the pause of learning: %s", a.body)
	}
	b.post("/api/queues/train/resume", "")
	b.wantError(b.post("/api/queues/mail/pause", ""), http.StatusNotFound, job.CodeNotFound, "", "interactive, batch and train")
}
