package main

import (
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

// Nobody else reads what is written, though the umask and the parent of every
// folder would let everybody: data, Redis, logs, audit log, backups, certificates.
func TestFilesAreForNobodyElse(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	if err := os.Chmod(parent, 0o777); err != nil {
		t.Fatal(err)
	}
	data, logs, backups := filepath.Join(parent, "data"), filepath.Join(parent, "logs"), filepath.Join(parent, "backups")
	starter := filepath.Join(t.TempDir(), "starter")
	if err := os.WriteFile(starter, fmt.Appendf(nil, "#!/bin/sh\numask 0\nexec %s \"$@\"\n", binary), 0o700); err != nil {
		t.Fatal(err)
	}
	p := launchProgram(t, starter, data, []string{"serve"},
		"NEXUS_REDIS=child", "NEXUS_LOG_DIR="+logs, "NEXUS_BACKUP_DIR="+backups, "NEXUS_SCHEDULE_BACKUP=@every 1s", "NEXUS_API_KEY=rather-long-key-1739")
	var err error
	if p.url, err = p.out.await(readyLine, p.done); err != nil {
		t.Fatal(err)
	}
	p.eventually("a lesson is taken", func() bool {
		code, _ := p.call("POST", "/api/lessons", map[string]any{"lessons": []any{map[string]string{"prompt": "is it private", "response": "It is."}}}, nil, "X-API-Key", "rather-long-key-1739")
		return code == http.StatusAccepted
	})
	there := func(pattern string) bool {
		found, err := filepath.Glob(pattern)
		return err == nil && len(found) > 0
	}
	for _, pattern := range []string{
		backups + "/*", data + "/redis/appendonlydir/*", data + "/nexus_checkpoints/*", logs + "/audit.log", logs + "/nexus*.log",
	} {
		p.eventually(pattern, func() bool { return there(pattern) })
	}
	p.stop()
	seen := 0
	err = filepath.WalkDir(parent, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == parent {
			return err
		}
		seen++
		if i, err := d.Info(); err != nil || i.Mode().Perm()&0o077 != 0 {
			t.Errorf("others may use %s: %v, %v", path, i.Mode(), err)
		}
		return nil
	})
	if err != nil || seen < 12 {
		t.Errorf("only %d files were looked at, %v", seen, err)
	}
}
