package kernel

import (
	"math"
	"testing"
)

// lengths has every remainder of the vector widths and of the unrolled loops.
func lengths() []int {
	var all []int
	for n := range 140 {
		all = append(all, n)
	}
	return append(all, 255, 256, 257, 1000)
}

// near reports whether got is want but for the rounding of n float32 operations on terms whose magnitudes sum to size.
func near(got float32, want, size float64, n int) bool {
	return math.Abs(float64(got)-want) <= size*float64(n+2)*0x1p-24+1e-37
}

func TestDotAndNorm(t *testing.T) {
	t.Parallel()
	eachLevel(t, func(t *testing.T, l Level) {
		for _, n := range lengths() {
			r := newRand(uint64(n))
			x, y := fill(r, guarded[float32](t, n, n%2 == 0)), fill(r, guarded[float32](t, n, n%2 == 0))
			var want, size float64
			for i := range x {
				v := float64(x[i]) * float64(y[i])
				want += v
				size += math.Abs(v)
			}
			if got := dot(l, x, y); !near(got, want, size, n) {
				t.Fatalf("%d elements: %v, want %v", n, got, want)
			}
		}
	})
}

// TestElementwise checks what changes each element on its own, and nothing else.
func TestElementwise(t *testing.T) {
	t.Parallel()
	kernels := map[string]struct {
		run  func(l Level, y, x []float32)
		want func(y, x float64) float64
	}{
		"axpy":    {func(l Level, y, x []float32) { axpy(l, -1.5, x, y) }, func(y, x float64) float64 { return y - 1.5*x }},
		"scale":   {func(l Level, y, _ []float32) { scale(l, 0.3, y) }, func(y, _ float64) float64 { return float64(float32(0.3)) * y }},
		"relu":    {func(l Level, y, _ []float32) { relu(l, y) }, func(y, _ float64) float64 { return max(y, 0) }},
		"maximum": {func(l Level, y, x []float32) { maximum(l, y, x) }, func(y, x float64) float64 { return max(y, x) }},
	}
	for name, k := range kernels {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachLevel(t, func(t *testing.T, l Level) {
				for _, n := range lengths() {
					r := newRand(uint64(n))
					front := n%2 == 0
					y, x := fill(r, guarded[float32](t, n, front)), fill(r, guarded[float32](t, n, front))
					before := append([]float32(nil), y...)
					k.run(l, y, x)
					for i, got := range y {
						b, v := float64(before[i]), float64(x[i])
						if want := k.want(b, v); !near(got, want, math.Abs(b)+2*math.Abs(v), 1) {
							t.Fatalf("%d elements: element %d is %v, want %v", n, i, got, want)
						}
					}
				}
			})
		})
	}
}

func TestNaNPropagates(t *testing.T) {
	t.Parallel()
	nan := float32(math.NaN())
	eachLevel(t, func(t *testing.T, l Level) {
		for at := range 37 {
			fresh := func() []float32 {
				x := make([]float32, 37)
				x[at] = nan
				return x
			}
			only := func(what string, x []float32) {
				for i, v := range x {
					if (v != v) != (i == at) {
						t.Fatalf("%s with NaN at %d: element %d is %v", what, at, i, v)
					}
				}
			}
			x := fresh()
			relu(l, x)
			only("relu", x)
			tanh(l, x)
			only("tanh", x)
			y := make([]float32, 37)
			maximum(l, y, x)
			only("maximum", y)
			if v := dot(l, x, x); v == v {
				t.Fatalf("dot with NaN at %d is %v", at, v)
			}
			if d, n := tanhResidual(l, make([]float32, 37), x, 0, 1); d == d || n == n {
				t.Fatalf("residual with NaN at %d is %v, %v", at, d, n)
			}
		}
	})
}

func TestAddRowsSumsTheRowsNamed(t *testing.T) {
	t.Parallel()
	eachLevel(t, func(t *testing.T, l Level) {
		for _, d := range append(lengths()[1:], 512) {
			r := newRand(uint64(d))
			front := d%2 == 0
			table := fill(r, guarded[float32](t, 5*d, front))
			ids := guarded[uint32](t, 6, front)
			copy(ids, []uint32{4, 0, 2, 2, 4, 1})
			dst := fill(r, guarded[float32](t, d, front))
			want := make([]float64, d)
			for i := range want {
				want[i] = float64(dst[i])
				for _, id := range ids {
					want[i] += float64(table[int(id)*d+i])
				}
			}
			addRows(l, dst, table, ids)
			for i := range want {
				if !near(dst[i], want[i], 20, 8) {
					t.Fatalf("d = %d: element %d is %v, want %v", d, i, dst[i], want[i])
				}
			}
		}
	})
}

func TestAddRowsRefusesRowsBeyondTheTable(t *testing.T) {
	t.Parallel()
	dst := []float32{1, 2, 3}
	AddRows(dst, make([]float32, 9), nil)
	defer func() {
		if recover() == nil {
			t.Error("row 3 of 3 accepted")
		}
		if dst[0] != 1 {
			t.Error("wrote before it refused")
		}
	}()
	AddRows(dst, []float32{1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, []uint32{0, 3})
}

func TestDotRowsScoresEachRow(t *testing.T) {
	t.Parallel()
	eachLevel(t, func(t *testing.T, l Level) {
		for _, d := range lengths()[1:] {
			for _, n := range []int{0, 3, 9} {
				r := newRand(uint64(d))
				rows, q := fill(r, guarded[float32](t, n*d, false)), fill(r, guarded[float32](t, d, false))
				out := guarded[float32](t, n, n%2 == 0)
				dotRows(l, out, rows, q)
				for i, got := range out {
					if want := float64(dotGeneric(rows[i*d:(i+1)*d], q)); !near(got, want, 10*float64(d), d) {
						t.Fatalf("d = %d: row %d of %d scores %v, want %v", d, i, n, got, want)
					}
				}
			}
		}
	})
}

func TestNormaliseGivesUnitLength(t *testing.T) {
	t.Parallel()
	x := []float32{3, 0, -4}
	if n := Normalise(x); n != 5 || math.Abs(float64(Norm(x))-1) > 1e-6 {
		t.Errorf("length %v, afterwards %v", n, Norm(x))
	}
	zero := make([]float32, 3)
	if n := Normalise(zero); n != 0 || zero[0] != 0 {
		t.Errorf("zero vector: length %v, afterwards %v", n, zero)
	}
	endless := []float32{float32(math.Inf(1)), 1}
	if Normalise(endless); endless[1] != 1 {
		t.Errorf("vector without length became %v", endless)
	}
}

func TestMeanMaxPoolsColumns(t *testing.T) {
	t.Parallel()
	mean, most := make([]float32, 3), make([]float32, 3)
	MeanMax(mean, most, []float32{1, -2, 3, 5, -4, 3, 0, -9, 9})
	for i, want := range []float32{2, -5, 5} {
		if math.Abs(float64(mean[i]-want)) > 1e-6 {
			t.Errorf("mean of column %d is %v, want %v", i, mean[i], want)
		}
	}
	for i, want := range []float32{5, -2, 9} {
		if most[i] != want {
			t.Errorf("maximum of column %d is %v, want %v", i, most[i], want)
		}
	}
}

func TestVectorsOfDifferentLengthsAreRefused(t *testing.T) {
	t.Parallel()
	a, b := make([]float32, 3), make([]float32, 4)
	for name, call := range map[string]func(){
		"dot":      func() { Dot(a, b) },
		"axpy":     func() { Axpy(1, a, b) },
		"max":      func() { Max(a, b) },
		"mean max": func() { MeanMax(a, b, a) },
		"rows":     func() { MeanMax(a, a, b) },
		"residual": func() { TanhResidual(a, b, 1) },
		"damping":  func() { TanhResidual(a, a, 0) },
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
}
