package worker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/telemetry/heartbeat"
	"github.com/nexus-continuum/nexus/worker/embedding"
	"github.com/nexus-continuum/nexus/worker/trainer"
)

// Embeddings says how an embedding server is used.
type Embeddings struct {
	Server embedding.Server
	// Always sends the server every prompt that repeats no lesson. Otherwise it gets
	// only the prompts that the built-in encoder is unsure of.
	Always bool
	// Timeout is the longest time that a prompt waits for the server.
	Timeout time.Duration
}

// views asks an embedding server: for prompts, and in the background for lessons.
type views struct {
	opt      Embeddings
	gatherer *embedding.Gatherer
	breaker  *breaker
	metrics  *viewMetrics
	changed  chan struct{} // latched: another model serves

	mu    sync.Mutex
	space model.Space // of new vectors; no length before the server was asked
	issue string      // why it refuses; empty while it does not
}

func newViews(opt Embeddings, b *breaker) *views {
	v := &views{opt: opt, breaker: b, metrics: newViewMetrics(), changed: make(chan struct{}, 1)}
	v.space = model.Space{Name: opt.Server.Model(), Dim: opt.Server.Dimensions()}
	v.gatherer = embedding.NewGatherer(opt.Server, b, opt.Timeout, func(took time.Duration, err error) {
		v.metrics.requests.Observe(took.Seconds())
		v.note(err)
	})
	return v
}

// note keeps an error that only a person can fix.
func (v *views) note(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case errors.Is(err, embedding.ErrRefused):
		v.issue = job.Clip(err.Error(), maxIssue)
	case err == nil:
		v.issue = ""
	}
}

// maxIssue limits the length of an error text in health, in characters.
const maxIssue = 500

// report is what the heartbeat says.
func (v *views) report(s *served) *heartbeat.Embeddings {
	if v == nil {
		return nil
	}
	v.mu.Lock()
	out := &heartbeat.Embeddings{Model: v.space.Name, Issue: v.issue}
	v.mu.Unlock()
	if s != nil {
		both := s.both.Load()
		out.Serving = both != nil
		if both != nil {
			out.Dimensions, out.Lessons = both.Space().Dim, both.Lessons()
			out.Weight = both.Share()
			out.Outdated = both.Space().Name != out.Model
		}
	}
	out.Sent, out.Late, out.Failed = v.metrics.counts()
	return out
}

// lessonsWithin limits a request for the vectors of several lessons. It is long because
// nobody waits for it.
const lessonsWithin = 30 * time.Second

// lessonEmbedder asks for the vectors of lessons, behind the same breaker.
type lessonEmbedder struct{ *views }

var _ trainer.Embedder = lessonEmbedder{}

// Space implements trainer.Embedder. The first call asks the server.
func (e lessonEmbedder) Space(ctx context.Context) (model.Space, error) {
	e.mu.Lock()
	s := e.space
	e.mu.Unlock()
	if s.Dim > 0 {
		return s, nil
	}
	got, err := e.Embed(ctx, []string{"How long are the vectors?"})
	if err != nil {
		return s, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.space.Dim = len(got[0])
	return e.space, nil
}

// Embed implements trainer.Embedder.
func (e lessonEmbedder) Embed(ctx context.Context, texts []string) (out [][]float32, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, lessonsWithin, fmt.Errorf("no answer within %s", lessonsWithin))
	defer cancel()
	e.mu.Lock()
	s := e.space
	e.mu.Unlock()
	err = e.breaker.Do(func() error {
		out, err = e.opt.Server.Embed(ctx, s.Name, s.Dim, texts)
		return err
	})
	e.note(err)
	return out, err
}

// keepBoth makes, for each model that begins to serve, the model that sees through both
// encoders. It runs in the background because copying the vectors of many lessons takes
// time.
func (w *Worker) keepBoth(ctx context.Context) {
	for {
		if s := w.served.Load(); s != nil && s.both.Load() == nil {
			if both := s.model.Both(); both != nil {
				s.both.Store(both)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-w.views.changed:
		}
	}
}

// Outcomes of a prompt that would be sent to the embedding server.
const (
	viewAnswered = "answered"
	viewRefused  = "refused"
	viewLate     = "late"   // its caller gives up too soon
	viewFailed   = "failed" // the server gave nothing in time
)

// second asks the model that sees through both encoders when the built-in encoder is
// unsure, and returns its answer. If anything prevents that, the first answer stays.
func (w *Worker) second(ctx context.Context, q model.Query, first answered, urgent bool) answered {
	v := w.views
	if v == nil || first.err != nil {
		return first
	}
	both := first.by.both.Load()
	if both == nil || !v.needsEmbedding(&first.verdict, both) {
		return first
	}
	if ends, ok := ctx.Deadline(); ok && time.Until(ends) < v.opt.Timeout {
		v.metrics.count(viewLate)
		return first
	}
	space := embedding.Space{Model: both.Space().Name, Dim: both.Space().Dim}
	texts := model.Texts(q.Prompt)
	vectors, known, err := v.gatherer.Vectors(ctx, space, texts)
	v.metrics.hits(known, len(texts)-known)
	if err != nil {
		v.metrics.count(viewFailed)
		return first
	}
	again := w.batcher.submit(ctx, q, &sight{both, func(text string) []float32 { return vectors[text] }}, urgent)
	if again.err != nil {
		w.opt.Log.Warn("a prompt could not be seen by both encoders", "error", again.err)
		v.metrics.count(viewFailed)
		return first
	}
	v.metrics.count(map[bool]string{true: viewAnswered, false: viewRefused}[again.verdict.Responded])
	again.by, again.began, again.took = first.by, first.began, time.Since(first.began)
	return again
}

// needsEmbedding reports whether a prompt should go to the embedding server.
func (v *views) needsEmbedding(first *model.Verdict, both *model.Both) bool {
	if first.Repeat {
		return false
	}
	switch first.Reason {
	case job.ReasonLowConfidence, job.ReasonAmbiguous, job.ReasonUnfamiliar:
		return true
	}
	return first.Responded && (v.opt.Always || !both.Sure(first))
}
