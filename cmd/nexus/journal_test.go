package main

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestLinesForTheJournalBearTheirPriority(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := slog.New(newPriorityHandler(&out, func(w io.Writer) slog.Handler {
		return slog.NewJSONHandler(w, &slog.HandlerOptions{Level: slog.LevelInfo})
	})).With("a", 1).WithGroup("g")
	log.Debug("not asked for")
	log.Info("one", "b", 2)
	log.Warn("two")
	log.Error("three\nlines\nin one")
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 3 {
		t.Fatalf("%d lines, want 3:\n%s", len(lines), &out)
	}
	for i, front := range []string{"<6>{", "<4>{", "<3>{"} {
		if !strings.HasPrefix(lines[i], front) {
			t.Errorf("line %d begins otherwise than with %s: %s", i, front, lines[i])
		}
	}
	if !strings.Contains(lines[0], `"a":1,"g":{"b":2}`) {
		t.Errorf("what the logger always says is missing: %s", lines[0])
	}
}

// `journalctl -p err` finds errors only if the program tells the journal's
// stream from a terminal or a file.
func TestOnlyTheJournalGetsPriorities(t *testing.T) {
	t.Parallel()
	for _, journals := range []bool{true, false} {
		stderr, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
		if err != nil {
			t.Fatal(err)
		}
		defer stderr.Close()
		info, err := stderr.Stat()
		if err != nil {
			t.Fatal(err)
		}
		stat := info.Sys().(*syscall.Stat_t)
		inode := stat.Ino
		if !journals {
			inode++
		}
		cmd := exec.Command(binary, "serve")
		cmd.Env = []string{
			"PATH=/nowhere", "NEXUS_DATA_DIR=" + t.TempDir(), "NEXUS_LISTEN=127.0.0.1:0", "LOG_LEVEL=DEBUG",
			fmt.Sprintf("JOURNAL_STREAM=%d:%d", stat.Dev, inode),
		}
		cmd.Stderr = stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// It has logged its start by the time that it prints its addresses.
		if _, err := out.Read(make([]byte, 1)); err != nil {
			t.Error("it printed nothing:", err)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait()
		text, err := os.ReadFile(stderr.Name())
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(string(text), "<6>time="); got != journals {
			t.Errorf("into the journal: %v, with priorities: %v\n%s", journals, got, text)
		}
	}
}
