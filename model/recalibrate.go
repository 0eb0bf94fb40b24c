package model

import (
	"slices"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/model/gate"
)

// Recalibrate returns a model whose threshold is set by what memory holds now:
// lessons that came without gradient steps changed what its held-out prompts
// find. yield is called every some milliseconds.
func (m *Model) Recalibrate(yield func()) (*Model, job.Figures) {
	j := m.judging()
	for j.step() {
		yield()
	}
	records := slices.Concat(j.records, m.gate.Feedback())
	out := *m
	out.gate = gate.Calibrate(records, m.cfg.TargetError)
	return &out, figures(out.gate, records)
}
