package learn

import (
	"gonum.org/v1/gonum/blas"

	"github.com/nexus-continuum/nexus/model/kernel"
)

// products multiplies dense row-major matrices with the kernel's Sgemm, whose
// scratch memory is used again from step to step.
type products struct{ blas *kernel.BLAS }

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

func beta(add bool) float32 {
	if add {
		return 1
	}
	return 0
}
