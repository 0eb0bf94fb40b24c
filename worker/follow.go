package worker

import (
	"context"
	"errors"
	"time"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/storage"
)

const (
	// lookEvery is how often this process reads the control record without a message,
	// because messages may be lost.
	lookEvery = 2 * time.Second
	// headEvery is the same for the head. A promotion must reach every worker within
	// two seconds, including the loading.
	headEvery = time.Second
)

// unloaded is a head that this process cannot serve, and why.
type unloaded struct{ checkpoint, why string }

// Look makes the worker look at the head and at the control record at once.
func (w *Worker) Look() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// follow keeps serving the checkpoint that the head names. In the process that trains,
// the trainer follows the head: it adopts its own checkpoints before it announces them.
func (w *Worker) follow(ctx context.Context) {
	messages := w.opt.Queue.Subscribe(ctx, job.ChannelCheckpoint)
	tick := time.NewTicker(headEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case _, ok := <-messages:
			if !ok {
				messages = nil // the queue has ended; the poll goes on
				continue
			}
			if t := w.trainer.Load(); t != nil {
				t.Nudge()
			}
		case <-w.wake:
			w.readControl(ctx)
			if t := w.trainer.Load(); t != nil {
				t.Nudge()
			}
		case <-tick.C:
			w.Relieve(false)
		}
		w.saveRollback(ctx)
		if t := w.trainer.Load(); t != nil {
			w.unloaded.Store(nil)
			continue
		}
		w.catchUp(ctx)
	}
}

// catchUp loads the head's checkpoint beside the model that serves, tries it, and
// swaps. If any step fails, the old model keeps serving.
func (w *Worker) catchUp(ctx context.Context) {
	old := w.served.Load()
	head, err := w.opt.Checkpoints.Head(ctx)
	if err == nil && (head.Checkpoint == "" || head.Checkpoint == old.checkpoint && !old.interim) {
		w.unloaded.Store(nil)
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
	case err == nil && manifest.ID == old.checkpoint && !old.interim:
		return
	case err == nil:
		if w.replace(old, m, manifest) {
			w.unloaded.Store(nil)
			w.opt.Log.Info("model swapped", "checkpoint", manifest.ID, "before", old.checkpoint, "lessons", manifest.Meta.Lessons)
		}
	case ctx.Err() == nil:
		if told := w.unloaded.Swap(&unloaded{head.Checkpoint, err.Error()}); told == nil || told.checkpoint != head.Checkpoint {
			w.opt.Log.Error("failed to load checkpoint; the former model goes on serving", "checkpoint", head.Checkpoint, "serving", old.checkpoint, "error", err)
		}
	}
}
