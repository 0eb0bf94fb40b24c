package learn

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/nexus-continuum/nexus/model/encoder"
	"github.com/nexus-continuum/nexus/model/flow"
	"github.com/nexus-continuum/nexus/model/kernel"
	"github.com/nexus-continuum/nexus/model/text"
)

// stock builds graphs of gorgonia's own operations: a second opinion on what
// the kernels and the fused operations compute.
type stock struct {
	g *G.ExprGraph
}

func (s stock) leaf(name string, rows, cols int, at func(i, j int) float32) *G.Node {
	data := make([]float32, rows*cols)
	for i := range rows {
		for j := range cols {
			data[i*cols+j] = at(i, j)
		}
	}
	return G.NewMatrix(s.g, tensor.Float32, G.WithShape(rows, cols), G.WithName(name),
		G.WithValue(tensor.New(tensor.WithShape(rows, cols), tensor.WithBacking(data))))
}

func (s stock) weights(name string, rows, cols int, data []float32) *G.Node {
	return s.leaf(name, rows, cols, func(i, j int) float32 { return data[i*cols+j] })
}

// layerNorm centres and scales by products with constant matrices.
func (s stock) layerNorm(x *G.Node) *G.Node {
	n, d := x.Shape()[0], x.Shape()[1]
	even := s.leaf("even", d, d, func(_, _ int) float32 { return 1 / float32(d) })
	eps := s.leaf("eps", n, d, func(_, _ int) float32 { return 1e-5 })
	centred := G.Must(G.Sub(x, G.Must(G.Mul(x, even))))
	variance := G.Must(G.Mul(G.Must(G.Square(centred)), even))
	return G.Must(G.HadamardDiv(centred, G.Must(G.Sqrt(G.Must(G.Add(variance, eps))))))
}

// encode is the flowing encoder unrolled for a fixed number of steps, up to
// the normalisation of h.
func (s stock) encode(w *flow.Weights, vectors []float32, words, steps int) *G.Node {
	d := w.Dim
	x := s.weights("x", words, d, vectors)
	before := s.leaf("before", words, words, func(i, j int) float32 { return one(i-1 == j) })
	after := s.leaf("after", words, words, func(i, j int) float32 { return one(i+1 == j) })
	mean := s.leaf("mean", 1, words, func(_, _ int) float32 { return 1 / float32(words) })
	bias := s.leaf("bias", words, d, func(_, j int) float32 { return w.B[j] })
	a, own, c := s.weights("a", d, d, w.A()), s.weights("w", d, d, w.W()), s.weights("c", d, d, w.C())
	in := G.Must(G.Add(G.Must(G.Mul(s.layerNorm(x), s.weights("u", d, d, w.U))), bias))
	z := G.Must(G.Tanh(in))
	for range steps - 1 {
		pre := G.Must(G.Add(in, G.Must(G.Mul(z, own))))
		pre = G.Must(G.Add(pre, G.Must(G.Mul(G.Must(G.Mul(before, z)), a))))
		pre = G.Must(G.Add(pre, G.Must(G.Mul(G.Must(G.Mul(after, z)), c))))
		z = G.Must(G.Tanh(pre))
	}
	h := G.Must(G.Mul(G.Must(G.Rectify(G.Must(G.Mul(mean, x)))), s.weights("p1", d, d, w.P1())))
	h = G.Must(G.Add(h, G.Must(G.Mul(G.Must(G.Mul(mean, z)), s.weights("p2mean", d, d, w.P2()[:d*d])))))
	most := G.Must(G.Reshape(G.Must(G.Max(z, 0)), tensor.Shape{1, d}))
	return G.Must(G.Add(h, G.Must(G.Mul(most, s.weights("p2max", d, d, w.P2()[d*d:])))))
}

func one(is bool) float32 {
	if is {
		return 1
	}
	return 0
}

// FuzzForward compares the fused forward with the same formula in gorgonia.
func FuzzForward(f *testing.F) {
	f.Add(uint64(1), "how do i reset my password ?", float32(1))
	f.Add(uint64(2), "hello", float32(0))
	f.Add(uint64(3), "東京 はどこ ? one two three four five six seven", float32(3))
	f.Fuzz(func(t *testing.T, seed uint64, prompt string, gain float32) {
		const dim, steps = 16, 40
		var p text.Prompt
		text.Reader{Buckets: testBuckets}.Read(&p, prompt)
		if p.Words == 0 || p.Words > 24 || !(gain >= 0 && gain <= 4) {
			return // stock graphs of long prompts take seconds
		}
		w := flow.New(dim, testBuckets, seed)
		rng := rand.New(rand.NewPCG(seed, 1))
		for _, m := range [][]float32{w.Mix, w.U, w.B, w.P2()} {
			noise := make([]float32, len(m))
			encoder.Gaussian(noise, 0.2, rng)
			kernel.Axpy(gain, noise, m)
		}
		w.Cap()
		net, err := w.Net(encoder.Options{Threshold: 1e-6, MaxSteps: 200})
		if err != nil {
			t.Fatal(err)
		}
		h, scratch := make([]float32, dim), net.NewScratch()
		net.Encode(&p, h, scratch)

		s := stock{G.NewGraph()}
		out := s.encode(w, scratch.X, p.Words, steps)
		vm := G.NewTapeMachine(s.g)
		if err := errors.Join(vm.RunAll(), vm.Close()); err != nil {
			t.Fatal(err)
		}
		want, ok := out.Value().Data().([]float32)
		if !ok {
			t.Fatalf("stock graph gives %T", out.Value().Data())
		}
		kernel.Normalise(want)
		// Forty steps leave the unrolled graph 0.9^40 of the first step away at worst.
		for i := range h {
			if off := math.Abs(float64(h[i] - want[i])); !(off <= 1e-5) {
				t.Fatalf("%d words, element %d: fused %v, stock %v", p.Words, i, h[i], want[i])
			}
		}
	})
}
