package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/queue"
)

var errStopped = errors.New("the worker is stopping")

// sentences are the texts that a person reads in place of an answer.
var sentences = map[string]string{
	job.ReasonUntaught:      "I have not been taught anything about this yet.",
	job.ReasonLowConfidence: "I am not sure enough of the answer to give it.",
	job.ReasonAmbiguous:     "Your question matches more than one answer that I know. Please be more specific.",
	job.ReasonUnfamiliar:    "This is unlike anything that I was taught.",
	job.ReasonTaughtRefusal: "I was taught not to answer this.",
	job.ReasonNotConverged:  "I could not work out what this means. Please rephrase it.",
}

const otherwise = "I cannot answer this."

// interact is the handler of the lanes interactive and batch.
func (w *Worker) interact(ctx context.Context, t *queue.Task) (any, error) {
	spec := t.Spec
	query := model.Query{Prompt: spec.Prompt, Topic: spec.Topic}
	r := w.batcher.do(ctx, query, spec.Lane == job.LaneInteractive)
	r = w.second(ctx, query, r, spec.Lane == job.LaneInteractive)
	w.opt.Governor.Touch()
	switch {
	case r.err == nil:
	case errors.Is(r.err, errStopped):
		return nil, queue.HandBack("its worker stopped; it runs again", 0)
	case ctx.Err() != nil:
		return nil, r.err
	default:
		if spec.ReplyTo == "" {
			w.opt.Recorder.JobFailed()
			w.metrics.failures.Inc()
		}
		return nil, fmt.Errorf("compute job %s: %w", spec.ID, r.err)
	}
	a := answer(spec, r)
	traceCompute(ctx, r, &a)
	w.shadow.offer(query, r)
	w.opt.Recorder.Answer(&a)
	if !w.opt.Unobserved {
		w.metrics.answered(&a)
	}
	if w.opt.Interactions != nil {
		w.opt.Interactions.Attach(t, logged(spec, &a, w.opt.LogPrompts, w.opt.Now()))
	}
	return a, nil
}

// answer converts a verdict to the form of the HTTP contract.
func answer(spec job.Spec, r answered) job.Answer {
	v := r.verdict
	a := job.Answer{
		JobID: spec.ID, InteractionID: spec.ID,
		Response: v.Response, Responded: v.Responded,
		Confidence: v.Confidence, Threshold: v.Threshold,
		Topic: optional(v.Topic), Checkpoint: optional(r.by.checkpoint), Reason: optional(v.Reason),
		Sources: make([]job.Source, len(v.Sources())),
		Flow:    job.Flow{Depth: v.Depth, Converged: v.Converged, Residual: v.Residual},
		Timing: job.Timing{
			// The clocks of two hosts may differ; a wait is never negative.
			QueueMS:   milliseconds(max(0, r.began.Sub(spec.CreatedAt))),
			ComputeMS: milliseconds(r.took),
		},
	}
	a.Timing.TotalMS = a.Timing.QueueMS + a.Timing.ComputeMS
	for i, s := range v.Sources() {
		a.Sources[i] = job.Source{LessonID: s.LessonID(), Prompt: s.Prompt, Similarity: s.Similarity}
	}
	if !v.Responded {
		a.Response = sentences[v.Reason]
		if a.Response == "" {
			a.Response = otherwise
		}
	}
	return a
}

// logged is the log entry for answer a.
func logged(spec job.Spec, a *job.Answer, text bool, now time.Time) job.Interaction {
	it := job.Interaction{
		ID: a.InteractionID, Owner: spec.Owner, Topic: spec.Topic, Responded: a.Responded,
		Confidence: a.Confidence, Threshold: a.Threshold, At: job.At(now),
	}
	if a.Topic != nil {
		it.Topic = *a.Topic
	}
	if a.Reason != nil {
		it.Reason = *a.Reason
	}
	if a.Checkpoint != nil {
		it.Checkpoint = *a.Checkpoint
	}
	for _, s := range a.Sources {
		it.Lessons = append(it.Lessons, s.LessonID)
	}
	if text {
		it.Prompt, it.Response = spec.Prompt, a.Response
	}
	return it
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// milliseconds rounds to microseconds; further digits carry no information.
func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
