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
	if a.session != nil || !a.t.uneven.Swap(false) {
		return
	}
	if a.head == "" || a.head == a.calibrated || a.stale || a.opt.Storage.Open() || a.opt.Control().Paused {
		return
	}
	pace := &pace{ctx: ctx, opt: a.opt}
	pace.begin()
	var m *model.Model
	var figures job.Figures
	err := guard(func() error { m, figures = a.model.Recalibrate(pace.yield); return nil })
	pace.charge()
	if err != nil {
		a.logPanic("recalibrate", err)
		a.calibrated = a.head // not again before the model changes
		return
	}
	was, is := a.model.Info(), m.Info()
	before, after := was.Threshold, is.Threshold
	if before != after || was.Judged != is.Judged {
		st := a.state
		st.Figures = &figures
		if a.save(ctx, m, st, nil, "recalibrated") != nil {
			return // it is logged, and comes again
		}
		a.opt.Log.Info("the refusal threshold was set anew", "before", before, "now", after, "prompts", figures.Prompts)
	}
	a.calibrated = a.head
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
