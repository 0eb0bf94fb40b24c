package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

type logsCmd struct {
	Lines  int  `short:"n" default:"100" help:"Lines to show of each file."`
	Follow bool `short:"f" help:"Go on with new lines."`
}

// Help is shown by nexus logs --help.
func (logsCmd) Help() string {
	return `Shows the log files of NEXUS_LOG_DIR on this machine. Without that setting a server logs to standard error: journalctl -u nexus -f, or docker compose logs -f nexus.`
}

// followEvery is how often a file is looked at for new lines.
const followEvery = 250 * time.Millisecond

// Run shows the end of the log files.
func (l logsCmd) Run(ctx context.Context, rt *runtime) error {
	dir := rt.settings.LogDir
	if dir == "" {
		return &settingError{"NEXUS_LOG_DIR", "", "is not set, so there are no log files; the server logs to standard error: journalctl -u nexus -f, or docker compose logs -f nexus"}
	}
	files, err := filepath.Glob(filepath.Join(dir, "nexus-*.log"))
	if err != nil {
		return err
	}
	// Rotated files carry a time behind their name.
	files = slices.DeleteFunc(files, func(f string) bool { return len(filepath.Base(f)) > len("nexus-scheduler.log") })
	if len(files) == 0 {
		return fmt.Errorf("no log file is in %s yet", dir)
	}
	for _, name := range files {
		if len(files) > 1 {
			fmt.Fprintf(rt.main.Stdout, "==> %s <==\n", name)
		}
		if err := tailOf(rt.main.Stdout, name, l.Lines); err != nil {
			return err
		}
	}
	if !l.Follow {
		return nil
	}
	return follow(ctx, rt.main.Stdout, files)
}

// tailOf writes the last lines of a file.
func tailOf(w io.Writer, name string, n int) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	var last []string
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		if last = append(last, s.Text()); len(last) > max(n, 0) {
			last = last[1:]
		}
	}
	for _, line := range last {
		fmt.Fprintln(w, line)
	}
	return s.Err()
}

// follow writes what is appended to the files until ctx ends.
func follow(ctx context.Context, w io.Writer, files []string) error {
	at := map[string]int64{}
	for _, name := range files {
		if info, err := os.Stat(name); err == nil {
			at[name] = info.Size()
		}
	}
	for look := time.NewTicker(followEvery); ; {
		select {
		case <-ctx.Done():
			look.Stop()
			return nil
		case <-look.C:
		}
		for _, name := range files {
			info, err := os.Stat(name)
			if err != nil || info.Size() == at[name] {
				continue
			}
			from := at[name]
			if info.Size() < from {
				from = 0 // rotated
			}
			n, err := copyFrom(w, name, from)
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
			at[name] = from + n
		}
	}
}

func copyFrom(w io.Writer, name string, from int64) (int64, error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if _, err := f.Seek(from, io.SeekStart); err != nil {
		return 0, err
	}
	return io.Copy(w, f)
}
