package kernel

import (
	"math"
	"testing"
)

// tanhError is what Tanh promises.
const tanhError = 2e-7

func TestTanhIsWithinItsError(t *testing.T) {
	t.Parallel()
	eachLevel(t, func(t *testing.T, l Level) {
		// Each 1009th of all finite float32 values of magnitude up to 16, in batches.
		batch := make([]float32, 0, 4096)
		var worst float64
		var at float32
		flush := func() {
			got := append([]float32(nil), batch...)
			tanh(l, got)
			for i, v := range got {
				if e := math.Abs(float64(v) - math.Tanh(float64(batch[i]))); e > worst {
					worst, at = e, batch[i]
				}
				if v > 1 || v < -1 {
					t.Fatalf("tanh(%v) = %v", batch[i], v)
				}
			}
			batch = batch[:0]
		}
		for bits := uint32(0); bits <= math.Float32bits(16); bits += 1009 {
			v := math.Float32frombits(bits)
			if batch = append(batch, v, -v); len(batch) == cap(batch) {
				flush()
			}
		}
		flush()
		if worst > tanhError {
			t.Errorf("error %.3g at %v, want at most %.1g", worst, at, tanhError)
		}
		t.Logf("greatest error %.3g at %v", worst, at)
	})
}

func TestTanhOfSpecialValues(t *testing.T) {
	t.Parallel()
	inf := float32(math.Inf(1))
	eachLevel(t, func(t *testing.T, l Level) {
		x := []float32{0, float32(math.Copysign(0, -1)), inf, -inf, math.MaxFloat32, -math.MaxFloat32, math.SmallestNonzeroFloat32, 9, -9}
		want := []float32{0, 0, 1, -1, 1, -1, 0, 1, -1}
		tanh(l, x)
		for i := range x {
			if math.Abs(float64(x[i]-want[i])) > tanhError {
				t.Errorf("value %d: %v, want %v", i, x[i], want[i])
			}
		}
	})
}

// tryResidual steps a state of n elements on guarded memory and compares with float64.
func tryResidual(t *testing.T, l Level, n int, damping float32, seed uint64) {
	t.Helper()
	r := newRand(seed)
	front := seed%2 == 0
	z, pre := fill(r, guarded[float32](t, n, front)), fill(r, guarded[float32](t, n, front))
	scale(l, 2, pre)
	want := make([]float64, n)
	var diff2, norm2 float64
	for i := range want {
		old := float64(z[i])
		want[i] = float64(1-damping)*old + float64(damping)*math.Tanh(float64(pre[i]))
		diff2 += (want[i] - old) * (want[i] - old)
		norm2 += want[i] * want[i]
	}
	d, m := tanhResidual(l, z, pre, 1-damping, damping)
	for i := range want {
		if math.Abs(float64(z[i])-want[i]) > tanhError*(1+math.Abs(want[i])) {
			t.Fatalf("%d elements, damping %v: element %d is %v, want %v", n, damping, i, z[i], want[i])
		}
	}
	if math.Abs(float64(d)-diff2) > 1e-5*diff2+1e-9 || math.Abs(float64(m)-norm2) > 1e-5*norm2+1e-9 {
		t.Fatalf("%d elements, damping %v: squares %v and %v, want %v and %v", n, damping, d, m, diff2, norm2)
	}
}

func TestTanhResidualMatchesFloat64(t *testing.T) {
	t.Parallel()
	eachLevel(t, func(t *testing.T, l Level) {
		for i, n := range lengths() {
			for _, damping := range []float32{1, 0.5, 0.9} {
				tryResidual(t, l, n, damping, uint64(i))
			}
		}
	})
}

func FuzzTanh(f *testing.F) {
	f.Add(float32(0.5), uint16(5), float32(1), uint64(1))
	f.Add(float32(-8.99), uint16(128), float32(0.5), uint64(2))
	f.Fuzz(func(t *testing.T, v float32, n uint16, damping float32, seed uint64) {
		if !(damping > 0 && damping <= 1) {
			damping = 1
		}
		for _, l := range levels() {
			x := guarded[float32](t, int(n%512)+1, seed%2 == 0)
			for i := range x {
				x[i] = v
			}
			tanh(l, x)
			want := math.Tanh(float64(v))
			for i, got := range x {
				if math.Abs(float64(got)-want) > tanhError || (got != got) != (v != v) {
					t.Fatalf("%v: element %d of %d: tanh(%v) = %v, want %v", l, i, len(x), v, got, want)
				}
			}
			tryResidual(t, l, int(n%512), damping, seed)
		}
	})
}

// TestFlowConverges takes the steps of the package documentation with a contraction and expects the fixed point.
func TestFlowConverges(t *testing.T) {
	t.Parallel()
	const words, d = 5, 32
	r := newRand(8)
	weights := normal(r, 3*d*d)
	Scale(0.02, weights)
	w := Pack(3*d, d, weights)
	z, pre, ux := make([]float32, (words+2)*d), make([]float32, words*d), normal(r, words*d)
	state := z[d : (words+1)*d]
	residual := 1.0
	for step := 0; step < 60 && residual > 1e-12; step++ {
		w.GemmAdd(pre, d, z, d, words, ux, d)
		diff2, norm2 := TanhResidual(state, pre, 1)
		residual = diff2 / norm2
	}
	if residual > 1e-12 {
		t.Fatalf("squared relative residual still %v", residual)
	}
	for i := range words {
		for j := range d {
			sum := float64(ux[i*d+j])
			for k := range 3 * d {
				sum += float64(z[i*d+k]) * float64(weights[k*d+j])
			}
			if got := float64(state[i*d+j]); math.Abs(got-math.Tanh(sum)) > 1e-5 {
				t.Fatalf("word %d, element %d: %v is not the fixed point %v", i, j, got, math.Tanh(sum))
			}
		}
	}
}
