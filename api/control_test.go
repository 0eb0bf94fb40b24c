package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/storage"
)

func TestControl(t *testing.T) {
	t.Parallel()
	b := setup(t)
	state := func(name string) any { return b.get("/api/status").json(t)["control"].(map[string]any)[name] }
	for _, step := range []struct{ body, status, name, want string }{
		{`{"action":"pause"}`, "paused", "paused", "true"},
		{`{"action":"pause"}`, "paused", "paused", "true"},
		{`{"action":"resume"}`, "resumed", "paused", "false"},
		{`{"action":"train_stop"}`, "training_stopped", "training", "false"},
	} {
		a := b.post("/api/control", step.body)
		if a.status != http.StatusOK || a.text(t, "status") != step.status {
			t.Errorf("%s: %d %s", step.body, a.status, a.body)
		}
		if got := state(step.name); (got == true) != (step.want == "true") {
			t.Errorf("after %s, %s is %v", step.body, step.name, got)
		}
	}
	if m := b.get("/api/status").json(t); m["daemon"].(map[string]any)["paused"] != false {
		t.Errorf("daemon: %v", m["daemon"])
	}
	a := b.post("/api/control", `{"action":"train_start","topic":"general_knowledge"}`)
	if a.text(t, "status") != "training_started" || a.text(t, "topic") != "general_knowledge" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if j := b.ended(a.text(t, "job_id")); j["state"] != "succeeded" || state("training") != true || state("topic") != "general_knowledge" {
		t.Errorf("job %v, training %v on %v", j, state("training"), state("topic"))
	}
	if a := b.post("/api/control", `{"action":"train_start"}`); a.status != http.StatusOK || a.text(t, "job_id") == "" {
		t.Errorf("without a topic: %d %s", a.status, a.body)
	}
}

func TestBadControl(t *testing.T) {
	t.Parallel()
	b := setup(t)
	known := []string{"pause", "resume", "train_start", "train_stop", "checkpoint", "rollback"}
	b.wantError(b.post("/api/control", `{"action":"dance"}`), 400, job.CodeUnknownAction, "action", append(known, "dance")...)
	b.wantError(b.post("/api/control", `{}`), 400, job.CodeUnknownAction, "action", known...)
	b.wantError(b.post("/api/control", `{"action":"pause","topic":"x"}`), 400, job.CodeInvalid, "topic")
	b.wantError(b.post("/api/control", `{"action":"pause","checkpoint":"x"}`), 400, job.CodeInvalid, "checkpoint")
	b.wantError(b.post("/api/control", `{"action":"rollback"}`), 400, job.CodeInvalid, "checkpoint")
	b.wantError(b.post("/api/control", `{"action":"rollback","checkpoint":"`+job.NewID()+`"}`), 404, job.CodeNotFound, "checkpoint")
	b.wantError(b.post("/api/control", `{"action":"train_start","topic":"alchemy"}`), 400, job.CodeUnknownTopic, "topic", "general_knowledge")
	b.wantError(b.post("/api/checkpoints/none/promote", ``), 404, job.CodeNotFound, "checkpoint")
	b.wantStored(0)
}

func TestCheckpointsAndRollback(t *testing.T) {
	t.Parallel()
	b := setup(t)
	saver := storage.NewCheckpoints(b.store, storage.Options{})
	first, err := saver.Save(t.Context(), "", []storage.Part{{Name: "weights", Data: []byte("one")}}, storage.Meta{Architecture: "flowing", Size: "small", Lessons: 1, Why: "memorised"})
	b.must(err)
	second, err := saver.Save(t.Context(), first.ID, []storage.Part{{Name: "weights", Data: []byte("two")}}, storage.Meta{Architecture: "flowing", Size: "small", Lessons: 2, Why: "consolidated"})
	b.must(err)
	heard := b.queue.Subscribe(t.Context(), job.ChannelCheckpoint)

	list := b.get("/api/checkpoints")
	if m := list.json(t); m["head"] != second.ID || len(m["checkpoints"].([]any)) != 2 {
		t.Fatalf("%s", list.body)
	}
	a := b.post("/api/control", `{"action":"rollback","checkpoint":"`+first.ID+`"}`)
	if a.text(t, "status") != "rolled_back" || a.text(t, "checkpoint") != first.ID {
		t.Fatalf("%d %s", a.status, a.body)
	}
	for msg := range heard {
		if msg == first.ID {
			break // the workers were told
		}
	}
	if a := b.do("POST", "/api/checkpoints/"+second.ID+"/promote", nil); a.status != http.StatusOK || a.text(t, "status") != "promoted" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if m := b.get("/api/status").json(t); !strings.Contains(string(b.get("/api/status").body), second.ID) || len(m["checkpoints"].([]any)) != 2 {
		t.Errorf("status: %v", m["checkpoints"])
	}
	saved := b.queue.Subscribe(t.Context(), job.ChannelControl)
	if a := b.post("/api/control", `{"action":"checkpoint"}`); a.text(t, "status") != "checkpoint_requested" || a.text(t, "checkpoint") != second.ID {
		t.Errorf("%d %s", a.status, a.body)
	}
	for msg := range saved {
		if msg == job.MessageSave {
			break // the trainer was told
		}
	}
}
