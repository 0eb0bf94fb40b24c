package learn

import (
	"gonum.org/v1/gonum/blas"

	"github.com/nexus-continuum/nexus/model/kernel"
)

// products multiplies dense row-major matrices with the kernel's Sgemm, whose
// scratch memory is used again from step to step. It gives way between pieces
// of rows.
type products struct{ blas *kernel.BLAS }

func newProducts() products {
	b := kernel.NewBLAS()
	b.Between = GiveWay
	return products{b}
}

// plain is c [n×m] = a [n×k] · b [k×m].
func (p products) plain(c, a, b []float32, n, k, m int) {
	p.blas.Sgemm(blas.NoTrans, blas.NoTrans, n, m, k, 1, a, k, b, m, 0, c, m)
}

// add is plain, added to c.
func (p products) add(c, a, b []float32, n, k, m int) {
	p.blas.Sgemm(blas.NoTrans, blas.NoTrans, n, m, k, 1, a, k, b, m, 1, c, m)
}

// right is c [n×m] = a [n×k] · bᵀ with b [m×k]; with add, it is added to c.
func (p products) right(c, a, b []float32, n, k, m int, add bool) {
	p.blas.Sgemm(blas.NoTrans, blas.Trans, n, m, k, 1, a, k, b, k, beta(add), c, m)
}

// left is c [n×m] = aᵀ · b with a [k×n] and b [k×m].
func (p products) left(c, a, b []float32, n, k, m int) {
	p.blas.Sgemm(blas.Trans, blas.NoTrans, n, m, k, 1, a, n, b, m, 0, c, m)
}

// mixRows is c [n×d] = a·w + bias, where a row of a is three rows long and starts
// with each of its rows of d; step is the distance of the rows of bias. It gives
// way between pieces too.
func mixRows(w *kernel.Packed, c, a, bias []float32, n, d, step int) {
	each := max(1, mixedAtOnce/(3*d*d*group)) * group
	for at := 0; at < n; at += each {
		if at > 0 {
			GiveWay()
		}
		w.GemmAdd(c[at*d:], d, a[at*d:], d, min(each, n-at), bias[at*step:], step)
	}
}

func beta(add bool) float32 {
	if add {
		return 1
	}
	return 0
}

const (
	// mixedAtOnce is how many multiplications are done without giving way: less
	// than a hundred microseconds of them.
	mixedAtOnce = 4 << 20
	// group is a number of rows that every kernel takes whole.
	group = 48
	// promptsAtOnce is how many prompts are read once without giving way.
	promptsAtOnce = 24
)

// giveWayEach gives way at every n-th of the rounds of a loop.
func giveWayEach(n, round int) {
	if round%n == n-1 {
		GiveWay()
	}
}
