package main

import (
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/coreos/go-systemd/v22/journal"
	"gopkg.in/natefinch/lumberjack.v2"
)

// Rotation of log files: five of 20 MB, compressed, for at most 30 days.
const (
	logFileMB   = 20
	logFiles    = 5
	logFileDays = 30
	// auditFiles of the same size are kept of the audit log, however old.
	auditFiles = 20
)

// newLog writes to stderr and, if a folder is set, to a rotated file in it.
func newLog(s *Settings, stderr io.Writer, role string, hide *redaction) (*slog.Logger, io.Closer, error) {
	form := func(out io.Writer) slog.Handler {
		out = hide.writer(out)
		opt := &slog.HandlerOptions{Level: s.level()}
		if s.LogFormat == "json" {
			return slog.NewJSONHandler(out, opt)
		}
		return slog.NewTextHandler(out, opt)
	}
	screen := form(stderr)
	// An error means that nobody can tell: then the lines stay as they are.
	if journals, err := journal.StderrIsJournalStream(); err == nil && journals && stderr == os.Stderr {
		screen = newPriorityHandler(stderr, form)
	}
	if s.LogDir == "" {
		return slog.New(screen), io.NopCloser(nil), nil
	}
	file := &lumberjack.Logger{
		Filename: filepath.Join(s.LogDir, "nexus-"+role+".log"),
		MaxSize:  logFileMB, MaxBackups: logFiles, MaxAge: logFileDays, Compress: true,
	}
	if _, err := file.Write(nil); err != nil { // opens it
		return nil, nil, &settingError{"NEXUS_LOG_DIR", s.LogDir, "must be a folder in which log files can be written: " + err.Error()}
	}
	return slog.New(slog.NewMultiHandler(screen, form(file))), file, nil
}
