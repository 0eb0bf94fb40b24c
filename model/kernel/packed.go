package kernel

import "fmt"

// Packed is a weight matrix B [k×n] laid out for Gemm: panels of a few columns (as many as the level's kernel holds
// in registers), each panel's rows one after another, the last panel filled up with zeros. It is immutable and may be shared.
type Packed struct {
	k, n  int
	level Level
	data  []float32
}

// Pack copies b, a row-major [k×n] matrix, into panels. It allocates; pack once when weights are loaded.
func Pack(k, n int, b []float32) *Packed { return packAt(best, k, n, b, n, false) }

// PackTransposed packs the transpose of b: b is row-major [n×k], the packed matrix is bᵀ [k×n].
func PackTransposed(k, n int, b []float32) *Packed { return packAt(best, k, n, b, k, true) }

func packAt(l Level, k, n int, b []float32, ldb int, trans bool) *Packed {
	if k < 1 || n < 1 || len(b) < k*n {
		panic(fmt.Sprintf("kernel: pack [%d×%d] from %d elements", k, n, len(b)))
	}
	p := &Packed{k: k, n: n, level: l, data: make([]float32, packedLen(l, k, n))}
	packInto(l, p.data, k, n, b, ldb, trans, 1)
	return p
}

// Rows returns k, the number of rows of B, which is the length of the rows of A.
func (p *Packed) Rows() int { return p.k }

// Cols returns n, the number of columns of B.
func (p *Packed) Cols() int { return p.n }

// Gemm computes C = A·B for A [m×k] with leading dimension lda and C [m×n] with leading dimension ldc ≥ n.
// lda may be smaller than k: rows of A may overlap. C must not overlap A.
func (p *Packed) Gemm(c []float32, ldc int, a []float32, lda, m int) {
	p.GemmAdd(c, ldc, a, lda, m, nil, 0)
}

// GemmAdd computes C = A·B + D. D is [m×n] with leading dimension ldd; with ldd = 0 it is one row of n, a bias, added to
// every row; a nil D is zero. D may be C itself (with ldd = ldc), which accumulates: C += A·B; other overlaps of D or A
// with C are not allowed.
func (p *Packed) GemmAdd(c []float32, ldc int, a []float32, lda, m int, d []float32, ldd int) {
	if m == 0 {
		return
	}
	if m < 0 || lda < 0 || ldd < 0 || ldc < p.n || len(c) < (m-1)*ldc+p.n || len(a) < (m-1)*lda+p.k ||
		(d != nil && (len(d) < (m-1)*ldd+p.n || (ldd != 0 && ldd < p.n))) {
		panic(fmt.Sprintf("kernel: gemm of %d rows with [%d×%d]: c %d (ld %d), a %d (ld %d), d %d (ld %d)",
			m, p.k, p.n, len(c), ldc, len(a), lda, len(d), ldd))
	}
	gemmPacked(p.level, false, c, ldc, a, lda, p.data, m, p.n, p.k, d, ldd)
}

// packedLen returns the number of elements of a packed [k×n] matrix at a level.
func packedLen(l Level, k, n int) int {
	nr := panelWidth(l)
	return (n + nr - 1) / nr * nr * k
}

// packInto writes alpha·B into dst as panels. With trans, b holds Bᵀ: element (i, j) of B is b[j*ldb+i].
func packInto(l Level, dst []float32, k, n int, b []float32, ldb int, trans bool, alpha float32) {
	nr := panelWidth(l)
	for j0 := 0; j0 < n; j0 += nr {
		w := min(nr, n-j0)
		panel := dst[j0*k : (j0+nr)*k]
		if w < nr {
			clear(panel)
		}
		if trans {
			packColumns(panel, nr, w, k, b[j0*ldb:], ldb)
		} else {
			for i := range k {
				copy(panel[i*nr:i*nr+w], b[i*ldb+j0:])
			}
		}
	}
	if alpha != 1 {
		scale(l, alpha, dst[:packedLen(l, k, n)])
	}
}

// packColumns writes w contiguous rows of b, each k long and ldb apart, as the columns of a panel.
func packColumns(panel []float32, nr, w, k int, b []float32, ldb int) {
	j := 0
	for ; j+4 <= w; j += 4 {
		// Four at a time, so that each visit of a panel row stores 16 bytes.
		b0, b1, b2, b3 := b[j*ldb:][:k], b[(j+1)*ldb:][:k], b[(j+2)*ldb:][:k], b[(j+3)*ldb:][:k]
		for i, v := range b0 {
			row := panel[i*nr+j:][:4]
			row[0], row[1], row[2], row[3] = v, b1[i], b2[i], b3[i]
		}
	}
	for ; j < w; j++ {
		for i, v := range b[j*ldb:][:k] {
			panel[i*nr+j] = v
		}
	}
}
