package worker

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/telemetry/heartbeat"
)

// Challengers is what a worker needs so that a challenger can answer in the shadow;
// *storage.Checkpoints implements it.
type Challengers interface {
	Registry(ctx context.Context) (storage.Registry, error)
	Load(ctx context.Context, id string) (storage.Manifest, []storage.Part, error)
}

const (
	// shadowRoom is how many prompts may wait for the challenger. Further prompts are
	// skipped, so serving never waits for it.
	shadowRoom  = 64
	shadowEvery = 2 * time.Second
)

// shadow gives the challenger a share of the answered prompts, after their callers have
// received the answers. Nobody sees the challenger's answers; only the comparison is
// counted.
type shadow struct {
	share   float64
	prompts chan shadowed
	model   atomic.Pointer[served]
	refused string // a challenger that could not be loaded, told once

	mu    sync.Mutex
	due   float64 // prompts that the share still owes
	tally heartbeat.Shadow
}

// shadowed is a prompt and the champion's answer to it.
type shadowed struct {
	query   model.Query
	verdict model.Verdict
	took    time.Duration
}

func newShadow(share float64) *shadow {
	return &shadow{share: share, prompts: make(chan shadowed, shadowRoom)}
}

// offer gives the challenger a prompt if it is its turn. It never waits.
func (s *shadow) offer(q model.Query, r answered) {
	if s.share <= 0 || s.model.Load() == nil || r.err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.due += s.share; s.due < 1 {
		return
	}
	s.due--
	select {
	case s.prompts <- shadowed{q, r.verdict, r.took}:
	default:
		s.tally.LeftOut++
	}
}

// report is the part of the heartbeat about the challenger; nil if there is none.
func (s *shadow) report() *heartbeat.Shadow {
	m := s.model.Load()
	if m == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tally
	t.Checkpoint = m.checkpoint
	return &t
}

// runShadow follows the registry and lets the challenger answer.
func (w *Worker) runShadow(ctx context.Context) {
	tick := time.NewTicker(shadowEvery)
	defer tick.Stop()
	w.followChallenger(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			w.followChallenger(ctx)
		case p := <-w.shadow.prompts:
			w.compare(p)
		}
	}
}

// compare asks the challenger the same prompt that the champion was asked.
func (w *Worker) compare(p shadowed) {
	s := w.shadow
	m := s.model.Load()
	if m == nil {
		return
	}
	began := time.Now()
	verdicts, err := w.guarded(m.model, []model.Query{p.query})
	took := time.Since(began)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.tally.Failed++
		return
	}
	s.tally.Prompts++
	v := &verdicts[0]
	if v.Responded == p.verdict.Responded && (!v.Responded || v.Response == p.verdict.Response) {
		s.tally.Agreed++
	}
	count(&s.tally.Champion, &p.verdict, p.took)
	count(&s.tally.Challenger, v, took)
}

func count(f *heartbeat.ShadowFigures, v *model.Verdict, took time.Duration) {
	if v.Responded {
		f.Answered++
	} else {
		f.Refused++
	}
	f.Confidence += v.Confidence
	f.ComputeMS += milliseconds(took)
}

// followChallenger loads the checkpoint that the registry names. The checkpoint is not
// used as challenger if it cannot be loaded or does not answer what it was taught.
func (w *Worker) followChallenger(ctx context.Context) {
	s := w.shadow
	r, err := w.opt.Challengers.Registry(ctx)
	if err != nil {
		return
	}
	now := s.model.Load()
	switch {
	case r.Challenger == "":
		s.model.Store(nil)
		s.refused = ""
		return
	case now != nil && now.checkpoint == r.Challenger, s.refused == r.Challenger:
		return
	}
	manifest, parts, err := w.opt.Challengers.Load(ctx, r.Challenger)
	var m *model.Model
	if err == nil {
		m, err = w.open(ctx, manifest, parts)
	}
	if err != nil {
		if ctx.Err() == nil && !errors.Is(err, storage.ErrUnavailable) {
			s.refused = r.Challenger
			w.opt.Log.Error("the challenger cannot be loaded; nothing answers in the shadow", "checkpoint", r.Challenger, "error", err)
		}
		s.model.Store(nil)
		return
	}
	s.mu.Lock()
	s.tally, s.due = heartbeat.Shadow{}, 0
	s.mu.Unlock()
	s.model.Store(&served{model: w.tuned(m), checkpoint: manifest.ID, at: w.opt.Now()})
	w.opt.Log.Info("a challenger answers in the shadow", "checkpoint", manifest.ID, "share", s.share)
}
