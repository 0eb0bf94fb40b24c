package trainer

import (
	"context"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/storage"
)

// recalibrate has the threshold of m count judgements.
func (a *actor) recalibrate(m *model.Model, e *entry, list []model.Judgement) *model.Model {
	before := m.Info().Threshold
	m, done := m.Feedback(list)
	e.judged, e.why = true, "judged"
	if done.Counted == 0 {
		e.why = "no part"
	}
	if after := m.Info().Threshold; after != before {
		a.opt.Log.Info("feedback moves the refusal threshold", "before", before, "now", after, "judgements", done.Counted)
	}
	return m
}

// recalibrateIfAsked has the threshold set by what memory holds now, if somebody asked. Consolidation does so
// itself; between two of them lessons come that no judging has seen.
func (a *actor) recalibrateIfAsked(ctx context.Context) {
	if a.session == nil && a.t.recalibration.Swap(false) && !a.recalibrateAll(ctx) {
		a.t.recalibration.Store(true)
	}
}

// recalibrationDue reports whether the threshold stands on a sample of the lessons, as it does as soon as they
// answer, and nobody is teaching any more.
func (a *actor) recalibrationDue() bool {
	return a.model.Sampled() && a.head != a.calibrated && a.opt.Now().Sub(a.taught) >= a.opt.Quiet && a.maySaveThreshold()
}

// maySaveThreshold reports whether a new threshold could be saved now.
func (a *actor) maySaveThreshold() bool {
	return a.head != "" && !a.stale && !a.opt.Storage.Open() && !a.opt.Control().Paused
}

// recalibrateAll has the threshold set by all that memory holds, unless that was done for this head. It reports false
// where it gave way to somebody who teaches.
func (a *actor) recalibrateAll(ctx context.Context) bool {
	if a.head == a.calibrated || !a.maySaveThreshold() {
		return true
	}
	pace := &pace{ctx: ctx, opt: a.opt}
	pace.begin()
	var m *model.Model
	var figures job.Figures
	// Who teaches goes first: it is done once nobody does.
	goOn := func() bool { pace.yield(); return len(a.t.requests) == 0 && ctx.Err() == nil }
	err := guard(func() error { m, figures = a.model.Recalibrate(goOn); return nil })
	pace.charge()
	if err != nil {
		a.logPanic("recalibrate", err)
		a.calibrated = a.head // not again before the model changes
		return true
	}
	if m == nil {
		return false
	}
	was, is := a.model.Info(), m.Info()
	before, after := was.Threshold, is.Threshold
	if before != after || was.Judged != is.Judged {
		st := a.state
		if figures.Prompts > 0 { // else no lesson could be left out to judge with
			st.Figures = &figures
		}
		if a.save(ctx, m, st, nil, "recalibrated") != nil {
			return true // it is logged, and comes again
		}
		a.opt.Log.Info("the refusal threshold was set anew", "before", before, "now", after, "prompts", figures.Prompts)
	}
	a.calibrated = a.head
	return true
}

// judgements reads a dataset of the operation judge.
func judgements(lessons []storage.Lesson) []model.Judgement {
	out := make([]model.Judgement, 0, len(lessons))
	for _, l := range lessons {
		if j := l.Judgement; j != nil {
			out = append(out, model.Judgement{
				Interaction: j.Interaction, Prompt: l.Prompt, Topic: l.Topic, Response: l.Response,
				Reason: j.Reason, Lessons: j.Lessons, Correct: j.Correct, Right: j.Right,
			})
		}
	}
	return out
}
