package main

import (
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/storage/storetest"
)

// bucketSettings name the server; the keys come by the credentials chain.
func bucketSettings(s *storetest.S3Server) []string {
	return []string{
		"NEXUS_S3_ENDPOINT=" + s.Address, "NEXUS_S3_TLS=false",
		"AWS_ACCESS_KEY_ID=" + storetest.S3AccessKey, "AWS_SECRET_ACCESS_KEY=" + storetest.S3SecretKey,
	}
}

type uploadState struct {
	Pending int     `json:"pending"`
	LagMS   float64 `json:"lag_ms"`
	Fault   *string `json:"fault"`
}

func (p *process) uploads() uploadState {
	p.t.Helper()
	var status struct {
		Storage struct{ Uploads *uploadState }
	}
	p.call("GET", "/api/status", nil, &status)
	if status.Storage.Uploads == nil {
		p.t.Fatal("the status says nothing of uploads")
	}
	return *status.Storage.Uploads
}

// The bucket goes away: people are taught and answered all the same, also over
// a restart, and when it is back everything is in it, for another host to serve.
func TestS3GoesAway(t *testing.T) {
	t.Parallel()
	bucket := storetest.NewS3Server(t)
	bucket.Start()
	dir := t.TempDir()
	p := start(t, filepath.Join(dir, "one"), []string{"serve"}, bucketSettings(bucket)...)
	p.finished(p.teach("support", lesson{"How do I reset my password?", "Open Settings."}).ID)
	p.eventually("all is uploaded", func() bool { u := p.uploads(); return u.Pending == 0 && u.Fault == nil })

	bucket.Stop()
	p.finished(p.teach("support", lesson{"Where is the invoice archive?", "Under Billing."}).ID)
	p.eventually("the status tells what waits and why", func() bool { u := p.uploads(); return u.Pending >= 2 && u.Fault != nil })
	p.kill()
	p = start(t, filepath.Join(dir, "one"), []string{"serve"}, bucketSettings(bucket)...)
	for _, prompt := range []string{"how do I reset my password", "where is the invoice archive"} {
		if a := p.ask(prompt); !a.Responded {
			t.Errorf("without the bucket after a restart, %q is refused: %+v", prompt, a)
		}
	}
	if n := strings.Count(p.out.String(), "cannot be kept up to date"); n != 1 {
		t.Errorf("the log says %d times that the bucket is away", n)
	}

	bucket.Start()
	p.eventually("all is uploaded", func() bool { u := p.uploads(); return u.Pending == 0 && u.Fault == nil })
	var list struct{ Checkpoints []struct{ Uploaded *bool } }
	p.call("GET", "/api/checkpoints", nil, &list)
	for _, c := range list.Checkpoints {
		if c.Uploaded == nil || !*c.Uploaded {
			t.Error("a checkpoint is not said to be uploaded")
		}
	}
	p.kill()
	// A host that has nothing.
	p = start(t, filepath.Join(dir, "two"), []string{"serve"}, bucketSettings(bucket)...)
	for _, prompt := range []string{"how do I reset my password", "where is the invoice archive"} {
		if a := p.ask(prompt); !a.Responded {
			t.Errorf("on another host, %q is refused: %+v", prompt, a)
		}
	}
}

// Roles on hosts of their own meet in Redis and in the bucket only. A promotion
// reaches every worker at once.
func TestFleetOnS3(t *testing.T) {
	t.Parallel()
	server, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("needs redis-server on PATH; .ci/run installs it")
	}
	bucket := storetest.NewS3Server(t)
	bucket.Start()
	dir, port := t.TempDir(), freePort(t)
	cmd := exec.Command(server, "--port", port, "--bind", "127.0.0.1", "--dir", dir, "--appendonly", "yes", "--save", "")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	env := append(bucketSettings(bucket), "NEXUS_REDIS_URL=redis://127.0.0.1:"+port, "NEXUS_SHADOW=1")
	for i, role := range []string{"scheduler", "worker", "worker"} {
		launch(t, filepath.Join(dir, role+strconv.Itoa(i)), []string{role}, env...)
	}
	p := start(t, filepath.Join(dir, "api"), []string{"api"}, env...)
	p.finished(p.teach("support", lesson{"How do I reset my password?", "Open Settings."}).ID)
	good := ""
	p.eventually("both workers serve the first answer", func() bool { good = p.allServe(2); return good != "" })
	p.finished(p.teach("support", lesson{"How do I reset my password?", "Call us."}).ID)
	bad := ""
	p.eventually("both workers serve the second answer", func() bool { bad = p.allServe(2); return bad != "" && bad != good })

	// The former head challenges; its answers differ, and nobody sees them.
	if code, _ := p.call("POST", "/api/checkpoints/"+good+"/challenge", nil, nil); code != http.StatusOK {
		t.Fatalf("challenge: %d", code)
	}
	var registry struct {
		Champion, Challenger string
		Shadow               struct {
			Prompts, Agreed      int
			Champion, Challenger struct{ Answered int }
		}
		Checkpoints []struct {
			ID         string
			Aliases    []string
			VerifiedAt *time.Time `json:"verified_at"`
			Uploaded   *bool
		}
	}
	p.eventually("the challenger's figures stand beside the champion's", func() bool {
		if a := p.ask("How do I reset my password?"); a.Response != "Call us." {
			t.Fatalf("a caller got %q", a.Response)
		}
		p.call("GET", "/api/checkpoints", nil, &registry)
		return registry.Shadow.Prompts >= 5
	})
	s := registry.Shadow
	if registry.Champion != bad || registry.Challenger != good || s.Agreed != 0 || s.Champion.Answered != s.Prompts || s.Challenger.Answered != s.Prompts {
		t.Errorf("registry %+v", registry)
	}

	began := time.Now()
	if code, _ := p.call("POST", "/api/checkpoints/challenger/promote", nil, nil); code != http.StatusOK {
		t.Fatalf("promote: %d", code)
	}
	p.eventually("both workers serve what was promoted", func() bool { return p.allServe(2) == good })
	// The promise is 2 s; the machine that runs this may be busy.
	took := time.Since(began)
	t.Logf("promoted after %s", took)
	if took > 10*time.Second {
		t.Errorf("the promotion took %s", took)
	}
	for range 10 {
		if a := p.ask("How do I reset my password?"); a.Response != "Open Settings." {
			t.Errorf("after the promotion a caller got %q", a.Response)
		}
	}
}

// allServe is the checkpoint that n workers all serve; empty if they do not agree.
func (p *process) allServe(n int) string {
	p.t.Helper()
	var status struct {
		Workers []struct{ Checkpoint *string }
	}
	p.call("GET", "/api/status", nil, &status)
	if len(status.Workers) != n {
		return ""
	}
	out := ""
	for _, w := range status.Workers {
		if w.Checkpoint == nil || out != "" && *w.Checkpoint != out {
			return ""
		}
		out = *w.Checkpoint
	}
	return out
}
