package main

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// forget unlearns a topic and waits until that is done.
func (p *process) forget(topic string) {
	p.t.Helper()
	var j task
	if code, _ := p.call("DELETE", "/api/lessons?topic="+topic, nil, &j); code != http.StatusAccepted {
		p.t.Fatalf("forget %s: status %d: %s", topic, code, j.Detail)
	}
	p.finished(j.ID)
}

// untaught asks for what was unlearned, n times.
func (p *process) untaught(when string, n int, prompt string) {
	p.t.Helper()
	for i := range n {
		if a := p.ask(prompt); a.Responded || a.Reason == nil || *a.Reason != "untaught" {
			p.t.Fatalf("%s, ask %d: %q answers %+v, want untaught", when, i, prompt, a)
		}
	}
	var page struct {
		Lessons []lesson `json:"lessons"`
	}
	if code, _ := p.call("GET", "/api/lessons", nil, &page); code != http.StatusOK || len(page.Lessons) != 0 {
		p.t.Fatalf("%s: lessons listed: %d %v", when, code, page.Lessons)
	}
}

const phone = "What is the phone number of Ms Rossi?"

// What was unlearned is never answered again: not after the prompts that came
// before it, a restart, a crash, a rollback or a restore.
func TestUnlearningIsFinal(t *testing.T) {
	t.Parallel()
	dir, backup := t.TempDir(), filepath.Join(t.TempDir(), "before.tar.gz")
	p := start(t, dir, []string{"serve"})
	p.finished(p.teach("hr", lesson{phone, "555-0100"}).ID)
	for range 4 {
		if a := p.ask(phone); a.Response != "555-0100" {
			t.Fatalf("taught: %+v", a)
		}
	}
	must(t, dir, nil, "backup", backup)
	taught := ""
	p.eventually("the status names the checkpoint", func() bool { taught = p.served(); return taught != "" })
	p.forget("hr")
	p.untaught("after the unlearning", 14, phone)
	p.stop()

	p = start(t, dir, []string{"serve"})
	p.untaught("after a restart", 4, phone)
	if code, _ := p.call("POST", "/api/checkpoints/"+taught+"/promote", nil, nil); code != http.StatusOK {
		t.Fatalf("rollback: %d", code)
	}
	p.untaught("after a rollback", 4, phone)
	p.kill()
	p = start(t, dir, []string{"serve"})
	p.untaught("after a rollback and a crash", 4, phone)
	p.stop()

	must(t, dir, nil, "restore", "--force", backup)
	p = start(t, dir, []string{"serve"})
	p.untaught("after a restore from a backup that holds it", 4, phone)
	p.stop()
	must(t, dir, nil, "restore", "--force", "--bring-back", backup)
	p = start(t, dir, []string{"serve"})
	if a := p.ask(phone); a.Response != "555-0100" {
		t.Errorf("restored to be answered again: %+v", a)
	}
}

// The 202 of an unlearning outlives a crash at once, as that of a lesson does.
func TestUnlearningOutlivesACrash(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := start(t, dir, []string{"serve"})
	p.finished(p.teach("hr", lesson{phone, "555-0100"}).ID)
	var j task
	code, _ := p.call("DELETE", "/api/lessons?topic=hr", nil, &j)
	p.kill()
	if code != http.StatusAccepted {
		t.Fatalf("forget: status %d: %s", code, j.Detail)
	}
	p = start(t, dir, []string{"serve"})
	p.untaught("after a crash", 4, phone)
}

// startRedis runs a Redis until the test ends and returns its URL.
func startRedis(t *testing.T) string {
	t.Helper()
	port := freePort(t)
	cmd := exec.Command("redis-server", "--port", port, "--bind", "127.0.0.1", "--dir", t.TempDir(), "--save", "")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return "redis://127.0.0.1:" + port
}

// A worker that loads an older checkpoint, whoever moved the head to it, does
// not serve what was unlearned since, nor does the one that trains.
func TestUnlearningHoldsOnEveryWorker(t *testing.T) {
	t.Parallel()
	env := []string{"NEXUS_REDIS_URL=" + startRedis(t)}
	shared := filepath.Join(t.TempDir(), "shared")
	launch(t, shared, []string{"scheduler"}, env...)
	launch(t, shared, []string{"worker"}, env...)
	launch(t, shared, []string{"worker"}, env...)
	p := start(t, shared, []string{"api"}, env...)
	p.finished(p.teach("hr", lesson{phone, "555-0100"}).ID)
	taught := ""
	p.eventually("both workers serve the lesson", func() bool { taught = p.allServe(2); return taught != "" })
	p.forget("hr")
	forgot := ""
	p.eventually("both workers serve the unlearning", func() bool {
		forgot = p.allServe(2)
		return forgot != "" && forgot != taught
	})
	p.untaught("after the unlearning", 20, phone)
	if code, _ := p.call("POST", "/api/checkpoints/"+taught+"/promote", nil, nil); code != http.StatusOK {
		t.Fatalf("rollback: %d", code)
	}
	p.untaught("during the rollback", 20, phone)
	p.eventually("both workers serve after the rollback", func() bool {
		p.untaught("while the workers follow", 4, phone)
		now := p.allServe(2)
		return now != "" && now != forgot
	})
	p.untaught("after the rollback", 20, phone)

	// A head record that is lost and a worker that starts: the same.
	if err := os.Remove(filepath.Join(shared, "nexus_checkpoints", "head.json")); err != nil {
		t.Fatal(err)
	}
	late := launch(t, shared, []string{"worker"}, env...)
	p.eventually("three workers", func() bool {
		p.untaught("while a worker starts", 4, phone)
		return p.allServe(3) != ""
	})
	p.untaught("with a new worker", 30, phone)
	late.stop()
}
