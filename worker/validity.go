package worker

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/storage"
)

// Validity says when answers may be given; *storage.ValidityRecord implements it.
type Validity interface {
	Read(ctx context.Context) (storage.Validities, int64, error)
}

// validity tracks which answers may be given now.
type validity struct {
	now atomic.Pointer[validities]
}

type validities struct {
	all     storage.Validities
	version int64
}

// hiding makes m withhold the answers that may not be given now.
func (w *Worker) hiding(m *model.Model) *model.Model {
	v := w.validity.now.Load()
	if v == nil {
		return m
	}
	hide, _ := v.all.Hidden(w.opt.Now())
	return m.Hiding(hide)
}

// readValidity applies the stored record. If it cannot be read, the previous one stays
// in force.
func (w *Worker) readValidity(ctx context.Context) {
	if w.opt.Validity == nil {
		return
	}
	all, version, err := w.opt.Validity.Read(ctx)
	if err != nil {
		if ctx.Err() == nil {
			w.opt.Log.Debug("the validity of answers cannot be read; what was read last stays in force", "error", err)
		}
		return
	}
	w.validity.now.Store(&validities{all, version})
}

// validityTimeout limits the read of the record before a model begins to serve.
const validityTimeout = 2 * time.Second

// followValidity serves answers from the moment they become valid until they expire. It
// acts when the record changes and when a time in it is reached.
func (w *Worker) followValidity(ctx context.Context) {
	messages := w.opt.Queue.Subscribe(ctx, job.ChannelControl)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	moment := time.NewTimer(time.Hour)
	defer moment.Stop()
	var (
		next   time.Time
		served int64 // version of the record that serves for sure
	)
	for {
		w.readValidity(ctx)
		if v := w.validity.now.Load(); v != nil {
			if v.version != served || !next.IsZero() && !w.opt.Now().Before(next) {
				w.serveValid()
				served = v.version
			}
			if _, next = v.all.Hidden(w.opt.Now()); !next.IsZero() {
				moment.Reset(max(next.Sub(w.opt.Now()), 0))
			}
		}
		select {
		case <-ctx.Done():
			return
		case msg, ok := <-messages:
			if !ok {
				messages = nil
			} else if msg != job.MessageChanged {
				continue
			}
		case <-tick.C:
		case <-moment.C:
		}
	}
}

// serveValid makes the served model withhold exactly the answers that may not be given
// now.
func (w *Worker) serveValid() {
	for {
		s := w.served.Load()
		if s == nil {
			return
		}
		next := *s
		next.model, next.both = w.hiding(s.model), new(atomic.Pointer[model.Both])
		if w.served.CompareAndSwap(s, &next) {
			break
		}
	}
	if w.views != nil {
		select {
		case w.views.changed <- struct{}{}:
		default:
		}
	}
}
