package flow_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/nexus-continuum/nexus/model/encoder"
	"github.com/nexus-continuum/nexus/model/encoder/encodertest"
	"github.com/nexus-continuum/nexus/model/flow"
	"github.com/nexus-continuum/nexus/model/kernel"
	"github.com/nexus-continuum/nexus/model/text"
)

const dim, buckets = 32, 1 << 10

func TestFlowingIsAnEncoder(t *testing.T) {
	encodertest.Run(t, encodertest.Architecture{
		New: func(seed uint64) encoder.Weights { return flow.New(dim, buckets, seed) },
		Load: func(stored []encoder.Section) (encoder.Weights, error) {
			w, _, err := flow.Load(dim, buckets, stored)
			if err != nil {
				return nil, err
			}
			return w, nil
		},
	})
}

// strong makes weights whose norms stand at their bounds, where contraction is
// slowest.
func strong(seed uint64) *flow.Weights {
	w := flow.New(dim, buckets, seed)
	rng := rand.New(rand.NewPCG(seed, 2))
	encoder.Gaussian(w.Mix, 1, rng)
	encoder.Gaussian(w.U, 1, rng)
	encoder.Gaussian(w.B, 0.1, rng)
	w.Cap()
	return w
}

// slow makes a cell that creeps: words that do not talk, and a linear part
// just below 1.
func slow() *flow.Weights {
	w := flow.New(dim, buckets, 1)
	clear(w.Mix)
	clear(w.B)
	for i := range dim {
		w.W()[i*dim+i] = flow.Rho
	}
	kernel.Scale(0.05, w.U)
	return w
}

func words(n int, seed uint64) []float32 {
	x := make([]float32, n*dim)
	encoder.Gaussian(x, 1, rand.New(rand.NewPCG(seed, 3)))
	return x
}

func TestFixedPointDoesNotDependOnTheStart(t *testing.T) {
	t.Parallel()
	for seed := range uint64(5) {
		w := strong(seed)
		cell := flow.NewCell(w, encoder.Options{Threshold: 1e-6, MaxSteps: 500})
		const n = 7
		x := words(n, seed)
		zero, other := encoder.NewScratch(dim), encoder.NewScratch(dim)
		cell.Settle(x, zero)
		cell.Feed(x, other)
		copy(encoder.Bordered(other.Z, n, dim)[dim:], words(n, seed+100))
		clear(other.Z[(n+1)*dim : (n+2)*dim])
		if info := cell.Iterate(n, other); !info.Converged {
			t.Errorf("seed %d: no convergence from a random start: %+v", seed, info)
		}
		if off := distance(zero.Z[dim:(n+1)*dim], other.Z[dim:(n+1)*dim]); off > 1e-5 {
			t.Errorf("seed %d: fixed points from two starts are %v apart", seed, off)
		}
	}
}

func distance(a, b []float32) float64 {
	sum := 0.0
	for i := range a {
		sum += float64(a[i]-b[i]) * float64(a[i]-b[i])
	}
	return math.Sqrt(sum)
}

func TestEachStepContractsByTheCertifiedFactor(t *testing.T) {
	t.Parallel()
	const n = 5
	w := strong(1)
	one := flow.NewCell(w, encoder.Options{MaxSteps: 1, Threshold: 1e-9})
	x := words(n, 1)
	a, b := encoder.NewScratch(dim), encoder.NewScratch(dim)
	start := func(s *encoder.Scratch, seed uint64) {
		one.Feed(x, s)
		copy(encoder.Bordered(s.Z, n, dim)[dim:(n+1)*dim], words(n, seed))
	}
	start(a, 10)
	start(b, 20)
	rho := w.Certify().Rho
	before := distance(a.Z[dim:(n+1)*dim], b.Z[dim:(n+1)*dim])
	for k := range 10 {
		one.Iterate(n, a)
		one.Iterate(n, b)
		after := distance(a.Z[dim:(n+1)*dim], b.Z[dim:(n+1)*dim])
		if after > rho*before+1e-5 {
			t.Errorf("step %d: distance went from %v to %v, want a factor of at most %v", k, before, after, rho)
		}
		before = after
	}
}

// reference is the cell as its formula reads, in float64.
func reference(w *flow.Weights, x []float32, steps int) []float64 {
	n := len(x) / dim
	in, z := make([]float64, n*dim), make([]float64, n*dim)
	for t := range n {
		row := x[t*dim : (t+1)*dim]
		mean, variance := 0.0, 0.0
		for _, v := range row {
			mean += float64(v) / dim
		}
		for _, v := range row {
			variance += (float64(v) - mean) * (float64(v) - mean) / dim
		}
		for j := range dim {
			in[t*dim+j] = float64(w.B[j])
			for i, v := range row {
				in[t*dim+j] += (float64(v) - mean) / math.Sqrt(variance+1e-5) * float64(w.U[i*dim+j])
			}
		}
	}
	for range steps {
		next := make([]float64, n*dim)
		for t := range n {
			for j := range dim {
				s := in[t*dim+j]
				for i := range dim {
					if t > 0 {
						s += z[(t-1)*dim+i] * float64(w.A()[i*dim+j])
					}
					s += z[t*dim+i] * float64(w.W()[i*dim+j])
					if t < n-1 {
						s += z[(t+1)*dim+i] * float64(w.C()[i*dim+j])
					}
				}
				next[t*dim+j] = math.Tanh(s)
			}
		}
		z = next
	}
	return z
}

func TestFixedPointIsThatOfTheFormula(t *testing.T) {
	t.Parallel()
	for name, w := range map[string]*flow.Weights{"fresh": flow.New(dim, buckets, 1), "strong": strong(2), "slow": slow()} {
		for _, n := range []int{1, 2, 9, text.MaxWords} {
			x := words(n, uint64(n))
			s := encoder.NewScratch(dim)
			info := flow.NewCell(w, encoder.Options{Threshold: 1e-6, MaxSteps: 200}).Settle(x, s)
			if !info.Converged {
				t.Errorf("%s, %d words: %+v", name, n, info)
			}
			for i, want := range reference(w, x, 200) {
				if got := float64(s.Z[dim+i]); math.Abs(got-want) > 2e-5 {
					t.Fatalf("%s, %d words: state %d is %v, want %v", name, n, i, got, want)
				}
			}
		}
	}
}

func TestSlowCellsAreAccelerated(t *testing.T) {
	t.Parallel()
	const n = 6
	w, x := slow(), words(n, 1)
	info := flow.NewCell(w, encoder.Options{}).Settle(x, encoder.NewScratch(dim))
	if !info.Converged || info.Depth > 25 {
		t.Errorf("%+v, want convergence within 25 steps", info)
	}
	// The plain iteration needs several times as many: steps of one cell with
	// MaxSteps 1 never reach acceleration.
	one := flow.NewCell(w, encoder.Options{MaxSteps: 1})
	s := encoder.NewScratch(dim)
	plain := one.Settle(x, s)
	steps := 1
	for !plain.Converged && steps < 200 {
		plain = one.Iterate(n, s)
		steps++
	}
	if steps < 2*info.Depth {
		t.Errorf("plain iteration took %d steps, acceleration %d: want at most half", steps, info.Depth)
	}
}

func TestEveryIterationReachesTheSamePoint(t *testing.T) {
	t.Parallel()
	const n = 6
	for name, w := range map[string]*flow.Weights{"fresh": flow.New(dim, buckets, 1), "strong": strong(2), "slow": slow()} {
		x := words(n, 1)
		var points [][]float32
		var depths []int
		// Plain only, accelerated from the second step on, and in between.
		for _, plain := range []int{500, 1, 0} {
			s := encoder.NewScratch(dim)
			info := flow.NewCell(w, encoder.Options{Threshold: 1e-6, MaxSteps: 500, PlainSteps: plain}).Settle(x, s)
			if !info.Converged {
				t.Errorf("%s, %d plain steps: %+v", name, plain, info)
			}
			points, depths = append(points, s.Z[dim:(n+1)*dim]), append(depths, info.Depth)
		}
		for i, p := range points[1:] {
			if off := distance(points[0], p); off > 1e-4 {
				t.Errorf("%s: accelerated (%d steps) %v away from the plain fixed point (%d steps)", name, depths[i+1], off, depths[0])
			}
		}
		if name == "slow" && depths[1] >= depths[0]/2 {
			t.Errorf("slow: %d steps with acceleration, %d without: want at most half", depths[1], depths[0])
		}
	}
}

func TestDampingReachesTheSamePoint(t *testing.T) {
	t.Parallel()
	const n = 4
	w, x := strong(4), words(n, 4)
	a, b := encoder.NewScratch(dim), encoder.NewScratch(dim)
	flow.NewCell(w, encoder.Options{Threshold: 1e-6, MaxSteps: 300}).Settle(x, a)
	info := flow.NewCell(w, encoder.Options{Threshold: 1e-6, MaxSteps: 300, Damping: 0.5}).Settle(x, b)
	if off := distance(a.Z[dim:(n+1)*dim], b.Z[dim:(n+1)*dim]); !info.Converged || off > 1e-4 {
		t.Errorf("damped by half: %+v, %v away from the plain fixed point", info, off)
	}
}

func TestTooFewStepsAreReported(t *testing.T) {
	t.Parallel()
	info := flow.NewCell(strong(1), encoder.Options{MaxSteps: 2}).Settle(words(5, 1), encoder.NewScratch(dim))
	if info.Converged || info.Depth != 2 || info.Residual < encoder.DefaultThreshold {
		t.Errorf("%+v, want 2 steps without convergence", info)
	}
}

func TestNormBoundIsAboveAndTight(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 1))
	for _, d := range []int{8, 32, 128} {
		m := make([]float32, d*d)
		encoder.Gaussian(m, 1, rng)
		below := flow.NewPower(d).Norm(m, 3000)
		bound := flow.NormBound(m, d)
		if bound < below*(1-1e-5) || bound > below*1.003 {
			t.Errorf("d = %d: bound %v, norm %v: want the bound above it by at most 0.3 %%", d, bound, below)
		}
	}
	diagonal := []float32{3, 0, 0, -0.5}
	if got := flow.NormBound(diagonal, 2); math.Abs(got-3) > 0.003 {
		t.Errorf("norm of diag(3, -0.5) bounded by %v, want 3", got)
	}
	if got := flow.NormBound(make([]float32, 16), 4); got != 0 {
		t.Errorf("norm of zero bounded by %v", got)
	}
}

func TestWeightsWithoutCertificateAreRefused(t *testing.T) {
	t.Parallel()
	grown := func(f func(*flow.Weights)) error {
		w := strong(1)
		f(w)
		_, _, err := flow.Load(dim, buckets, w.Sections())
		return err
	}
	if err := grown(func(*flow.Weights) {}); err != nil {
		t.Errorf("capped weights are refused: %v", err)
	}
	for name, f := range map[string]func(*flow.Weights){
		"mix": func(w *flow.Weights) { kernel.Scale(1.02, w.Mix) },
		"u":   func(w *flow.Weights) { kernel.Scale(1.02, w.U) },
	} {
		if err := grown(f); !errors.Is(err, flow.ErrNoCertificate) {
			t.Errorf("%s scaled by 1.02: error %v, want %v", name, err, flow.ErrNoCertificate)
		}
	}
	if err := (flow.Certificate{Rho: math.NaN()}).Verify(); !errors.Is(err, flow.ErrNoCertificate) {
		t.Errorf("a certificate of NaN: error %v", err)
	}
}

// BenchmarkEncode encodes nine words, the mean of CLINC150, to 1e-4.
func BenchmarkEncode(b *testing.B) {
	for name, d := range map[string]int{"d128": 128, "d256": 256, "d512": 512} {
		b.Run(name, func(b *testing.B) {
			n, err := flow.New(d, 1<<15, 1).Net(encoder.Options{})
			if err != nil {
				b.Fatal(err)
			}
			var p text.Prompt
			text.Reader{Buckets: 1 << 15}.Read(&p, "how do i reset the password of my account")
			h, scratch := make([]float32, d), n.NewScratch()
			depth := 0
			b.ReportAllocs()
			for b.Loop() {
				depth = n.Encode(&p, h, scratch).Depth
			}
			b.ReportMetric(float64(depth), "steps")
		})
	}
}
