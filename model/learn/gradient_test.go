package learn

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/nexus-continuum/nexus/model/kernel"
)

// lossNow computes loss and gradients of the batch at hand. With settle the
// fixed point is found anew, as the parameters are now.
func (t *Trainer) lossNow(tb testing.TB, settle bool) float64 {
	tb.Helper()
	s, err := t.stepper(rowClass(t.batch.rows))
	if err != nil {
		tb.Fatal(err)
	}
	if settle {
		t.arch.settle(&t.batch, s.inputs().x, s.inputs().z)
	}
	if err := s.step(); err != nil {
		tb.Fatal(err)
	}
	return float64(s.inputs().loss[0])
}

// slope compares the gradient of one parameter with central differences of the
// loss along it and along random directions.
func slope(tb testing.TB, t *Trainer, name string, data, grad []float32, settle bool, tolerance float64) {
	tb.Helper()
	t.lossNow(tb, settle)
	g := append([]float32(nil), grad...)
	start := append([]float32(nil), data...)
	norm := float64(kernel.Norm(g))
	if norm < 1e-7 {
		tb.Errorf("%s: gradient is zero", name)
		return
	}
	rng := rand.New(rand.NewPCG(3, 3))
	for trial := range 3 {
		dir := append([]float32(nil), g...)
		if trial > 0 {
			for i := range dir {
				dir[i] += float32(rng.NormFloat64() * norm / math.Sqrt(float64(len(dir))))
			}
		}
		kernel.Normalise(dir)
		want := float64(kernel.Dot(dir, g))
		eps := 0.02 * math.Max(float64(kernel.Norm(start)), 0.1)
		best := math.Inf(1)
		for range 4 {
			at := func(sign float64) float64 {
				copy(data, start)
				kernel.Axpy(float32(sign*eps), dir, data)
				return t.lossNow(tb, settle)
			}
			got := (at(1) - at(-1)) / (2 * eps)
			best = math.Min(best, math.Abs(got-want)/math.Abs(want))
			eps /= 3
		}
		copy(data, start)
		if best > tolerance {
			tb.Errorf("%s, direction %d: differences are off the gradient by %.2g of it, want at most %.2g", name, trial, best, tolerance)
		}
	}
	t.lossNow(tb, settle)
}

// slopes checks every parameter and the word vectors.
func slopes(tb testing.TB, tr *Trainer, settle bool, tolerance float64) {
	tb.Helper()
	tr.draw()
	s, err := tr.stepper(rowClass(tr.batch.rows))
	if err != nil {
		tb.Fatal(err)
	}
	m := s.inputs()
	tr.fill(m)
	for _, p := range tr.trained() {
		slope(tb, tr, p.name, p.data, p.grad, settle, tolerance)
	}
	// Borders have no gradient and must stay zero.
	words := tr.batch.span(m.x, 0, tr.dim)
	slope(tb, tr, "x", words, tr.batch.span(m.dx, 0, tr.dim), settle, tolerance)
}

// warm moves the weights off their start, where P₂ is next to nothing.
func warm(tb testing.TB, tr *Trainer) {
	tb.Helper()
	rng := rand.New(rand.NewPCG(9, 9))
	for _, p := range tr.arch.params() {
		for i := range p.data {
			p.data[i] += float32(rng.NormFloat64()) * 0.02
		}
	}
	for i := range tr.head.data {
		tr.head.data[i] += float32(rng.NormFloat64()) * 0.2
	}
	tr.arch.bound()
}

func TestGraphGradientsMatchDifferences(t *testing.T) {
	t.Parallel()
	for name, w := range architectures(16, 1) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opt := plain()
			opt.PhantomSteps = 3
			tr := newTrainer(t, w, task(4, 1), opt)
			warm(t, tr)
			slopes(t, tr, false, 5e-3)
		})
	}
}

func TestImplicitGradientsMatchDifferencesOfTheFixedPoint(t *testing.T) {
	t.Parallel()
	opt := plain()
	opt.Gradient = Implicit
	tr := newTrainer(t, architectures(16, 1)["flowing"], task(4, 1), opt)
	warm(t, tr)
	slopes(t, tr, true, 1e-2)
}

func TestPhantomGradientIsNearTheImplicitOne(t *testing.T) {
	t.Parallel()
	gradients := func(opt Options) map[string][]float32 {
		tr := newTrainer(t, architectures(16, 1)["flowing"], task(4, 1), opt)
		warm(t, tr)
		tr.draw()
		s, err := tr.stepper(rowClass(tr.batch.rows))
		if err != nil {
			t.Fatal(err)
		}
		tr.fill(s.inputs())
		tr.lossNow(t, true)
		out := map[string][]float32{"x": s.inputs().dx}
		for _, p := range tr.trained() {
			out[p.name] = p.grad
		}
		return out
	}
	exact, phantom := plain(), plain()
	exact.Gradient, phantom.PhantomSteps = Implicit, 2
	want, got := gradients(exact), gradients(phantom)
	for name, w := range want {
		off := slices.Clone(got[name])
		kernel.Axpy(-1, w, off)
		if share := kernel.Norm(off) / kernel.Norm(w); share > 0.1 {
			t.Errorf("%s: phantom gradient is %.2g of the exact one away, want at most 0.1", name, share)
		}
	}
}
