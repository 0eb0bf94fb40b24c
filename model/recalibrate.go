package model

import (
	"slices"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/model/gate"
)

// Recalibrate returns a model whose confidence and threshold are made of what
// memory holds now. goOn is called every some milliseconds; where it returns
// false, Recalibrate ends and returns nil.
func (m *Model) Recalibrate(goOn func() bool) (*Model, job.Figures) {
	j := m.judging(fullScope)
	for j.step() {
		if !goOn() {
			return nil, job.Figures{}
		}
	}
	records := slices.Concat(j.finish(), m.gate.Feedback())
	out := *m
	out.calibrate(records, false)
	return &out, figures(out.gate, records)
}

// calibrate gives m, which nobody else knows yet, the gate that records make. sampled
// says that they are of a part of the lessons where more could have had a say.
func (m *Model) calibrate(records []gate.Record, sampled bool) {
	m.gate, m.calibratedAt, m.sampled = gate.Calibrate(records, m.cfg.TargetError), m.store.Len(), sampled
}

// smallMemory is the number of lessons below which the prompts about something else
// would cost more than all others.
const smallMemory = 64

// grownBy: a memory that has changed by one part in so many is another one to the
// gate.
const grownBy = 8

// Calibrated returns m calibrated by a sample of its lessons, where these have
// become so many more or fewer since the last time that it matters, and else m.
func (m *Model) Calibrated(yield func()) *Model {
	now, then := m.store.Len(), m.calibratedAt
	if changed := max(now-then, then-now); changed == 0 || changed*grownBy < then {
		return m
	}
	how := briefScope
	if now < smallMemory {
		how = tinyScope // whoever teaches a lesson waits for it
	}
	records := slices.Concat(m.judging(how).all(yield), m.gate.Feedback())
	out := *m
	out.calibrate(records, how.lessons < now)
	return &out
}

// Sampled reports whether the threshold stands on a sample of the lessons that is
// smaller than Recalibrate would take.
func (m *Model) Sampled() bool { return m.sampled }
