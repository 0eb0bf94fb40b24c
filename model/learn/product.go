package learn

import (
	"gonum.org/v1/gonum/blas"

	"github.com/nexus-continuum/nexus/model/kernel"
)

// products multiplies dense row-major matrices with the kernel's Sgemm, whose
// scratch memory is used again from step to step. It gives way between pieces
// of rows.
type products struct{ blas *kernel.BLAS }

// plain is c [n×m] = a [n×k] · b [k×m].
func (p products) plain(c, a, b []float32, n, k, m int) {
	pieces(n, k*m, atOnce, func(at, n int) {
		p.blas.Sgemm(blas.NoTrans, blas.NoTrans, n, m, k, 1, a[at*k:], k, b, m, 0, c[at*m:], m)
	})
}

// add is plain, added to c.
func (p products) add(c, a, b []float32, n, k, m int) {
	pieces(n, k*m, atOnce, func(at, n int) {
		p.blas.Sgemm(blas.NoTrans, blas.NoTrans, n, m, k, 1, a[at*k:], k, b, m, 1, c[at*m:], m)
	})
}

// right is c [n×m] = a [n×k] · bᵀ with b [m×k]; with add, it is added to c.
func (p products) right(c, a, b []float32, n, k, m int, add bool) {
	pieces(n, k*m, atOnce, func(at, n int) {
		p.blas.Sgemm(blas.NoTrans, blas.Trans, n, m, k, 1, a[at*k:], k, b, k, beta(add), c[at*m:], m)
	})
}

// left is c [n×m] = aᵀ · b with a [k×n] and b [k×m].
func (p products) left(c, a, b []float32, n, k, m int) {
	pieces(n, k*m, atOnce, func(at, rows int) {
		p.blas.Sgemm(blas.Trans, blas.NoTrans, rows, m, k, 1, a[at:], n, b, m, 0, c[at*m:], m)
	})
}

// mixRows is c [n×d] = a·w + bias, where a row of a is three rows long and starts
// with each of its rows of d; step is the distance of the rows of bias.
func mixRows(w *kernel.Packed, c, a, bias []float32, n, d, step int) {
	pieces(n, 3*d*d, atOncePacked, func(at, n int) {
		w.GemmAdd(c[at*d:], d, a[at*d:], d, n, bias[at*step:], step)
	})
}

func beta(add bool) float32 {
	if add {
		return 1
	}
	return 0
}

const (
	// How many multiplications are done without giving way: some hundred
	// microseconds of them. Sgemm packs its second matrix for each piece.
	atOnce       = 32 << 20
	atOncePacked = 8 << 20
	// group is a number of rows that every kernel takes whole.
	group = 48
)

// pieces calls do for rows at to at+n until all rows are done, and gives way in
// between. A row costs a number of multiplications, a piece about most.
func pieces(rows, cost, most int, do func(at, n int)) {
	each := max(1, most/max(cost, 1)/group) * group
	for at := 0; at < rows; at += each {
		if at > 0 {
			GiveWay()
		}
		do(at, min(each, rows-at))
	}
}

// giveWayEach gives way at every n-th of the rounds of a loop.
func giveWayEach(n, round int) {
	if round%n == n-1 {
		GiveWay()
	}
}
