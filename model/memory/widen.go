package memory

import (
	"slices"

	"github.com/nexus-continuum/nexus/model/kernel"
)

// Widened returns a store of the same lessons with other vectors of dim numbers:
// fill writes that of a lesson into dst, from its vector in s. Rows of lessons that
// are gone stay zero.
func (s *Store) Widened(dim int, fill func(dst, own []float32, prompt string)) *Store {
	out := *s
	out.dim, out.rows = dim, kernel.NewRows(dim)
	out.answers = slices.Clone(s.answers)
	for i, a := range s.answers {
		if a != nil {
			c := *a
			c.sum = make([]float32, dim)
			out.answers[i] = &c
		}
	}
	flat := make([]float32, 0, min(widenAtOnce, s.rows.Len())*dim)
	for row, n := range s.lessons {
		flat = append(flat, make([]float32, dim)...)
		if v := flat[len(flat)-dim:]; s.alive(n) && int(s.rowOf[n]) == row+1 {
			fill(v, s.rows.Row(row), s.prompt(n))
			kernel.Axpy(1, v, out.answers[s.answerOf(n)].sum)
		}
		if len(flat) == cap(flat) || row+1 == len(s.lessons) {
			out.rows, flat = out.rows.Append(flat), flat[:0]
		}
	}
	for _, a := range out.answers {
		if a != nil {
			a.norm = kernel.Norm(a.sum)
		}
	}
	return &out
}

// widenAtOnce bounds the rows that are made before they are handed on.
const widenAtOnce = 2048

// EachVector calls yield for the prompts of the lessons that have a vector, row by
// row, and with an empty prompt for a row whose lesson is gone, until it returns
// false.
func (s *Store) EachVector(yield func(prompt string) bool) {
	for row, n := range s.lessons {
		prompt := ""
		if s.alive(n) && int(s.rowOf[n]) == row+1 {
			prompt = s.prompt(n)
		}
		if !yield(prompt) {
			return
		}
	}
}

// Runs splits n rows as the parts of a store are split.
func Runs(n int) (ends []int) { return runsOf(n) }
