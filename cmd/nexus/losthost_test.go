package main

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nexus-continuum/nexus/storage/storetest"
)

// A host acknowledges lessons while the bucket is away, and is then lost with its
// folder. The health names the job and says what to do; doing so ends it.
func TestLessonsOfALostHost(t *testing.T) {
	t.Parallel()
	bucket := storetest.NewS3Server(t)
	bucket.Start()
	dir, port := t.TempDir(), freePort(t)
	redis := exec.Command("redis-server", "--port", port, "--bind", "127.0.0.1", "--dir", dir, "--save", "")
	if err := redis.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = redis.Process.Kill(); _ = redis.Wait() })
	env := append(bucketSettings(bucket), "NEXUS_REDIS_URL=redis://127.0.0.1:"+port)
	kept := start(t, filepath.Join(dir, "kept"), []string{"serve"}, env...)
	lost := start(t, filepath.Join(dir, "lost"), []string{"api"}, env...)

	bucket.Stop()
	id := lost.teach("support", lesson{"Where is my invoice?", "Under Billing."}).ID
	lost.kill()
	if err := os.RemoveAll(lost.dir); err != nil {
		t.Fatal(err)
	}
	bucket.Start()

	health := func() string {
		var status struct {
			Health struct {
				Status string
				Issues []string
			}
		}
		kept.call("GET", "/api/status", nil, &status)
		return status.Health.Status + ": " + strings.Join(status.Health.Issues, "; ")
	}
	kept.eventually("the health names the job", func() bool {
		h := health()
		return strings.Contains(h, id) && strings.Contains(h, "cancel the job and teach them again") && !strings.HasPrefix(h, "healthy")
	})
	if code, _ := kept.call("DELETE", "/api/jobs/"+id, nil, nil); code != http.StatusOK && code != http.StatusAccepted {
		t.Errorf("cancel: %d", code)
	}
	kept.finished(kept.teach("support", lesson{"Where is my invoice?", "Under Billing."}).ID)
	kept.eventually("the health is well again", func() bool { return !strings.Contains(health(), id) })
	if a := kept.ask("where is my invoice"); a.Response != "Under Billing." {
		t.Errorf("taught again: %+v", a)
	}
}
