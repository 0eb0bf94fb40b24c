package trainer

import (
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
