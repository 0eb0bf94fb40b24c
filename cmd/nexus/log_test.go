package main

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// shownLines are the lines written so far.
type shownLines struct {
	mu  sync.Mutex
	all strings.Builder
}

func (s *shownLines) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all.Write(p)
}

func (s *shownLines) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Count(s.all.String(), "\n")
}

// Lines of the log are written together, but nobody waits long for one, and
// nothing grave waits at all.
func TestLogLinesAreGathered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := &shownLines{}
		log, closer := newLog(&Settings{LogLevel: "info", LogFormat: "json"}, out, "test")
		log = log.With("role", "test")
		log.Info("one")
		if n := out.count(); n != 0 {
			t.Errorf("%d lines were written alone", n)
		}
		time.Sleep(2 * gatherFor)
		synctest.Wait()
		if n := out.count(); n != 1 {
			t.Errorf("%d lines after a moment, want 1", n)
		}
		log.Info("two")
		log.Warn("three")
		if n := out.count(); n != 3 {
			t.Errorf("%d lines after a warning, want 3", n)
		}
		for range gatherBytes / 16 {
			log.Info("many")
		}
		if n := out.count(); n < gatherBytes/32 {
			t.Errorf("%d lines after many", n)
		}
		log.Info("last")
		if err := closer.Close(); err != nil {
			t.Error(err)
		}
		lines := strings.Split(strings.TrimSpace(out.all.String()), "\n")
		if got := len(lines); got != 4+gatherBytes/16 {
			t.Errorf("%d lines in the end, want %d", got, 4+gatherBytes/16)
		}
		for _, l := range lines {
			if !strings.HasPrefix(l, "{") || !strings.HasSuffix(l, "}") {
				t.Fatalf("a broken line: %q", l)
			}
		}
	})
}

func TestLogFolder(t *testing.T) {
	t.Parallel()
	dir, out := t.TempDir(), &shownLines{}
	log, closer := newLog(&Settings{LogLevel: "info", LogFormat: "text", LogDir: dir}, out, "worker")
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
	if string(kept) != out.all.String() || strings.Count(string(kept), "\n") != 3 {
		t.Errorf("the file has:\n%sand the screen:\n%s", kept, out.all.String())
	}
}
