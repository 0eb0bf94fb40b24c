package kernel

import (
	"sync"

	"gonum.org/v1/gonum/blas"
	gonum "gonum.org/v1/gonum/blas/gonum"
)

// BLAS is gonum's implementation with our Sgemm, for gorgonia.Use and tensor.Use. It may be used concurrently; use it
// through one pointer, since it keeps scratch memory between calls.
type BLAS struct {
	gonum.Implementation
	// Between, if not nil, is called between pieces of a long product, each
	// less than a hundred microseconds long.
	Between func()

	scratch sync.Pool // of *[]float32
}

// betweenEach is how many multiplications come between two calls of Between.
const betweenEach = 6 << 20

// NewBLAS returns a BLAS without scratch memory.
func NewBLAS() *BLAS { return &BLAS{} }

// Sgemm computes C = alpha·op(A)·op(B) + beta·C on the calling goroutine, with gonum's meaning of all arguments and its
// panics; as there, beta = 0 overwrites C even where it holds NaN.
func (b *BLAS) Sgemm(tA, tB blas.Transpose, m, n, k int, alpha float32, a []float32, lda int, bm []float32, ldb int,
	beta float32, c []float32, ldc int,
) {
	b.sgemm(best, tA, tB, m, n, k, alpha, a, lda, bm, ldb, beta, c, ldc)
}

func (b *BLAS) sgemm(l Level, tA, tB blas.Transpose, m, n, k int, alpha float32, a []float32, lda int, bm []float32, ldb int,
	beta float32, c []float32, ldc int,
) {
	transA, transB := tA != blas.NoTrans, tB != blas.NoTrans
	if alpha == 0 || !valid(tA, tB, m, n, k, len(a), lda, len(bm), ldb, len(c), ldc) {
		// Nothing to multiply, or wrong arguments: gonum scales C or says what is wrong.
		b.Implementation.Sgemm(tA, tB, m, n, k, alpha, a, lda, bm, ldb, beta, c, ldc)
		return
	}
	var init []float32
	if beta != 0 {
		init = c
	}
	if beta != 0 && beta != 1 {
		for i := range m {
			scale(l, beta, c[i*ldc:i*ldc+n])
		}
	}
	buf, _ := b.scratch.Get().(*[]float32)
	if buf == nil {
		buf = new([]float32)
	}
	*buf = sized(*buf, packedLen(l, k, n))
	packInto(l, *buf, k, n, bm, ldb, transB, alpha)
	each := m
	if b.Between != nil {
		each = max(1, betweenEach/(n*k)/tileRows(l)) * tileRows(l)
	}
	aStep := lda
	if transA {
		aStep = 1
	}
	for i := 0; i < m; i += each {
		if i > 0 {
			b.Between()
		}
		gemmPacked(l, transA, c[i*ldc:], ldc, a[i*aStep:], lda, *buf, min(each, m-i), n, k, from(init, i*ldc), ldc)
	}
	b.scratch.Put(buf)
}

// valid reports whether the product is not empty and its arguments are what Sgemm asks for.
func valid(tA, tB blas.Transpose, m, n, k, lenA, lda, lenB, ldb, lenC, ldc int) bool {
	known := func(t blas.Transpose) bool { return t == blas.NoTrans || t == blas.Trans || t == blas.ConjTrans }
	fits := func(rows, cols, n, ld int) bool { return ld >= cols && n >= (rows-1)*ld+cols }
	if !known(tA) || !known(tB) || m < 1 || n < 1 || k < 1 {
		return false
	}
	rowsA, colsA, rowsB, colsB := m, k, k, n
	if tA != blas.NoTrans {
		rowsA, colsA = k, m
	}
	if tB != blas.NoTrans {
		rowsB, colsB = n, k
	}
	return fits(rowsA, colsA, lenA, lda) && fits(rowsB, colsB, lenB, ldb) && fits(m, n, lenC, ldc)
}
