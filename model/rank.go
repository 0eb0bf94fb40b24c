package model

import (
	"github.com/nexus-continuum/nexus/model/encoder"
	"github.com/nexus-continuum/nexus/model/gate"
	"github.com/nexus-continuum/nexus/model/memory"
)

// densityOver is how many near lessons make up the neighbourhood of a prompt.
const densityOver = 8

// fill makes l what the gate judges by, from what memory found.
func fill(l *gate.Look, f *memory.Found, info encoder.Info, p gate.Profile) {
	l.Candidates = l.Candidates[:0]
	for i := range f.Candidates {
		c := &f.Candidates[i]
		l.Candidates = append(l.Candidates, gate.Candidate{
			gate.Best: float64(c.Best), gate.Mean: float64(c.Mean),
			gate.Cover: float64(c.Cover), gate.Missing: float64(c.Missing),
			gate.Back: float64(c.Back), gate.Core: float64(c.Core),
			gate.Sense: float64(c.Sense), gate.Echo: float64(c.Echo), gate.Lone: float64(c.Lone),
			gate.Strange: float64(c.Strange), gate.Instead: float64(c.Instead), gate.Twin: float64(c.Twin),
			gate.Same: float64(c.Same), gate.Negated: float64(c.Negated), gate.Opposite: float64(c.Opposite), gate.Other: float64(c.Other),
			gate.Swapped: float64(c.Swapped), gate.Asked: float64(c.Asked),
		})
	}
	var density, best float64
	near := min(len(f.Near), densityOver)
	for _, n := range f.Near[:near] {
		density += float64(n.Similarity) / float64(near)
		best = max(best, float64(n.Similarity))
	}
	l.Rest = [gate.Features - gate.Distinct]float64{
		float64(float32(min(best-density, gate.MaxDistinct))), float64(f.Unknown), one(f.Alien), float64(f.Plain), float64(info.Unknown), float64(info.Saturation),
		p.Answers, p.Phrasings, p.Crowd,
	}
}

// one is 1 for true.
func one(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
