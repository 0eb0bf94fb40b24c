package worker

import (
	"context"
	"errors"
	"time"

	"github.com/nexus-continuum/nexus/storage"
)

// Channels on which processes tell each other to look at once.
const (
	channelCheckpoint = "checkpoint"
	channelControl    = "control"
	// messageSave asks the trainer to save what it has not saved yet.
	messageSave = "save"
)

// lookEvery is how often this process looks by itself: messages may be lost.
const lookEvery = 2 * time.Second

// follow keeps serving what the head names. The process that trains adopts its
// own checkpoints before it tells the others, and follows the head itself.
func (w *Worker) follow(ctx context.Context) {
	said := w.opt.Queue.Subscribe(ctx, channelCheckpoint)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case _, ok := <-said:
			if !ok {
				said = nil // the queue has ended; the poll goes on
				continue
			}
		case <-tick.C:
			w.Relieve(false)
		}
		if t := w.trainer.Load(); t != nil {
			continue
		}
		w.catchUp(ctx)
	}
}

// catchUp loads the head's checkpoint beside the model that serves, tries it,
// and swaps. Whatever fails leaves the old one serving.
func (w *Worker) catchUp(ctx context.Context) {
	old := w.served.Load()
	head, err := w.opt.Checkpoints.Head(ctx)
	if err == nil && (head.Checkpoint == "" || head.Checkpoint == old.checkpoint) {
		return
	}
	if bad := w.rejected.Load(); err == nil && bad != nil && *bad == head.Checkpoint {
		return
	}
	if err != nil && !errors.Is(err, storage.ErrCorrupt) {
		return // the storage is away; the old model serves
	}
	// LoadLatest goes back to the newest whole one if the head's is damaged.
	manifest, m, err := w.loadLatest(ctx)
	switch {
	case err == nil && manifest.ID == old.checkpoint:
		return
	case err == nil:
		if w.replace(old, m, manifest) {
			w.failedAt.Store(nil)
			w.opt.Log.Info("model swapped", "checkpoint", manifest.ID, "before", old.checkpoint, "lessons", manifest.Meta.Lessons)
		}
	case ctx.Err() == nil:
		if told := w.failedAt.Load(); told == nil || *told != head.Checkpoint {
			w.failedAt.Store(&head.Checkpoint)
			w.opt.Log.Error("failed to load checkpoint; the former model goes on serving", "checkpoint", head.Checkpoint, "serving", old.checkpoint, "error", err)
		}
	}
}
