//go:build !race

package kernel

import (
	"testing"

	"gonum.org/v1/gonum/blas"
)

// TestNothingAllocates cannot run beside other tests, which would allocate too. Nor can it run under the race detector:
// there sync.Pool drops at random what is put back, to shake out races.
func TestNothingAllocates(t *testing.T) {
	const words, d = 9, 40 // 40 leaves part of a panel at every level
	r := newRand(1)
	a, b := normal(r, (words+2)*d), normal(r, 3*d*d)
	c, x, y := make([]float32, words*d), normal(r, d), normal(r, d)
	vectors, qs := clustered(r, 1500, d, 32)
	rows := NewRows(d).Append(vectors)
	hits := make([][]Hit, len(qs))
	one := make([]Hit, 0, MaxTop)
	var s Scanner
	bl := NewBLAS()
	for _, l := range levels() {
		w := packAt(l, 3*d, d, b, d, false)
		for name, run := range map[string]func(){
			"GemmAdd":       func() { w.GemmAdd(c, d, a, d, words, x, 0) },
			"TanhResidual":  func() { tanhResidual(l, c, a[:len(c)], 0, 1) },
			"Tanh":          func() { tanh(l, c) },
			"Dot":           func() { dot(l, x, y) },
			"AddRows":       func() { addRows(l, x, b, []uint32{1, 5, 2}) },
			"Sgemm":         func() { bl.sgemm(l, blas.NoTrans, blas.Trans, words, d, d, 1, a, d, b, d, 1, c, d) },
			"scan":          func() { s.topMany(l, rows, qs, 8, hits) },
			"exact scan":    func() { s.topManyExact(l, rows, qs, 8, hits) },
			"scan for one":  func() { one = s.Top(rows, qs[0], 8, one) },
			"exact for one": func() { one = s.TopExact(rows, qs[0], 8, one) },
		} {
			run()
			// A garbage collection may empty the pool of Sgemm in one of the runs, hence less than one.
			if n := testing.AllocsPerRun(20, run); n >= 1 {
				t.Errorf("%v: %s allocates %v times", l, name, n)
			}
		}
	}
}
