package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLogFolder(t *testing.T) {
	t.Parallel()
	dir, out := t.TempDir(), &bytes.Buffer{}
	log, closer, err := newLog(&Settings{LogLevel: "info", LogFormat: "text", LogDir: dir}, out, "worker")
	if err != nil {
		t.Fatal(err)
	}
	log.Info("one")
	log.Error("two")
	log.Info("three")
	if err := closer.Close(); err != nil {
		t.Error(err)
	}
	kept, err := os.ReadFile(filepath.Join(dir, "nexus-worker.log"))
	if err != nil {
		t.Fatal(err)
	}
	if string(kept) != out.String() || strings.Count(string(kept), "\n") != 3 {
		t.Errorf("the file has:\n%sand the screen:\n%s", kept, out.String())
	}
}

// A log that could not be kept is told at the start, not missed after a fault.
func TestLogFolderThatTakesNoFiles(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "taken")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	m := Main{Stdout: &out, Stderr: &out, Environ: []string{"NEXUS_DATA_DIR=" + t.TempDir(), "NEXUS_LISTEN=127.0.0.1:0", "NEXUS_LOG_DIR=" + file}}
	if code := m.Run(t.Context(), []string{"serve"}); code == exitOK {
		t.Error("it started")
	}
	if !strings.Contains(out.String(), `NEXUS_LOG_DIR="`+file+`": must be a folder in which log files can be written`) {
		t.Errorf("it says: %s", out.String())
	}
}
