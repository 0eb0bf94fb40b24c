package main

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/nexus-continuum/nexus/internal/lifecycle"
	"github.com/nexus-continuum/nexus/telemetry/heartbeat"
)

// probeEvery is how often a process looks whether its storage folder takes
// writes: a disk that is full or was mounted read-only is to be known before
// the next lesson is lost to it.
const probeEvery = 3 * time.Second

// folderWatch looks whether the storage folder takes writes, and tells the beat.
type folderWatch struct {
	probe func(context.Context) error
	log   *slog.Logger
	fault atomic.Pointer[string] // nil: it takes them
	life  lifecycle.Life
}

// Start looks a first time and goes on looking.
func (w *folderWatch) Start(ctx context.Context) error {
	return w.life.Start(ctx, func(context.Context) error {
		w.check(ctx)
		w.life.Every(probeEvery, w.check)
		return nil
	})
}

// Stop ends the looking.
func (w *folderWatch) Stop(ctx context.Context) error { return w.life.Stop(ctx) }

func (w *folderWatch) check(ctx context.Context) {
	err := w.probe(ctx)
	if ctx.Err() != nil {
		return
	}
	if err == nil {
		if w.fault.Swap(nil) != nil {
			w.log.Info("the storage folder takes writes again")
		}
		return
	}
	why := err.Error()
	if w.fault.Swap(&why) == nil {
		w.log.Error("the storage folder takes no writes; serving goes on, nothing can be taught or saved", "error", err)
	}
}

// fill is what a beat says of the folder.
func (w *folderWatch) fill(b *heartbeat.Beat) {
	b.Folder = &heartbeat.Folder{}
	if why := w.fault.Load(); why != nil {
		b.Folder.Fault = *why
	}
}
