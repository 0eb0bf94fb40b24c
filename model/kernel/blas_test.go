package kernel

import (
	"fmt"
	"math"
	"sync"
	"testing"

	"gonum.org/v1/gonum/blas"
	gonum "gonum.org/v1/gonum/blas/gonum"
)

func TestSgemmMatchesGonum(t *testing.T) {
	t.Parallel()
	shapes := [][3]int{{1, 1, 1}, {9, 128, 128}, {128, 256, 37}, {5, 3, 200}, {31, 33, 64}, {64, 1, 64}, {1, 64, 64}}
	transposes := []blas.Transpose{blas.NoTrans, blas.Trans, blas.ConjTrans}
	eachLevel(t, func(t *testing.T, l Level) {
		ours := NewBLAS()
		for i, s := range shapes {
			for _, tA := range transposes {
				for _, tB := range transposes {
					for _, f := range [][2]float32{{1, 0}, {1, 1}, {0.5, 0}, {-2, 0.25}, {0, 3}} {
						compareSgemm(t, ours, l, uint64(i), tA, tB, s[0], s[1], s[2], f[0], f[1])
					}
				}
			}
		}
	})
}

func compareSgemm(t *testing.T, ours *BLAS, l Level, seed uint64, tA, tB blas.Transpose, m, n, k int, alpha, beta float32) {
	t.Helper()
	r := newRand(seed)
	lda, ldb, ldc := k+2, n+1, n+3
	lenA, lenB := (m-1)*lda+k, (k-1)*ldb+n
	if tA != blas.NoTrans {
		lda = m + 2
		lenA = (k-1)*lda + m
	}
	if tB != blas.NoTrans {
		ldb = k + 1
		lenB = (n-1)*ldb + k
	}
	a := fill(r, guarded[float32](t, lenA, seed%2 == 0))
	b := fill(r, guarded[float32](t, lenB, seed%2 == 0))
	want := normal(r, (m-1)*ldc+n)
	if beta == 0 {
		want[0] = float32(math.NaN()) // must be overwritten
	}
	got := guarded[float32](t, len(want), seed%2 == 1)
	copy(got, want)
	gonum.Implementation{}.Sgemm(tA, tB, m, n, k, alpha, a, lda, b, ldb, beta, want, ldc)
	ours.sgemm(l, tA, tB, m, n, k, alpha, a, lda, b, ldb, beta, got, ldc)
	for i := range want {
		if !(math.Abs(float64(got[i]-want[i])) <= 3e-6*float64(k+8)) {
			t.Fatalf("%c%c %dx%dx%d alpha %v beta %v: element %d is %v, gonum has %v", tA, tB, m, n, k, alpha, beta, i, got[i], want[i])
		}
	}
}

func TestSgemmPanicsAsGonumDoes(t *testing.T) {
	t.Parallel()
	message := func(call func()) (msg string) {
		defer func() { msg = fmt.Sprint(recover()) }()
		call()
		return ""
	}
	x := make([]float32, 12)
	for name, call := range map[string]func(blas.Float32Level3){
		"short a":       func(b blas.Float32Level3) { b.Sgemm(blas.NoTrans, blas.NoTrans, 4, 3, 4, 1, x, 4, x, 3, 0, x, 3) },
		"short lda":     func(b blas.Float32Level3) { b.Sgemm(blas.NoTrans, blas.NoTrans, 2, 2, 4, 1, x, 3, x, 2, 0, x, 2) },
		"bad transpose": func(b blas.Float32Level3) { b.Sgemm('Q', blas.NoTrans, 2, 2, 2, 1, x, 2, x, 2, 0, x, 2) },
		"negative m":    func(b blas.Float32Level3) { b.Sgemm(blas.NoTrans, blas.NoTrans, -2, 2, 2, 1, x, 2, x, 2, 0, x, 2) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := message(func() { call(gonum.Implementation{}) })
			got := message(func() { call(NewBLAS()) })
			if got != want || want == "<nil>" {
				t.Errorf("panics with %q, gonum with %q", got, want)
			}
		})
	}
}

func TestSgemmIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	const n = 48
	b := NewBLAS()
	x := normal(newRand(3), n*n)
	want := make([]float32, n*n)
	b.Sgemm(blas.NoTrans, blas.Trans, n, n, n, 1, x, n, x, n, 0, want, n)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			got := make([]float32, n*n)
			for range 50 {
				b.Sgemm(blas.NoTrans, blas.Trans, n, n, n, 1, x, n, x, n, 0, got, n)
				for i := range got {
					if got[i] != want[i] {
						t.Errorf("element %d is %v, alone it was %v", i, got[i], want[i])
						return
					}
				}
			}
		})
	}
	wg.Wait()
}
