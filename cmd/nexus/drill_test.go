package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/topic/topictest"
)

// command runs nexus to its end on a data folder and returns what it printed.
func command(t *testing.T, dir string, env []string, args ...string) (out, fault string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "NEXUS_DATA_DIR=" + dir}, env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
}

// must is command for what has to succeed.
func must(t *testing.T, dir string, env []string, args ...string) (out, fault string) {
	t.Helper()
	out, fault, code := command(t, dir, env, args...)
	if code != exitOK {
		t.Fatalf("nexus %s: exit status %d\n%s%s", strings.Join(args, " "), code, out, fault)
	}
	return out, fault
}

// verdict is an answer as it came, without what differs between two askings.
func (p *process) verdict(prompt string) string {
	p.t.Helper()
	var answer map[string]json.RawMessage
	if code, _ := p.call("POST", "/api/interact", map[string]string{"prompt": prompt}, &answer); code != http.StatusOK {
		p.t.Fatalf("ask %q: status %d: %s", prompt, code, answer["detail"])
	}
	for _, own := range []string{"job_id", "interaction_id", "timing"} {
		delete(answer, own)
	}
	b, err := json.Marshal(answer)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(b)
}

func (p *process) served() string {
	p.t.Helper()
	var status struct {
		Model struct{ Checkpoint string }
	}
	p.call("GET", "/api/status", nil, &status)
	return status.Model.Checkpoint
}

// drillPrompts are 1 000 prompts: taught ones, others like them, foreign ones.
func drillPrompts(t *testing.T, lessons []lesson) []string {
	t.Helper()
	var out []string
	for _, l := range lessons {
		out = append(out, l.Prompt, "please: "+l.Prompt, strings.Replace(l.Prompt, "e", "", 1))
	}
	foreign, err := topictest.ForeignPrompts()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range foreign {
		out = append(out, f.Prompt)
	}
	if len(out) < 1000 {
		t.Fatalf("%d prompts, want 1000", len(out))
	}
	if testing.Short() {
		return out[:250]
	}
	return out[:1000]
}

func drillLessons(about string, n int) []lesson {
	asks := []string{"Where is the %s number %d kept?", "Which shelf has %s %d?", "I am looking for the %s %d", "Find %s %d, please"}
	out := make([]lesson, 0, n)
	for i := range n {
		out = append(out, lesson{fmt.Sprintf(asks[i%len(asks)], about, 100+7*(i/len(asks))), fmt.Sprintf("%s %d is on shelf %d.", about, 100+7*(i/len(asks)), i/len(asks))})
	}
	return out
}

// TestRestoreDrill: a backup under load, everything wiped, restored: the same
// answers with the same confidences, byte for byte, and every lesson that was
// acknowledged before the backup.
func TestRestoreDrill(t *testing.T) {
	t.Parallel()
	dir, backup := t.TempDir(), filepath.Join(t.TempDir(), "nexus.tar.gz")
	p := start(t, dir, []string{"serve"})
	lessons := drillLessons("valve", 240)
	p.finished(p.teach("stores", lessons...).ID)
	prompts := drillPrompts(t, lessons)

	// Load: some ask, one teaches on.
	stop := make(chan struct{})
	var load sync.WaitGroup
	var mu sync.Mutex
	var acknowledged []lesson
	taught := make(chan struct{}, 1)
	load.Go(func() {
		for i := 0; ; i++ {
			l := drillLessons(fmt.Sprint("pump of series ", i), 4)
			p.teach("stores", l...)
			mu.Lock()
			acknowledged = append(acknowledged, l...)
			mu.Unlock()
			select {
			case taught <- struct{}{}:
			case <-stop:
				return
			default:
			}
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond): // a pace, nothing is waited for
			}
		}
	})
	for w := range 2 {
		load.Go(func() {
			for i := w; ; i++ {
				select {
				case <-stop:
					return
				default:
					p.ask(prompts[i%len(prompts)])
				}
			}
		})
	}
	<-taught
	mu.Lock()
	before := append([]lesson(nil), acknowledged...)
	mu.Unlock()
	_, said := must(t, dir, nil, "backup", backup)
	close(stop)
	load.Wait()
	if _, _, code := command(t, dir, nil, "restore", "--force", backup); code == exitOK {
		t.Fatal("a folder that a server holds was restored into")
	}

	// The checkpoint of the backup, on the machine that it came from.
	checkpoint := strings.TrimSuffix(strings.Fields(said)[1], ",")
	p.call("POST", "/api/control", map[string]string{"action": "pause"}, nil)
	if code, _ := p.call("POST", "/api/control", map[string]string{"action": "rollback", "checkpoint": checkpoint}, nil); code != http.StatusOK {
		t.Fatalf("rollback to %s: status %d", checkpoint, code)
	}
	p.eventually("the checkpoint of the backup serves", func() bool { return p.served() == checkpoint })
	want := make([]string, len(prompts))
	for i, prompt := range prompts {
		want[i] = p.verdict(prompt)
	}
	p.stop()

	// The disaster.
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	must(t, dir, nil, "verify", backup)
	must(t, dir, nil, "restore", backup)
	if out, _ := must(t, dir, nil, "verify"); !strings.Contains(out, " 0 faults") {
		t.Errorf("verify says %s", out)
	}
	if out, _ := must(t, dir, nil, "checkpoints"); !strings.Contains(out, "*  "+checkpoint) {
		t.Errorf("checkpoints says %s", out)
	}
	p = start(t, dir, []string{"serve"}, "NEXUS_PAUSED=true")
	different := 0
	for i, prompt := range prompts {
		if got := p.verdict(prompt); got != want[i] {
			if different++; different < 4 {
				t.Errorf("%q:\nbefore %s\nafter  %s", prompt, want[i], got)
			}
		}
	}
	if different > 0 {
		t.Errorf("%d of %d answers differ after the restore", different, len(prompts))
	}
	p.call("POST", "/api/control", map[string]string{"action": "resume"}, nil)
	p.eventually("all that was acknowledged before the backup answers", func() bool {
		for _, l := range before {
			if a := p.ask(l.Prompt); !a.Responded || a.Response != l.Response {
				return false
			}
		}
		return true
	})
}

// TestBackupCommands: what an operator meets when something is not as it should be.
func TestBackupCommands(t *testing.T) {
	t.Parallel()
	dir, files := t.TempDir(), t.TempDir()
	for _, args := range [][]string{{"backup", filepath.Join(files, "none.tar")}, {"checkpoints"}, {"verify"}} {
		if _, fault, code := command(t, filepath.Join(dir, "absent"), nil, args...); code != exitFailure || !strings.Contains(fault, "NEXUS_DATA_DIR") {
			t.Errorf("%s of a folder that is not there: status %d, %s", args[0], code, fault)
		}
	}
	p := start(t, dir, []string{"serve"})
	p.finished(p.teach("support", lesson{"How do I reset my password?", "Open Settings."}).ID)
	p.finished(p.teach("support", lesson{"Where is the invoice archive?", "Under Billing."}).ID)

	// The server runs: everything that only reads works.
	backup := filepath.Join(files, "backup.tar")
	must(t, dir, nil, "backup", backup)
	if i, err := os.Stat(backup); err != nil || i.Mode().Perm() != 0o600 {
		t.Errorf("the backup, which holds a secret, has mode %v, %v", i.Mode(), err)
	}
	if out, _ := must(t, dir, nil, "backup", "-"); len(out) == 0 {
		t.Error("nothing on standard output")
	}
	var list struct {
		Head        string
		Checkpoints []struct {
			ID      string
			Head    bool
			Lessons int
		}
	}
	out, _ := must(t, dir, nil, "checkpoints", "--json")
	if err := json.Unmarshal([]byte(out), &list); err != nil || list.Head == "" || list.Head != list.Checkpoints[0].ID || list.Checkpoints[0].Lessons != 2 {
		t.Errorf("checkpoints --json: %v: %s", err, out)
	}
	_, fault, code := command(t, dir, nil, "restore", "--force", backup)
	if code != exitFailure || !strings.Contains(fault, "stop it") {
		t.Errorf("restore beside a server: status %d, %s", code, fault)
	}
	p.stop()

	_, fault, code = command(t, dir, nil, "restore", backup)
	if code != exitFailure || !strings.Contains(fault, "--force") {
		t.Errorf("restore over something: status %d, %s", code, fault)
	}
	must(t, dir, nil, "restore", "--force", backup)
	if set, _ := filepath.Glob(filepath.Join(dir, "nexus_checkpoints", "replaced", "*", "head.json")); len(set) != 1 {
		t.Errorf("what was there is not kept: %q", set)
	}

	// A damaged part: verify names it, and the start serves the one before.
	manifest, err := os.ReadFile(filepath.Join(dir, "nexus_checkpoints", "checkpoint_"+list.Head+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var m struct {
		Body struct {
			Parts []struct{ Stored struct{ SHA256 string } }
		}
	}
	if err := json.Unmarshal(manifest, &m); err != nil {
		t.Fatal(err)
	}
	part := "parts/" + m.Body.Parts[0].Stored.SHA256
	damage(t, filepath.Join(dir, "nexus_checkpoints", part))
	out, _, code = command(t, dir, nil, "verify")
	if lines := strings.Split(out, "\n"); code != exitFailure || !strings.HasPrefix(lines[0], part+": ") || !strings.Contains(lines[0], list.Head) || !strings.Contains(out, "1 faults") {
		t.Errorf("verify of a damaged part: status %d, %s", code, out)
	}
	var audit struct {
		Faults []struct {
			Key         string
			Checkpoints []string
		}
	}
	out, _, code = command(t, dir, nil, "verify", "--json")
	if err := json.Unmarshal([]byte(out), &audit); err != nil || code != exitFailure || len(audit.Faults) != 1 || audit.Faults[0].Key != part {
		t.Errorf("verify --json: %v, status %d, %s", err, code, out)
	}

	// A spoiled backup changes nothing.
	spoiled := filepath.Join(files, "spoiled.tar")
	b, err := os.ReadFile(backup)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"cut": b[:len(b)/2], "no tar": []byte("hello"), "empty": nil} {
		if err := os.WriteFile(spoiled, b, 0o600); err != nil {
			t.Fatal(err)
		}
		empty := filepath.Join(files, "empty")
		if _, fault, code := command(t, empty, nil, "restore", spoiled); code != exitFailure || !strings.Contains(fault, "nothing was put in place") {
			t.Errorf("%s: restore: status %d, %s", name, code, fault)
		}
		if left, _ := filepath.Glob(filepath.Join(empty, "nexus_checkpoints", "*.json")); len(left) > 0 {
			t.Errorf("%s: restored %q", name, left)
		}
	}
}
