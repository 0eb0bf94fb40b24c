package trainer

import (
	"context"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/nexus-continuum/nexus/model"
)

// Embedder gives the vectors that another encoder has for texts. It may be slow, and
// away.
type Embedder interface {
	// Space is that of the vectors which Embed gives.
	Space(ctx context.Context) (model.Space, error)
	// Embed gives one vector for each of up to EmbedAtOnce texts.
	Embed(ctx context.Context, texts []string) ([][]float32, error)
}

// EmbedAtOnce is how many texts Embed is given at most.
const EmbedAtOnce = 64

const (
	// settleFor is how long lessons must have stayed the same before a checkpoint is
	// made of their vectors, and settleMost bounds the wait where lessons keep coming.
	settleFor  = 500 * time.Millisecond
	settleMost = 30 * time.Second
	// embedAgain is how soon a server that failed is asked again.
	embedAgain = 5 * time.Second
)

// viewing has every lesson embedded in the background. It works on the model that was
// saved last; what comes of it goes to the actor, which may have learned more since.
type viewing struct {
	opt     *Options
	model   atomic.Pointer[model.Model]
	changed chan struct{} // latched
	ready   chan viewed
	vectors map[string][]float32 // of texts, until the model holds them
	dirty   time.Time            // since when the model lacks something
}

// viewed are vectors and, if they are all there, what was fitted to them.
type viewed struct {
	space   model.Space
	vectors map[string][]float32
	fitting *model.Fitting
}

func (v viewed) onto(m *model.Model) *model.Model {
	return v.fitting.Onto(m.WithVectors(v.space, v.vectors))
}

func newViewing(opt *Options) *viewing {
	return &viewing{opt: opt, changed: make(chan struct{}, 1), ready: make(chan viewed), vectors: map[string][]float32{}}
}

// follow makes m the model that is looked at.
func (v *viewing) follow(m *model.Model) {
	if v.opt.Embed == nil {
		return
	}
	v.model.Store(m)
	select {
	case v.changed <- struct{}{}:
	default:
	}
}

// run embeds until ctx ends.
func (v *viewing) run(ctx context.Context) {
	for ctx.Err() == nil {
		wait, err := v.update(ctx)
		if err != nil && ctx.Err() == nil {
			v.opt.Log.Debug("lessons cannot be embedded now; trying again", "error", err)
			wait = embedAgain
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-v.changed:
		}
		timer.Stop()
	}
}

// never is how long nothing is looked at by itself: a change is told.
const never = time.Hour

// update embeds what the model lacks and fits it, and says when to look again.
func (v *viewing) update(ctx context.Context) (time.Duration, error) {
	m := v.model.Load()
	if m == nil || m.Info().Lessons == 0 {
		return never, nil
	}
	if v.opt.Control().Paused {
		return pausedFor, nil
	}
	space, err := v.opt.Embed.Space(ctx)
	if err != nil {
		return 0, err
	}
	missing := m.Unseen(space)
	if len(missing) == 0 && m.Fitted() {
		clear(v.vectors)
		v.dirty = time.Time{}
		return never, nil
	}
	if v.dirty.IsZero() {
		v.dirty = v.opt.Now()
	}
	if more, err := v.embed(ctx, missing); more || err != nil {
		return 0, err
	}
	if v.opt.Now().Sub(v.dirty) < settleMost && !v.waitForQuiet(ctx) {
		return 0, nil
	}
	seen := m.WithVectors(space, v.vectors)
	pace := &pace{ctx: ctx, opt: v.opt}
	pace.begin()
	fitting := seen.Fit(pace.yield)
	if fitting == nil {
		return never, nil // the server left something out
	}
	if more, err := v.embed(ctx, fitting.Texts()); more || err != nil {
		return 0, err
	}
	fitting.Calibrate(func(text string) []float32 { return v.vectors[text] }, pace.yield)
	pace.charge()
	select {
	case v.ready <- viewed{space: space, vectors: maps.Clone(v.vectors), fitting: fitting}:
	case <-ctx.Done():
	}
	// The save tells of the model that holds them. One that fails is tried again.
	return settleMost, nil
}

// embed asks for the vectors of texts that are not at hand. It ends early, with more,
// where learning is paused.
func (v *viewing) embed(ctx context.Context, texts []string) (more bool, err error) {
	texts = slices.DeleteFunc(slices.Clone(texts), func(t string) bool { return v.vectors[t] != nil })
	for batch := range slices.Chunk(texts, EmbedAtOnce) {
		if v.opt.Control().Paused {
			return true, nil
		}
		got, err := v.opt.Embed.Embed(ctx, batch)
		if err != nil {
			return true, err
		}
		for i, t := range batch {
			v.vectors[t] = got[i]
		}
	}
	return false, nil
}

// waitForQuiet waits until no lesson has come for a while; false where one came.
func (v *viewing) waitForQuiet(ctx context.Context) bool {
	timer := time.NewTimer(settleFor)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-v.changed:
	case <-ctx.Done():
	}
	return false
}

// takeVectors takes vectors that wait, between two slices.
func (a *actor) takeVectors(ctx context.Context) {
	select {
	case v := <-a.views.ready:
		a.see(ctx, v)
	default:
	}
}

// see takes the vectors that are ready, saves them and puts them to work.
func (a *actor) see(ctx context.Context, v viewed) {
	if a.stale {
		return // it comes again
	}
	c := change{view: v.onto}
	next := c.onto(a.model)
	if s := a.session; s != nil {
		s.since = append(s.since, c)
	}
	if err := a.save(ctx, next, a.state, nil, "embedded"); err != nil {
		return // it is logged, and they come again
	}
	a.opt.Log.Info("the lessons are seen by the embedding server too", "embeddings", v.space.Name, "dimensions", v.space.Dim, "lessons", next.Seen())
}
