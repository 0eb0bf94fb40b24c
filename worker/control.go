package worker

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/storage"
)

// control follows the cluster-wide settings that operators made.
type control struct {
	record atomic.Pointer[storage.Control]
}

func (c *control) now() storage.Control {
	if r := c.record.Load(); r != nil {
		return *r
	}
	return storage.Control{Training: true}
}

// followControl reads the record on request, and every two seconds.
func (w *Worker) followControl(ctx context.Context) {
	messages := w.opt.Queue.Subscribe(ctx, job.ChannelControl)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case msg, ok := <-messages:
			if !ok {
				messages = nil
				continue
			}
			if t := w.trainer.Load(); t != nil && (msg == job.MessageSave || msg == job.MessageRecalibrate) {
				if msg == job.MessageSave {
					t.Save()
				} else {
					t.Recalibrate()
				}
				continue
			}
		case <-tick.C:
		}
		w.readControl(ctx)
	}
}

// readControl applies the stored record. If it cannot be read, the previous one stays
// in force.
func (w *Worker) readControl(ctx context.Context) {
	next, err := w.opt.Control.Read(ctx)
	if err != nil {
		if ctx.Err() == nil {
			w.opt.Log.Debug("the control record cannot be read; the last one stays in force", "error", err)
		}
		return
	}
	before := w.control.record.Swap(&next)
	if before != nil && *before == next {
		return
	}
	reason := ""
	if next.Paused {
		reason = job.WhyPausedBy(next.PausedBy)
	}
	w.opt.Governor.Pause(reason)
	if before != nil {
		w.opt.Log.Info("control changed", "paused", next.Paused, "training", next.Training, "topic", next.Topic)
	}
	if s := w.served.Load(); s != nil && (before == nil || before.TargetError != next.TargetError) {
		tuned := *s
		tuned.model = w.tuned(s.model)
		w.served.CompareAndSwap(s, &tuned)
	}
	if t := w.trainer.Load(); t != nil {
		t.Nudge()
	}
	if before != nil && before.Paused && !next.Paused {
		// Jobs that were handed back for the pause would otherwise rest some seconds
		// longer.
		err := w.opt.Queue.EndRest(ctx, job.LaneTrain, job.WhyPaused)
		if err != nil && ctx.Err() == nil {
			w.opt.Log.Debug("jobs that rest because of the pause run a little later", "error", err)
		}
	}
}
