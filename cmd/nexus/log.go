package main

import (
	"io"
	"log/slog"
	"path/filepath"

	"gopkg.in/natefinch/lumberjack.v2"
)

// Rotation of log files: five of 20 MB, compressed, for at most 30 days.
const (
	logFileMB   = 20
	logFiles    = 5
	logFileDays = 30
)

// newLog writes to stderr and, if a folder is set, to a rotated file in it.
func newLog(s *Settings, stderr io.Writer, role string) (*slog.Logger, io.Closer) {
	out, closer := stderr, io.Closer(io.NopCloser(nil))
	if s.LogDir != "" {
		file := &lumberjack.Logger{
			Filename: filepath.Join(s.LogDir, "nexus-"+role+".log"),
			MaxSize:  logFileMB, MaxBackups: logFiles, MaxAge: logFileDays, Compress: true,
		}
		out, closer = io.MultiWriter(stderr, file), file
	}
	opt := &slog.HandlerOptions{Level: s.level()}
	var h slog.Handler = slog.NewTextHandler(out, opt)
	if s.LogFormat == "json" {
		h = slog.NewJSONHandler(out, opt)
	}
	return slog.New(h), closer
}
