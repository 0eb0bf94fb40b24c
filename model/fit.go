package model

import (
	"slices"

	"github.com/nexus-continuum/nexus/model/gate"
	"github.com/nexus-continuum/nexus/model/memory"
)

// fit is what was learned of two views together on a deployment's own lessons.
type fit struct {
	share   float64 // of the other encoder
	gate    *gate.Gate
	lessons int  // that memory held then
	unheard bool // people have judged since
}

// shares are those that are tried, and expected is how often the best candidate was
// right with each in simulated deployments (docs/architecture/embeddings.md).
var (
	shares   = [...]float64{0.3, 0.5, 0.65, 0.8, 0.9}
	expected = [...]float64{0.900, 0.910, 0.913, 0.914, 0.9139}
)

const (
	// expectedWorth is how many left-out lessons those figures are worth.
	expectedWorth = 100
	// triedLessons bounds the lessons that each share is tried on.
	triedLessons = 200
	// triedVectors is the size of a memory beyond which no copy of all its vectors is
	// made to try a share: the usual one is taken.
	triedVectors = 20000
)

// bothScope is how much the calibration of both views asks: each made-up prompt
// has to be embedded.
var bothScope = scope{lessons: 300, turned: 120, elsewhere: 1}

// Fitting learns how much each view is to count, and calibrates the two together.
type Fitting struct {
	of    *Model
	model *Model // with both views
	share float64
	scope scope
	gate  *gate.Gate
}

// Fit begins to fit the view of m to its lessons; nil as long as it is not
// complete. yield is called every some milliseconds.
func (m *Model) Fit(yield func()) *Fitting {
	if !m.view.complete(m) {
		return nil
	}
	f := &Fitting{of: m, share: m.fitShare(yield), scope: bothScope}
	f.model = m.blended(f.share, gate.NewBoth(m.cfg.TargetError), nil)
	return f
}

// usualShare is the share that is best in most deployments.
func usualShare() float64 { return shares[slices.Index(expected[:], slices.Max(expected[:]))] }

// fitShare finds the share with which most left-out lessons find their answer.
func (m *Model) fitShare(yield func()) float64 {
	best, most := 0, -1.0
	if m.store.Exemplars() > triedVectors {
		return usualShare()
	}
	for i, share := range shares {
		right, n := m.blended(share, gate.NewBoth(m.cfg.TargetError), m.view.see()).leftOut(yield)
		if n == 0 {
			return usualShare()
		}
		score := (float64(right) + expectedWorth*expected[i]) / (float64(n) + expectedWorth)
		if score > most {
			best, most = i, score
		}
	}
	return shares[best]
}

// leftOut asks for lessons as if each had not been taught, and counts how often the
// best candidate is right.
func (m *Model) leftOut(yield func()) (right, n int) {
	s := m.get()
	defer m.put(s)
	j := m.judging(scope{lessons: triedLessons, elsewhere: 1})
	for i, lesson := range j.lessons {
		if i%judgeSlice == 0 {
			yield()
		}
		answer := m.store.Answer(lesson)
		if m.trained && !j.held[lesson] || len(m.store.Of(answer)) < 2 {
			continue
		}
		r, ok := m.seen(m.store.Prompt(lesson), memory.Query{WithoutLesson: lesson + 1}, s)
		if !ok {
			continue
		}
		n++
		if best, _, _ := m.gate.Weigh(&r.Look); best >= 0 && s.found[0].Candidates[best].Answer == answer {
			right++
		}
	}
	return right, n
}

// Texts lists what Calibrate will ask and the view has no vector for.
func (f *Fitting) Texts() (out []string) {
	known, listed := f.of.view.see(), map[string]bool{}
	f.asks(func(text string) []float32 {
		if !listed[text] && known(text) == nil {
			listed[text] = true
			out = append(out, text)
		}
		return nil // so that it is not looked for
	}, func() {})
	return out
}

// asks has the calibration ask all its prompts.
func (f *Fitting) asks(see See, yield func()) []gate.Record {
	m, b := *f.model, *f.model.blend
	b.see = see
	m.blend = &b
	records := m.judging(f.scope).all(yield)
	m.judged(f.of.view.judgements) // for the texts that it asks
	return records
}

// Calibrate makes the gate for both views. see knows what Texts listed; what it
// does not know is left out.
func (f *Fitting) Calibrate(see See, yield func()) {
	known := f.of.view.see()
	sees := func(text string) []float32 {
		if v := known(text); v != nil {
			return v
		}
		return see(text)
	}
	records := f.asks(sees, yield)
	f.gate = gate.CalibrateBoth(records, f.of.cfg.TargetError)
	m := f.of.blended(f.share, f.gate, sees)
	f.gate = f.gate.Judge(nil, m.judged(f.of.view.judgements))
}

// Onto returns m, which may have learned since, with what was fitted. It is m where
// its weights or the other encoder are not those that were fitted.
func (f *Fitting) Onto(m *Model) *Model {
	if m.view == nil || f.gate == nil || m.view.space != f.of.view.space || m.weights != f.of.weights {
		return m
	}
	out, v := *m, *m.view
	v.fit = &fit{share: f.share, gate: f.gate, lessons: f.of.store.Len(), unheard: len(v.judgements) != len(f.of.view.judgements)}
	if m.cfg.TargetError != f.of.cfg.TargetError {
		v.fit.gate = f.gate.WithTarget(m.cfg.TargetError)
	}
	out.view = &v
	return &out
}

// Fitted reports whether the view of m is fitted to its weights and to about as many
// lessons as it knows.
func (m *Model) Fitted() bool {
	if m.view == nil || m.view.fit == nil || m.view.fit.unheard {
		return false
	}
	now, then := m.store.Len(), m.view.fit.lessons
	return max(now-then, then-now)*grownBy < max(then, 1)
}
