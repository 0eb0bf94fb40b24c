package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/nexus-continuum/nexus/job"
)

// A backup is one click, one at a time, noted in the audit log, and for keys with
// control only.
func TestBackUpNow(t *testing.T) {
	t.Parallel()
	begun, end := make(chan struct{}), make(chan error)
	b := setup(t, func(o *Options) {
		o.Keys = []Key{{Name: "ops", Key: "ops-key-of-the-test-0001", Scopes: ScopeAll}, {Name: "eyes", Key: "eyes-key-of-the-test-001", Scopes: ScopeRead}}
		o.Backup = func(ctx context.Context) (Backup, error) {
			begun <- struct{}{}
			select {
			case err := <-end:
				return Backup{File: "/backups/one.tar.gz", Bytes: 2048, Datasets: 3, Checkpoint: "c"}, err
			case <-ctx.Done():
				return Backup{}, ctx.Err()
			}
		}
	})
	const ops, eyes = "ops-key-of-the-test-0001", "eyes-key-of-the-test-001"
	b.wantError(b.post("/api/backups", "{}", "X-API-Key", eyes), http.StatusForbidden, job.CodeForbidden, "")
	first := make(chan answer)
	go func() { first <- b.post("/api/backups", "{}", "X-API-Key", ops) }()
	<-begun
	if m := b.get("/api/backups", "X-API-Key", ops).json(t); m["state"] != "running" {
		t.Errorf("while it runs: %v", m)
	}
	b.wantError(b.post("/api/backups", "{}", "X-API-Key", ops), http.StatusConflict, job.CodeConflict, "", "wait")
	end <- nil
	if a := <-first; a.status != http.StatusOK || a.text(t, "file") != "/backups/one.tar.gz" || a.text(t, "state") != "done" {
		t.Errorf("done: %d %s", a.status, a.body)
	}
	if log := string(b.get("/api/audit", "X-API-Key", ops).body); !strings.Contains(log, `"path":"/api/backups"`) {
		t.Errorf("the audit log: %s", log)
	}
	go func() { first <- b.post("/api/backups", "{}", "X-API-Key", ops) }()
	<-begun
	end <- errors.New("no room")
	b.wantError(<-first, http.StatusServiceUnavailable, job.CodeUnavailable, "", "NEXUS_BACKUP_DIR")
}

func TestBackUpInTheDashboard(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := openTab(t, b.url)
	if p == nil {
		return
	}
	p.open("checkpoints")
	p.click("#backup")
	p.says("#backedup", "3 datasets", "/backups/one.tar.gz")
	p.fair("a backup")
}
