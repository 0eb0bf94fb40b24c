package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/nexus-continuum/nexus/internal/lifecycle"
)

// frail is a part that ends when it is told to.
type frail struct{ life lifecycle.Life }

func (f *frail) Start(ctx context.Context) error {
	return f.life.Start(ctx, func(context.Context) error { return nil })
}
func (f *frail) Stop(ctx context.Context) error { return f.life.Stop(ctx) }
func (f *frail) Ended() <-chan struct{}         { return f.life.Context().Done() }
func (f *frail) Cause() error                   { return f.life.Cause() }

// A part that ends by itself is told to the process, with its cause; one that
// is stopped is not.
func TestAPartThatFailsIsNoticed(t *testing.T) {
	t.Parallel()
	h := &app{failed: make(chan error, 1), log: slog.New(slog.DiscardHandler)}
	stops, fails := &frail{}, &frail{}
	h.add("one that stops", stops)
	h.add("one that fails", fails)
	if err := h.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := stops.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	gone := errors.New("the port is gone")
	fails.life.Fail(gone)
	if err := <-h.failed; !errors.Is(err, gone) || !strings.HasPrefix(err.Error(), "one that fails: ") {
		t.Errorf("told: %v", err)
	}
	if err := h.stop(t.Context()); err != nil {
		t.Error(err)
	}
}
