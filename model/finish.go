package model

import (
	"fmt"
	"slices"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/model/encoder"
	"github.com/nexus-continuum/nexus/model/gate"
)

// Report says what became of new weights.
type Report struct {
	// Before and After are the figures of the old and the new weights on the
	// same held-out prompts, each with a threshold of its own.
	Before, After job.Figures
	Promoted      bool
	Why           string
	Steps         int
}

// What new weights may lose and still be promoted. Refusal of foreign prompts
// is compared where both answer as many of the others: each side's own
// threshold trades one for the other.
const (
	mayLoseAccuracy = 0.01
	mayLoseRefusal  = 0.02
)

// Slices of Finish, in lessons: some ten milliseconds at the size small.
const (
	encodeSlice = 128
	judgeSlice  = 16
)

// Finish gives the memory of onto, which may have changed since the Learner was
// made, to the new weights, judges old and new weights on the held-out lessons,
// calibrates, and returns the model to serve: with the new weights, or, where
// they are worse, with the old ones and a fresh calibration. It may be called
// before all steps are done, and once.
func (l *Learner) Finish(onto *Model) (*Model, Report, error) {
	weights := l.trainer.Weights()
	if err := l.trainer.Close(); err != nil {
		return nil, Report{}, fmt.Errorf("end learning: %w", err)
	}
	return l.judgeAndPromote(onto, weights)
}

// judgeAndPromote judges weights and promotes them or not.
func (l *Learner) judgeAndPromote(onto *Model, weights encoder.Weights) (*Model, Report, error) {
	report := Report{Steps: l.trainer.Done()}
	before := l.judge(onto)
	old := *onto
	old.calibrate(before, false)
	report.Before = figures(old.gate, judgedAlike(before))

	if err := encoder.CheckFinite(weights); err != nil {
		report.After, report.Why = report.Before, "the new weights are not finite"
		return &old, report, nil //nolint:nilerr // that they are kept out, and why, is the result
	}
	fresh, err := l.carry(onto, weights)
	if err != nil {
		return nil, report, fmt.Errorf("end learning: %w", err)
	}
	fresh = l.recode(fresh)
	after := l.judge(fresh)
	fresh.calibrate(after, false)
	report.After = figures(fresh.gate, judgedAlike(after))

	if l.replacement == nil && !slices.ContainsFunc(after, func(r gate.Record) bool { return r.Held }) {
		report.Why = unproven
		return &old, report, nil
	}
	report.Promoted, report.Why = promote(report.Before, report.After,
		refused(old.gate, judgedAlike(before)), refusedAt(fresh.gate, judgedAlike(after), report.Before.Answered))
	if report.Promoted {
		return fresh, report, nil
	}
	return &old, report, nil
}

// unproven is why weights are not promoted where no answer has enough phrasings
// to hold one out: with up to three they make matters worse as often as better
// (docs/architecture/gate.md).
const unproven = "kept out: no answer has enough phrasings to hold one out for judging; the lessons answer from memory"

// carry is onto with new weights, and the shape that they have.
func (l *Learner) carry(onto *Model, w encoder.Weights) (*Model, error) {
	if l.replacement != nil {
		return l.replaced(onto, w)
	}
	return onto.withWeights(w, true)
}

// promote decides between old and new weights by their figures; was is the share of
// foreign prompts that the old ones refuse, refused that of the new ones where they
// answer as many of the others as the old ones do.
func promote(before, after job.Figures, was, refused float64) (yes bool, why string) {
	if after.Accuracy < before.Accuracy-mayLoseAccuracy {
		return false, fmt.Sprintf("kept out: accuracy on %d held-out prompts would fall from %.1f to %.1f %%",
			after.Prompts, 100*before.Accuracy, 100*after.Accuracy)
	}
	if refused < was-mayLoseRefusal {
		return false, fmt.Sprintf("kept out: with %.1f %% of the held-out prompts answered, %.1f %% of foreign ones would be refused instead of %.1f",
			100*before.Answered, 100*refused, 100*was)
	}
	if after.Prompts == 0 {
		return true, "no answer has enough phrasings to hold one out for judging"
	}
	return true, fmt.Sprintf("accuracy %.1f %% (before %.1f), %.1f %% answered (%.1f) and %.1f %% of foreign prompts refused (%.1f) on %d held-out prompts",
		100*after.Accuracy, 100*before.Accuracy, 100*after.Answered, 100*before.Answered, 100*after.ForeignRefused, 100*before.ForeignRefused, after.Prompts)
}

func (l *Learner) yield() {
	if l.opt.Yield != nil {
		l.opt.Yield()
	}
}

// judge collects the records of m, with the feedback known so far.
func (l *Learner) judge(m *Model) []gate.Record {
	return append(m.judging(fullScope).all(l.yield), m.gate.Feedback()...)
}

// recode encodes the memory of m with its new weights.
func (l *Learner) recode(m *Model) *Model {
	s := m.get()
	defer m.put(s)
	r := m.store.Recode(m.encoder.Dim(), s.encode(m))
	for r.Step(encodeSlice) {
		l.yield()
	}
	return m.with(r.Finish())
}
