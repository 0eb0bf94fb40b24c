package kernel

import (
	"fmt"
	"math"
	"testing"
)

// product is a matrix product to try: C [m×n] = A [m×k]·B [k×n] + D.
type product struct {
	m, n, k, lda, ldc int
	init              int // one of the constants below
}

const (
	noInit = iota
	biasInit
	otherInit
	sameInit
	inits
)

func (p product) String() string {
	return fmt.Sprintf("%dx%dx%d,lda=%d,ldc=%d,init=%d", p.m, p.n, p.k, p.lda, p.ldc, p.init)
}

// want computes the product in float64 and how far a float32 result may be off, with any order of summation.
func (p product) want(a, b, d []float32, ldd int) (want, bound []float64) {
	want, bound = make([]float64, p.m*p.n), make([]float64, p.m*p.n)
	for i := range p.m {
		for j := range p.n {
			var sum, size float64
			if d != nil {
				sum = float64(d[i*ldd+j])
				size = math.Abs(sum)
			}
			for x := range p.k {
				v := float64(a[i*p.lda+x]) * float64(b[x*p.n+j])
				sum += v
				size += math.Abs(v)
			}
			want[i*p.n+j] = sum
			bound[i*p.n+j] = size*float64(p.k+2)*0x1p-24 + 1e-37
		}
	}
	return want, bound
}

// try runs the product at a level on guarded memory and reports what is wrong.
func (p product) try(t testing.TB, l Level, seed uint64, front bool) {
	t.Helper()
	r := newRand(seed)
	a := fill(r, guarded[float32](t, (p.m-1)*p.lda+p.k, front))
	b := fill(r, guarded[float32](t, p.k*p.n, front))
	c := fillCanary(guarded[float32](t, (p.m-1)*p.ldc+p.n, front))
	var d []float32
	ldd := 0
	switch p.init {
	case biasInit:
		d = fill(r, guarded[float32](t, p.n, front))
	case otherInit:
		ldd = p.n + 3
		d = fill(r, guarded[float32](t, (p.m-1)*ldd+p.n, front))
	case sameInit:
		d, ldd = c, p.ldc
		for i := range p.m {
			fill(r, c[i*p.ldc:i*p.ldc+p.n])
		}
	}
	want, bound := p.want(a, b, d, ldd)
	packAt(l, p.k, p.n, b, p.n, false).GemmAdd(c, p.ldc, a, p.lda, p.m, d, ldd)
	for i := range p.m {
		for j := range p.n {
			if got := float64(c[i*p.ldc+j]); !(math.Abs(got-want[i*p.n+j]) <= bound[i*p.n+j]) {
				t.Fatalf("%v at %v: C[%d,%d] = %v, want %v ± %v", p, l, i, j, got, want[i*p.n+j], bound[i*p.n+j])
			}
		}
		if i+1 == p.m {
			break
		}
		for j := p.n; j < p.ldc; j++ {
			if !isCanary(c[i*p.ldc+j]) {
				t.Fatalf("%v at %v: wrote beyond the end of row %d", p, l, i)
			}
		}
	}
}

func TestGemmMatchesFloat64(t *testing.T) {
	t.Parallel()
	shapes := []product{
		{m: 1, n: 1, k: 1},
		{m: 2, n: 3, k: 5},
		{m: 9, n: 128, k: 128},
		{m: 9, n: 130, k: 127},
		{m: 64, n: 48, k: 33},
		{m: 15, n: 31, k: 2},
		{m: 29, n: 33, k: 3},
		{m: 7, n: 16, k: 4},
		{m: 3, n: 512, k: 70},
		{m: 33, n: 65, k: 1100},
	}
	// Every number of rows and every remainder along k, with a full panel and a part of one.
	for m := 1; m <= 30; m++ {
		shapes = append(shapes, product{m: m, n: 64, k: 4 + m%5}, product{m: m, n: 37, k: 1 + m%9})
	}
	// A flow step: rows of A overlap.
	for _, d := range []int{16, 128, 256} {
		shapes = append(shapes, product{m: 9, n: d, k: 3 * d, lda: d})
	}
	eachLevel(t, func(t *testing.T, l Level) {
		for i, p := range shapes {
			if p.lda == 0 {
				p.lda = p.k + i%3
			}
			p.ldc = p.n + i%4
			for p.init = range inits {
				p.try(t, l, uint64(i), i%2 == 0)
			}
		}
	})
}

func FuzzGemm(f *testing.F) {
	f.Add(uint8(9), uint8(128), uint8(128), uint8(0), uint8(0), uint64(1))
	f.Add(uint8(1), uint8(17), uint8(3), uint8(1), uint8(2), uint64(2))
	f.Add(uint8(30), uint8(63), uint8(200), uint8(7), uint8(3), uint64(3))
	f.Fuzz(func(t *testing.T, m, n, k, lda, init uint8, seed uint64) {
		p := product{m: int(m)%70 + 1, n: int(n) + 1, k: int(k) + 1, lda: int(lda), init: int(init) % inits}
		p.ldc = p.n + int(seed%5)
		for _, l := range levels() {
			p.try(t, l, seed, seed%2 == 0)
		}
	})
}

func TestPackTransposedIsPackOfTheTranspose(t *testing.T) {
	t.Parallel()
	const k, n, m = 19, 37, 5
	r := newRand(4)
	b, a := normal(r, k*n), normal(r, m*k)
	bt := make([]float32, n*k)
	for i := range k {
		for j := range n {
			bt[j*k+i] = b[i*n+j]
		}
	}
	p, q := Pack(k, n, b), PackTransposed(k, n, bt)
	c1, c2 := make([]float32, m*n), make([]float32, m*n)
	p.Gemm(c1, n, a, k, m)
	q.Gemm(c2, n, a, k, m)
	for i := range c1 {
		if c1[i] != c2[i] {
			t.Fatalf("element %d: %v from b, %v from its transpose", i, c1[i], c2[i])
		}
	}
	if q.Rows() != k || q.Cols() != n {
		t.Errorf("packed as %d×%d, want %d×%d", q.Rows(), q.Cols(), k, n)
	}
}

func TestGemmRefusesWrongShapes(t *testing.T) {
	t.Parallel()
	p := Pack(4, 8, make([]float32, 32))
	long := make([]float32, 100)
	for name, call := range map[string]func(){
		"c too short":      func() { p.Gemm(long[:15], 8, long, 4, 2) },
		"rows of c shared": func() { p.Gemm(long, 7, long, 4, 2) },
		"a too short":      func() { p.Gemm(long, 8, long[:7], 4, 2) },
		"bias too short":   func() { p.GemmAdd(long, 8, long, 4, 2, long[:7], 0) },
		"negative rows":    func() { p.Gemm(long, 8, long, 4, -1) },
		"b too short":      func() { Pack(4, 8, make([]float32, 31)) },
		"empty matrix":     func() { Pack(0, 8, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			defer func() {
				if recover() == nil {
					t.Error("accepted")
				}
			}()
			call()
		})
	}
	p.Gemm(nil, 8, nil, 4, 0) // no rows, nothing to do
}

func TestGemmKeepsNaN(t *testing.T) {
	t.Parallel()
	eachLevel(t, func(t *testing.T, l Level) {
		b := make([]float32, 40*40)
		b[7*40+11] = float32(math.NaN())
		c := make([]float32, 3*40)
		packAt(l, 40, 40, b, 40, false).Gemm(c, 40, make([]float32, 3*40), 40, 3)
		for i, v := range c {
			if isNaN := v != v; isNaN != (i%40 == 11) {
				t.Fatalf("C[%d,%d] = %v", i/40, i%40, v)
			}
		}
	})
}
