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
	log, closer, err := newLog(&Settings{LogLevel: "info", LogFormat: "text", LogDir: dir}, out, "worker", nil)
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
