package learn

import (
	"slices"

	G "gorgonia.org/gorgonia"

	"github.com/nexus-continuum/nexus/model/encoder"
	"github.com/nexus-continuum/nexus/model/flow"
	"github.com/nexus-continuum/nexus/model/kernel"
)

// flowing trains the flowing architecture: the fixed point is found outside
// the graph, with the very code that serves, and the last steps to it are
// taken once more inside.
type flowing struct {
	w       *flow.Weights // its own mixing; base without a table of its own
	mixing  []*param
	opt     Options
	scratch *encoder.Scratch
	norms   [4]*flow.Power // of A, W, C, U
}

func newFlowing(w *flow.Weights, opt Options) *flowing {
	d := w.Dim
	own := &flow.Weights{Base: w.Base, Mix: slices.Clone(w.Mix), U: slices.Clone(w.U), B: slices.Clone(w.B)}
	f := &flowing{
		w: own, opt: opt, scratch: encoder.NewScratch(d),
		mixing: []*param{
			newParam("mix", 3*d, d, own.Mix),
			newParam("u", d, d, own.U),
			newParam("b", 1, d, own.B),
		},
	}
	for i := range f.norms {
		f.norms[i] = flow.NewPower(d)
	}
	f.limit(firstPower)
	return f
}

func (f *flowing) base() *encoder.Base { return &f.w.Base }
func (f *flowing) params() []*param    { return f.mixing }

// settle brings every prompt of the batch to its fixed point.
func (f *flowing) settle(b *batch, x, z []float32) {
	d := f.w.Dim
	cell := flow.NewCell(f.w, encoder.Options{Threshold: f.opt.Threshold, MaxSteps: f.opt.MaxSteps, PlainSteps: f.opt.PlainSteps})
	b.clearBorders(z, d)
	for i := range b.prompts {
		GiveWay()
		cell.Settle(b.span(x, i, d), f.scratch)
		copy(b.span(z, i, d), f.scratch.Z[d:])
	}
}

// states takes the last steps from the settled states, which stand for all
// earlier ones.
func (f *flowing) states(b *builder, x, z *G.Node, leaves G.Nodes) *G.Node {
	mix, u, bias := leaves[0], leaves[1], leaves[2]
	in := b.affine(b.layerNorm(x), u, bias)
	for step := range f.opt.PhantomSteps {
		z = b.cell(z, in, mix, step > 0, true)
	}
	return z
}

// Steps of power iteration: the estimate goes on from step to step, and the
// matrices change little in between.
const (
	firstPower = 30
	eachPower  = 1
)

func (f *flowing) bound() { f.limit(eachPower) }

// limit keeps the estimated norms within the certificate; the exact bound is
// enforced once, when the weights are handed out.
func (f *flowing) limit(steps int) {
	a, w, c := f.norms[0].Norm(f.w.A(), steps), f.norms[1].Norm(f.w.W(), steps), f.norms[2].Norm(f.w.C(), steps)
	if sum := a + w + c; sum > flow.Rho {
		kernel.Scale(float32(flow.Rho/sum), f.w.Mix)
	}
	if u := f.norms[3].Norm(f.w.U, steps); u > flow.MaxU {
		kernel.Scale(float32(flow.MaxU/u), f.w.U)
	}
}

// weights implements architecture; the result carries its certificate.
func (f *flowing) weights(base encoder.Base) encoder.Weights {
	w := &flow.Weights{Base: base, Mix: slices.Clone(f.w.Mix), U: slices.Clone(f.w.U), B: slices.Clone(f.w.B)}
	w.Cap()
	return w
}
