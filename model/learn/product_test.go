package learn

import (
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"

	"github.com/nexus-continuum/nexus/model/kernel"
)

// Matrices so large that they are multiplied in pieces.
func TestProductsInPieces(t *testing.T) {
	const n, k, m = 1100, 200, 256
	if n*k*m < 1.5*atOnce {
		t.Fatal("the matrices are too small to be cut")
	}
	rng := rand.New(rand.NewPCG(1, 2))
	random := func(n int) []float32 {
		out := make([]float32, n)
		for i := range out {
			out[i] = rng.Float32() - 0.5
		}
		return out
	}
	a, b, start := random(n*k), random(k*m), random(n*m)
	p := products{kernel.NewBLAS()}
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
			c.ours(got)
			for i := range want {
				if d := want[i] - got[i]; d > 1e-4 || d < -1e-4 {
					t.Fatalf("row %d, column %d: %v, want %v", i/m, i%m, got[i], want[i])
				}
			}
		})
	}
}

func TestPiecesCoverEveryRowOnce(t *testing.T) {
	for _, rows := range []int{0, 1, 47, 48, 49, 1000} {
		next := 0
		pieces(rows, 100, 10_000, func(at, n int) {
			if at != next || n < 1 {
				t.Fatalf("%d rows: piece [%d, %d) after row %d", rows, at, at+n, next)
			}
			next = at + n
		})
		if next != rows {
			t.Fatalf("%d of %d rows", next, rows)
		}
	}
}
