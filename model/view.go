package model

import (
	"maps"
	"math"

	"github.com/nexus-continuum/nexus/model/kernel"
)

// Space names the vectors of another encoder. Only vectors of one space can be
// compared.
type Space struct {
	Name string // of the encoder
	Dim  int    // length of its vectors
}

// See gives the vector that the other encoder has for a text, of any length; nil
// where it is not known.
type See = func(text string) []float32

// view is what another encoder sees of the lessons. It never changes. The methods
// of nil are those of a model without one.
type view struct {
	space      Space
	common     []unit          // of the prompts about something else, in their order
	lessons    map[string]unit // by prompt
	mean       []float32       // of common
	judgements []Judgement     // of people, the oldest first
	fit        *fit            // nil until it is fitted to the weights that serve
}

// unit is a vector of length 1 in 16-bit steps, which halves memory and
// checkpoints and moves no cosine by more than 1e-4.
type unit []int16

const unitStep = 1<<15 - 1

func unitOf(v []float32) unit {
	out := make(unit, len(v))
	norm := float64(kernel.Norm(v))
	if norm == 0 {
		return out
	}
	for i, x := range v {
		out[i] = int16(math.Round(float64(x) / norm * unitStep))
	}
	return out
}

// into writes u into dst.
func (u unit) into(dst []float32) []float32 {
	for i, x := range u {
		dst[i] = float32(x) / unitStep
	}
	return dst
}

// Space is the space of the vectors that m holds beside its own; ok is false
// where it holds none.
func (m *Model) Space() (s Space, ok bool) {
	if m.view == nil {
		return s, false
	}
	return m.view.space, true
}

// Unseen lists the texts that have to be embedded in a space before m can be asked
// in it: prompts of lessons, and some that are the same for every model.
func (m *Model) Unseen(s Space) []string {
	v := m.view
	if v == nil || v.space != s {
		v = &view{}
	}
	var out []string
	if len(v.common) == 0 {
		out = elsewhere()
	}
	listed := map[string]bool{}
	m.store.EachVector(func(prompt string) bool {
		if prompt != "" && v.lessons[prompt] == nil && !listed[prompt] {
			listed[prompt] = true
			out = append(out, prompt)
		}
		return true
	})
	return out
}

// Seen is how many lessons have a vector of the other encoder.
func (m *Model) Seen() int {
	n := 0
	if m.view != nil {
		m.store.EachVector(func(prompt string) bool {
			if prompt != "" && m.view.lessons[prompt] != nil {
				n++
			}
			return true
		})
	}
	return n
}

// WithVectors returns m with vectors of the space for what Unseen listed. Those of
// prompts that m does not know any more are left out, and so is all that it held of
// another space. Without vectors for everything that is common to all models it is m.
func (m *Model) WithVectors(s Space, vectors map[string][]float32) *Model {
	next := &view{space: s, lessons: map[string]unit{}}
	if m.view != nil {
		next.judgements = m.view.judgements
	}
	if m.view != nil && m.view.space == s {
		*next = *m.view
		next.lessons = maps.Clone(m.view.lessons)
	}
	if len(next.common) == 0 {
		for _, p := range elsewhere() {
			if len(vectors[p]) != s.Dim {
				return m
			}
			next.common = append(next.common, unitOf(vectors[p]))
		}
		next.centre()
	}
	known := map[string]bool{}
	m.store.EachVector(func(prompt string) bool {
		known[prompt] = true
		if v := vectors[prompt]; prompt != "" && next.lessons[prompt] == nil && len(v) == s.Dim {
			next.lessons[prompt] = unitOf(v)
		}
		return true
	})
	maps.DeleteFunc(next.lessons, func(prompt string, _ unit) bool { return !known[prompt] })
	out := *m
	out.view = next
	return &out
}

// centre sets the mean of what is common. Vectors of many encoders point all in one
// direction; what is left without it tells texts apart.
func (v *view) centre() {
	v.mean = make([]float32, v.space.Dim)
	buf := make([]float32, v.space.Dim)
	for _, u := range v.common {
		kernel.Axpy(1/float32(len(v.common)), u.into(buf), v.mean)
	}
}

// complete reports whether every vector of m's memory has one beside it.
func (v *view) complete(m *Model) bool {
	if v == nil {
		return false
	}
	all := true
	m.store.EachVector(func(prompt string) bool {
		all = prompt == "" || v.lessons[prompt] != nil
		return all
	})
	return all
}

// unfitted is v before it was fitted to the weights that serve.
func (v *view) unfitted() *view {
	if v == nil || v.fit == nil {
		return v
	}
	out := *v
	out.fit = nil
	return &out
}

// withTarget is v with another bound on wrong answers.
func (v *view) withTarget(alpha float64) *view {
	if v == nil || v.fit == nil {
		return v
	}
	out, fit := *v, *v.fit
	fit.gate = fit.gate.WithTarget(alpha)
	out.fit = &fit
	return &out
}

// see gives the vector of a lesson or of a prompt that is common.
func (v *view) see() See {
	common := map[string]unit{}
	for i, p := range elsewhere() {
		common[p] = v.common[i]
	}
	return func(text string) []float32 {
		u := v.lessons[text]
		if u == nil {
			u = common[text]
		}
		if u == nil {
			return nil
		}
		return u.into(make([]float32, len(u)))
	}
}
