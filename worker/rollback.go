package worker

import (
	"context"
	"errors"
	"fmt"

	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/storage"
)

// rollback is a model that this process has taken back and that must still be taken
// back durably. Otherwise the next start would serve it again.
type rollback struct {
	failing, good string // checkpoints
	model         *model.Model
	queries       []model.Query // at which the failing one failed last
}

// rollBack restores the model that served before the one from checkpoint failing. It is
// called when answers begin to fail within a minute of the swap. The trainer's next
// checkpoint is tried again as usual.
func (w *Worker) rollBack(failing string) {
	bad := w.served.Load()
	if bad == nil || bad.checkpoint != failing || bad.former == nil || w.opt.Now().Sub(bad.at) > trial {
		return
	}
	good := *bad.former
	good.at = w.opt.Now()
	good.model, good.interim = w.placed(w.hiding(withoutUnlearned(good.model, bad.model))), true
	if !w.served.CompareAndSwap(bad, &good) {
		return
	}
	w.rejected.Store(&bad.checkpoint)
	w.metrics.rollbacks.Inc()
	w.unloaded.Store(&unloaded{bad.checkpoint, "it failed in service"})
	w.opt.Log.Error("a new model keeps failing; the one before it serves again", "failing", bad.checkpoint, "serving", good.checkpoint)
	r := &rollback{failing: bad.checkpoint, good: good.checkpoint, model: good.model}
	if q := bad.failed.Load(); q != nil {
		r.queries = *q
	}
	// A breaker makes this call, so the storage is updated later.
	w.rollback.Store(r)
	w.Look()
}

// withoutUnlearned is former without the lessons that newer does not hold. A lesson may
// also be missing for another reason, such as a rollback; only the storage knows, and
// it cannot be asked here. If newer is too broken to list its lessons, former stays as
// it is until the storage has been asked.
func withoutUnlearned(former, newer *model.Model) (out *model.Model) {
	defer func() {
		if recover() != nil {
			out = former
		}
	}()
	out, _ = former.Unlearn(func(l model.Lesson) bool { _, known := newer.Lesson(l.ID); return !known })
	return out
}

// saveRollback makes a rollback durable and cluster-wide. While the storage is
// unavailable, it tries again at the next look.
func (w *Worker) saveRollback(ctx context.Context) {
	r := w.rollback.Load()
	if r == nil {
		return
	}
	if r.good == "" {
		w.rollback.CompareAndSwap(r, nil) // there is nothing to go back to
		return
	}
	if _, err := w.guarded(r.model, r.queries); err != nil {
		// The prompts are at fault. The clients that send them must not decide which
		// checkpoint is served.
		w.rollback.CompareAndSwap(r, nil)
		w.opt.Log.Warn("the model before it fails at the same prompts; the head stays where it is", "head", r.failing, "serving", r.good, "error", err)
		return
	}
	moved, err := w.opt.Checkpoints.Rollback(ctx, r.failing, r.good, fmt.Sprintf("it failed %d times within a minute of its swap", breakerFailures))
	switch {
	case errors.Is(err, storage.ErrNotFound), errors.Is(err, storage.ErrCorrupt):
		w.opt.Log.Error("the head cannot be moved back from a checkpoint that fails in service", "failing", r.failing, "to", r.good, "error", err)
	case err != nil:
		w.opt.Log.Debug("the head cannot be moved back yet", "error", err)
		return
	case moved:
		w.opt.Log.Warn("the head was moved back from a checkpoint that fails in service", "failing", r.failing, "head", r.good)
		// A promotion of this checkpoint from now on is intended.
		w.rejected.Store(nil)
		w.announce(ctx, r.good)
	}
	w.rollback.CompareAndSwap(r, nil)
}
