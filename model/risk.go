package model

import "github.com/nexus-continuum/nexus/model/gate"

// Risk is what thresholds would make of prompts that were not taught word for word.
type Risk struct {
	// Prompts and Foreign count the held-out prompts behind the figures: those that
	// have an answer, and those that have none.
	Prompts, Foreign int
	// Own says that the deployment's own prompts count for more than the default
	// calibration.
	Own         bool
	Now         gate.Point
	Curve       []gate.Point
	Reliability []gate.Bin
	// Choices are what each bound on wrong answers leads to, in the order in which
	// they were asked for.
	Choices []gate.Point
}

// reliabilityBins is how many ranges of confidence are told apart.
const reliabilityBins = 10

// Risk tells what to expect under the target in use, and of other targets.
func (m *Model) Risk(target float64, targets []float64) Risk {
	r := Risk{Own: m.gate.Own(), Curve: m.gate.Curve(), Reliability: m.gate.Reliability(reliabilityBins), Choices: make([]gate.Point, len(targets))}
	r.Prompts, r.Foreign = m.gate.HeldOut()
	at := func(alpha float64) gate.Point {
		g := m.gate.WithTarget(alpha)
		return g.At(min(max(g.Threshold(), m.profile().Floor()), 1))
	}
	r.Now = at(target)
	for i, alpha := range targets {
		r.Choices[i] = at(alpha)
	}
	return r
}
