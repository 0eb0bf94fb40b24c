package learn

import (
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"

	"github.com/nexus-continuum/nexus/model/kernel"
)

func randoms(n int) []float32 {
	rng := rand.New(rand.NewPCG(1, 2))
	out := make([]float32, n)
	for i := range out {
		out[i] = rng.Float32() - 0.5
	}
	return out
}

// Matrices so large that they are multiplied in pieces.
func TestProductsInPieces(t *testing.T) {
	const n, k, m = 1100, 200, 256
	a, b, start := randoms(n*k), randoms(k*m), randoms(n*m)
	p := newProducts()
	pauses := 0
	p.blas.Between = func() { pauses++ }
	for name, c := range map[string]struct {
		ours   func(c []float32)
		tA, tB blas.Transpose
		beta   float32
	}{
		"plain": {func(c []float32) { p.plain(c, a, b, n, k, m) }, blas.NoTrans, blas.NoTrans, 0},
		"add":   {func(c []float32) { p.add(c, a, b, n, k, m) }, blas.NoTrans, blas.NoTrans, 1},
		"right": {func(c []float32) { p.right(c, a, b, n, k, m, true) }, blas.NoTrans, blas.Trans, 1},
		"left":  {func(c []float32) { p.left(c, a, b, n, k, m) }, blas.Trans, blas.NoTrans, 0},
	} {
		t.Run(name, func(t *testing.T) {
			want, got := append([]float32(nil), start...), append([]float32(nil), start...)
			lda, ldb := k, m
			if c.tA == blas.Trans {
				lda = n
			}
			if c.tB == blas.Trans {
				ldb = k
			}
			gonum.Implementation{}.Sgemm(c.tA, c.tB, n, m, k, 1, a, lda, b, ldb, c.beta, want, m)
			pauses = 0
			c.ours(got)
			if pauses < 5 {
				t.Errorf("%d pauses", pauses)
			}
			for i := range want {
				if d := want[i] - got[i]; d > 1e-4 || d < -1e-4 {
					t.Fatalf("row %d, column %d: %v, want %v", i/m, i%m, got[i], want[i])
				}
			}
		})
	}
}

// Rows that are mixed in pieces are those that are mixed at once.
func TestMixedInPieces(t *testing.T) {
	const d = 64
	for _, rows := range []int{1, 47, 48, mixedAtOnce/(3*d*d) + 1, 1000} {
		a, bias := randoms((rows+2)*d), randoms(rows*d)
		w := kernel.Pack(3*d, d, randoms(3*d*d))
		want, got := make([]float32, rows*d), make([]float32, rows*d)
		w.GemmAdd(want, d, a, d, rows, bias, d)
		mixRows(w, got, a, bias, rows, d, d)
		for i := range want {
			if diff := want[i] - got[i]; diff > 1e-4 || diff < -1e-4 {
				t.Fatalf("%d rows: row %d, column %d: %v, want %v", rows, i/d, i%d, got[i], want[i])
			}
		}
	}
}
