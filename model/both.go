package model

import (
	"math"
	"sync"

	"github.com/nexus-continuum/nexus/model/gate"
	"github.com/nexus-continuum/nexus/model/kernel"
)

// Both is a model that sees prompts through the own encoder and another one
// together. It knows the same lessons as the model that it was made of, and has a
// calibration of its own.
//
// Its vectors are [√(1−λ)·own ; √λ·other], both of unit length, the other one
// without what is common to all texts. The product of two of them is the mean of both
// cosines with the weights 1−λ and λ, so that memory, ranker, calibration and gate
// work on them as on any others.
type Both struct {
	model *Model
	space Space
	share float64
	sure  *gate.Gate // of the own encoder, with half the bound
}

// blend puts the vectors of two encoders together.
type blend struct {
	own, other float32 // square roots of the shares
	mean       []float32
	see        See
}

// add completes h, which begins with the own vector of a text in d numbers. A text
// that the other encoder did not see is far from everything.
func (b *blend) add(h []float32, d int, text string) {
	kernel.Scale(b.own, h[:d])
	clear(h[d:])
	v := b.see(text)
	if len(v) != len(b.mean) {
		return
	}
	rest := h[d : d+len(v)]
	copy(rest, v)
	kernel.Normalise(rest)
	kernel.Axpy(-1, b.mean, rest)
	kernel.Normalise(rest)
	kernel.Scale(b.other, rest)
}

// lanes is what the length of vectors is a multiple of.
const lanes = 16

// blended is m with the vectors of both encoders, of which the other one's count for
// share, and with a gate for them.
func (m *Model) blended(share float64, g *gate.Gate, see See) *Model {
	d, v := m.encoder.Dim(), m.view
	width := d + (v.space.Dim+lanes-1)/lanes*lanes
	b := &blend{own: float32(math.Sqrt(1 - share)), other: float32(math.Sqrt(share)), mean: v.mean}
	lesson, buf := *b, make([]float32, v.space.Dim)
	lesson.see = func(prompt string) []float32 { return v.lessons[prompt].into(buf) }
	out := *m
	out.store = m.store.Widened(width, func(dst, own []float32, prompt string) {
		copy(dst, own)
		lesson.add(dst, d, prompt)
	})
	b.see = see
	e := m.encoder
	out.gate, out.blend, out.view = g, b, nil
	out.scratch = &sync.Pool{New: func() any { return newScratch(e, width) }}
	return &out
}

// Both returns the model that sees through both encoders; nil as long as m has no
// vectors of the other one for some of its lessons, or no calibration of the two.
// It costs a copy of all vectors.
func (m *Model) Both() *Both {
	if v := m.view; v == nil || v.fit == nil || !v.complete(m) {
		return nil
	}
	f := m.view.fit
	return &Both{
		model: m.blended(f.share, f.gate, nil), space: m.view.space, share: f.share,
		sure: m.gate.WithTarget(m.cfg.TargetError * sureShare),
	}
}

// sureShare is how much of the bound on wrong answers is for those that the own encoder
// gives without asking the other one. What both answer wrongly of the rest comes on top
// of it: with the whole bound for each, more than the bound were wrong.
const sureShare = 0.5

// Sure reports whether an answer of the own encoder may be given without asking the
// other one.
func (b *Both) Sure(v *Verdict) bool {
	return v.Responded && (v.Repeat || v.Confidence >= b.sure.ThresholdIn(v.Topic))
}

// Space is that of the vectors which Ask wants.
func (b *Both) Space() Space { return b.space }

// Lessons is how many lessons it knows.
func (b *Both) Lessons() int { return b.model.store.Len() }

// Share is how much the other encoder counts, 0 to 1.
func (b *Both) Share() float64 { return b.share }

// Ask answers or refuses each query. see knows what Texts lists for it.
func (b *Both) Ask(queries []Query, see See) []Verdict {
	m, blend := *b.model, *b.model.blend
	blend.see = see
	m.blend = &blend
	return m.Ask(queries)
}

// Texts are what has to be embedded of a prompt: itself, and its sentences where it
// has several, since each is asked by itself if the whole is not answered.
func Texts(prompt string) []string { return append([]string{prompt}, sentences(prompt)...) }
