package memory

import (
	"slices"

	"github.com/nexus-continuum/nexus/model/kernel"
)

// Recoding makes all vectors of a store anew, in slices of the caller's choice.
type Recoding struct {
	store  *Store // of the new dimension, without vectors yet
	encode Encode
	// by lesson number, nil until encoded; only lessons that may become
	// exemplars are
	vectors [][]float32
	next    uint32
}

// Recode prepares to encode every lesson of s again, as vectors of dim numbers.
// s stays as it is.
func (s *Store) Recode(dim int, encode Encode) *Recoding {
	out := *s
	out.dim = dim
	out.rows, out.lessons, out.live, out.within, out.veil = kernel.NewRows(dim), nil, nil, nil, nil
	out.rowOf = make([]uint32, len(s.rowOf))
	return &Recoding{store: &out, encode: encode, vectors: make([][]float32, s.next)}
}

// Step encodes up to n lessons and reports whether some are left.
func (r *Recoding) Step(n int) bool {
	for r.next < r.store.next && n > 0 {
		if r.store.alive(r.next) {
			v := make([]float32, r.store.dim)
			r.encode(v, r.store.prompt(r.next))
			r.vectors[r.next] = v
			n--
		}
		r.next++
	}
	return r.next < r.store.next
}

// Vector returns the new vector of lesson n, nil before it is made.
func (r *Recoding) Vector(n uint32) []float32 { return r.vectors[n] }

// Finish encodes what is left and returns the store with the new vectors. Each
// answer keeps at most its bound of exemplars, chosen far from each other.
func (r *Recoding) Finish() *Store {
	for r.Step(1 << 10) {
	}
	s := r.store
	s.answers = slices.Clone(s.answers)
	chosen := make([]bool, s.next)
	for i, a := range s.answers {
		if a == nil {
			continue
		}
		c := *a
		c.sum, c.exemplars = make([]float32, s.dim), 0
		for _, n := range r.spread(a) {
			chosen[n] = true
			c.exemplars++
			kernel.Axpy(1, r.vectors[n], c.sum)
		}
		c.norm = kernel.Norm(c.sum)
		s.answers[i] = &c
	}
	var flat []float32
	for n := range s.next {
		if chosen[n] {
			flat = append(flat, r.vectors[n]...)
			s.lessons = append(s.lessons, n)
			s.rowOf[n] = uint32(len(s.lessons))
		}
	}
	s.rows = s.rows.Append(flat)
	s.allow(0)
	return s
}

// spread chooses the exemplars of an answer: all lessons if they are few, else
// the first and then always the one farthest from those chosen (Gonzalez,
// 1985), which covers the answer with the fewest vectors.
func (r *Recoding) spread(a *answer) []uint32 {
	limit := a.bound()
	if len(a.lessons) <= limit {
		return a.lessons
	}
	out := make([]uint32, 0, limit)
	near := make([]float32, len(a.lessons)) // cosine to the nearest chosen
	for i := range near {
		near[i] = -2
	}
	at := 0
	for len(out) < limit {
		n := a.lessons[at]
		out = append(out, n)
		next := 0
		for i, l := range a.lessons {
			near[i] = max(near[i], kernel.Dot(r.vectors[n], r.vectors[l]))
			if near[i] < near[next] {
				next = i
			}
		}
		at = next
	}
	slices.Sort(out)
	return out
}
