package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/worker/trainer"
)

// served is the model that answers, and its origin. It never changes; a swap replaces
// it with another value.
type served struct {
	model      *model.Model
	checkpoint string
	at         time.Time
	// breaker belongs to this model only. If it opens during the trial, the model is
	// taken back, and the previous one serves with a closed breaker.
	breaker *breaker
	// failed holds the queries that the model failed on last.
	failed *atomic.Pointer[[]model.Query]
	// both sees through the embedding server too. It holds nil until it is made.
	both *atomic.Pointer[model.Both]
	// interim says that the model may lack lessons of its checkpoint. It is loaded
	// again as soon as the storage allows.
	interim bool
	// former is the model that served before. It is kept while this one is on trial.
	former *served
}

// trial is how long after a swap an open inference breaker is blamed on the new model.
const trial = time.Minute

// ask has the served model answer.
func (w *Worker) ask(queries []model.Query) (verdicts []model.Verdict, by *served, err error) {
	by = w.served.Load()
	err = by.breaker.Do(func() error {
		if verdicts, err = w.guarded(by.model, queries); err != nil {
			by.failed.Store(&queries)
		}
		return err
	})
	return verdicts, by, err
}

// swapModel replaces the model that serves, whichever it is.
func (w *Worker) swapModel(m *model.Model, saved storage.Manifest) {
	for {
		if w.replace(w.served.Load(), m, saved) {
			return
		}
	}
}

// replace swaps in a model if old still serves.
func (w *Worker) replace(old *served, m *model.Model, saved storage.Manifest) bool {
	next := &served{model: w.placed(w.tuned(m)), checkpoint: saved.ID, at: w.opt.Now(), failed: new(atomic.Pointer[[]model.Query]), both: new(atomic.Pointer[model.Both])}
	next.breaker = newBreaker("inference", w.opt.Log, w.opt.Now, func() { w.rollBack(saved.ID) }) //nolint:contextcheck // it outlives every request
	if old != nil {
		// One step back is enough. A longer chain would keep old models alive.
		before := *old
		before.former = nil
		next.former = &before
	}
	if !w.served.CompareAndSwap(old, next) {
		return false
	}
	if w.views != nil {
		select {
		case w.views.changed <- struct{}{}:
		default:
		}
	}
	return true
}

// tuned applies the bound on errors if operators have set one, and withholds answers
// that are not valid now.
func (w *Worker) tuned(m *model.Model) *model.Model {
	alpha := cmp.Or(w.control.now().TargetError, w.opt.Model.TargetError)
	m = w.hiding(m)
	if alpha == 0 || alpha == m.Config().TargetError {
		return m
	}
	out, err := m.WithTargetError(alpha)
	if err != nil {
		w.opt.Log.Error("the target error that was set cannot be used", "target_error", alpha, "error", err)
		return m
	}
	return out
}

// placed lets the device, if there is one, compute the batches of m.
func (w *Worker) placed(m *model.Model) *model.Model {
	if w.opt.Device == nil {
		return m
	}
	return m.On(w.opt.Device)
}

// Relieve frees the previous model once the present one has passed its trial. Otherwise
// it would hold its memory until the next swap. Under critical pressure it is freed at
// once.
func (w *Worker) Relieve(critical bool) {
	s := w.served.Load()
	if s == nil || s.former == nil || !critical && w.opt.Now().Sub(s.at) <= trial {
		return
	}
	alone := *s
	alone.former = nil
	w.served.CompareAndSwap(s, &alone) // else another one has just taken its place
}

// loadFirst loads the latest checkpoint. If there is none at all, it begins with an
// untaught model.
func (w *Worker) loadFirst(ctx context.Context) error {
	// The breaker is not used: nothing is served while it is open, and the storage may
	// be back sooner.
	manifest, m, err := w.loadNow(ctx)
	if errors.Is(err, storage.ErrNotFound) {
		w.opt.Log.Info("no checkpoint found; starting with an untaught model")
		if m, err = model.New(w.opt.Model); err != nil {
			return fmt.Errorf("make a new model: %w", err)
		}
		w.replace(nil, m, storage.Manifest{})
		return nil
	}
	if err != nil {
		return err
	}
	w.replace(nil, m, manifest)
	w.opt.Log.Info("model loaded", "checkpoint", manifest.ID, "lessons", manifest.Meta.Lessons)
	return nil
}

// loadLatest loads the latest checkpoint unless the storage's breaker is open.
func (w *Worker) loadLatest(ctx context.Context) (manifest storage.Manifest, m *model.Model, err error) {
	var missing error
	err = w.breakers.storage.Do(func() error {
		manifest, m, err = w.loadNow(ctx)
		if errors.Is(err, storage.ErrNotFound) {
			missing = err
			return nil
		}
		return err
	})
	return manifest, m, errors.Join(err, missing)
}

func (w *Worker) loadNow(ctx context.Context) (storage.Manifest, *model.Model, error) {
	manifest, parts, err := w.opt.Checkpoints.LoadLatest(ctx)
	if err != nil {
		return manifest, nil, err
	}
	m, err := w.open(ctx, manifest, parts)
	return manifest, m, err
}

// open makes a model from a checkpoint, removes lessons that were unlearned since, and
// tries the model before it may serve.
func (w *Worker) open(ctx context.Context, manifest storage.Manifest, parts []storage.Part) (*model.Model, error) {
	m, err := trainer.Open(w.opt.Model, manifest, parts)
	if err != nil {
		return nil, err
	}
	lineage, err := w.opt.Checkpoints.Lineage(ctx, manifest.ID)
	if err != nil {
		return nil, err
	}
	m, removed, err := trainer.Unlearned(ctx, m, lineage, w.opt.Datasets, w.dropped)
	if err != nil {
		return nil, err
	}
	if removed > 0 {
		w.opt.Log.Info("lessons that an older checkpoint brought back do not serve", "checkpoint", manifest.ID, "lessons", removed)
	}
	if err := w.tryOut(m); err != nil {
		return nil, fmt.Errorf("try checkpoint %s: %w", manifest.ID, err)
	}
	w.readValidity(ctx)
	return m, nil
}

// tryOut asks a model for a lesson that it was taught. The model must not fail, and
// must return what was taught.
func (w *Worker) tryOut(m *model.Model) error {
	lessons, _ := m.Lessons("", "", 4)
	for _, l := range lessons {
		v, err := w.guarded(m, []model.Query{{Prompt: l.Prompt, Topic: l.Topic}})
		if err != nil {
			return err
		}
		if l.Refusal && v[0].Reason != job.ReasonTaughtRefusal || !l.Refusal && v[0].Response != l.Response {
			return fmt.Errorf("lesson %s does not answer its own prompt", l.ID)
		}
	}
	return nil
}
