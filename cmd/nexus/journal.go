package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"github.com/coreos/go-systemd/v22/journal"
)

// priorityHandler writes each line with the priority that systemd's journal
// reads off its front (sd-daemon(3)), so that `journalctl -p err` finds errors.
type priorityHandler struct {
	// One for each priority, since the form of a line knows nothing of its front.
	debug, info, warn, err slog.Handler
}

// newPriorityHandler makes the handler of each priority by form.
func newPriorityHandler(out io.Writer, form func(io.Writer) slog.Handler) *priorityHandler {
	of := func(p journal.Priority) slog.Handler {
		return form(&frontWriter{out: out, front: fmt.Appendf(nil, "<%d>", p)})
	}
	return &priorityHandler{debug: of(journal.PriDebug), info: of(journal.PriInfo), warn: of(journal.PriWarning), err: of(journal.PriErr)}
}

// frontWriter writes front before what it is given, which is a whole line.
type frontWriter struct {
	out   io.Writer
	front []byte
}

// Write keeps front and line in one write, so that no other line comes between.
func (w *frontWriter) Write(line []byte) (int, error) {
	n, err := w.out.Write(append(w.front[:len(w.front):len(w.front)], line...))
	return max(0, n-len(w.front)), err
}

func (h *priorityHandler) of(l slog.Level) slog.Handler {
	switch {
	case l >= slog.LevelError:
		return h.err
	case l >= slog.LevelWarn:
		return h.warn
	case l >= slog.LevelInfo:
		return h.info
	}
	return h.debug
}

// Enabled implements slog.Handler.
func (h *priorityHandler) Enabled(ctx context.Context, l slog.Level) bool {
	return h.of(l).Enabled(ctx, l)
}

// Handle implements slog.Handler.
func (h *priorityHandler) Handle(ctx context.Context, r slog.Record) error {
	return h.of(r.Level).Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h *priorityHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.each(func(i slog.Handler) slog.Handler { return i.WithAttrs(attrs) })
}

// WithGroup implements slog.Handler.
func (h *priorityHandler) WithGroup(name string) slog.Handler {
	return h.each(func(i slog.Handler) slog.Handler { return i.WithGroup(name) })
}

func (h *priorityHandler) each(change func(slog.Handler) slog.Handler) *priorityHandler {
	return &priorityHandler{debug: change(h.debug), info: change(h.info), warn: change(h.warn), err: change(h.err)}
}
