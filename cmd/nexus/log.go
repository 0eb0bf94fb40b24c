package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/coreos/go-systemd/v22/journal"
	"go.uber.org/zap/zapcore"
	"gopkg.in/natefinch/lumberjack.v2"
)

// Rotation of log files: five of 20 MB, compressed, for at most 30 days.
const (
	logFileMB   = 20
	logFiles    = 5
	logFileDays = 30
)

// Lines are gathered for a moment, since one write for each costs a server that
// is asked thousands of times a second more than making the line. A warning or
// an error, and all that came before it, is written at once.
const (
	gatherFor   = 100 * time.Millisecond
	gatherBytes = 32 << 10
)

// newLog writes to stderr and, if a folder is set, to a rotated file in it.
// Closing it writes what is still held.
func newLog(s *Settings, stderr io.Writer, role string) (*slog.Logger, io.Closer) {
	form := func(out io.Writer) slog.Handler {
		opt := &slog.HandlerOptions{Level: s.level()}
		if s.LogFormat == "json" {
			return slog.NewJSONHandler(out, opt)
		}
		return slog.NewTextHandler(out, opt)
	}
	lines := gather(stderr)
	screen := form(lines)
	// An error means that nobody can tell: then the lines stay as they are.
	if journals, err := journal.StderrIsJournalStream(); err == nil && journals && stderr == os.Stderr {
		screen = newPriorityHandler(lines, form)
	}
	screen = gathered{screen, lines}
	if s.LogDir == "" {
		return slog.New(screen), closers{lines}
	}
	file := &lumberjack.Logger{
		Filename: filepath.Join(s.LogDir, "nexus-"+role+".log"),
		MaxSize:  logFileMB, MaxBackups: logFiles, MaxAge: logFileDays, Compress: true,
	}
	kept := gather(file)
	return slog.New(slog.NewMultiHandler(screen, gathered{form(kept), kept})), closers{lines, kept, file}
}

// gathering holds lines back until a write is worth it.
type gathering struct{ zapcore.BufferedWriteSyncer }

func gather(out io.Writer) *gathering {
	// Of out only Write is shown: what is written need not be forced to the disk.
	return &gathering{zapcore.BufferedWriteSyncer{
		WS: zapcore.AddSync(struct{ io.Writer }{out}), Size: gatherBytes, FlushInterval: gatherFor,
	}}
}

// Close writes what is held.
func (g *gathering) Close() error { return g.Stop() }

// gathered writes what was gathered as soon as it is grave.
type gathered struct {
	slog.Handler
	lines *gathering
}

// Handle implements slog.Handler.
func (g gathered) Handle(ctx context.Context, r slog.Record) error {
	err := g.Handler.Handle(ctx, r)
	if r.Level >= slog.LevelWarn {
		err = errors.Join(err, g.lines.Sync())
	}
	return err
}

// WithAttrs implements slog.Handler.
func (g gathered) WithAttrs(attrs []slog.Attr) slog.Handler {
	return gathered{g.Handler.WithAttrs(attrs), g.lines}
}

// WithGroup implements slog.Handler.
func (g gathered) WithGroup(name string) slog.Handler {
	return gathered{g.Handler.WithGroup(name), g.lines}
}

// closers are closed in order.
type closers []io.Closer

// Close implements io.Closer.
func (c closers) Close() error {
	var err error
	for _, one := range c {
		err = errors.Join(err, one.Close())
	}
	return err
}
