package learn

import (
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/nexus-continuum/nexus/model/kernel"
)

// cell is tanh( [z_{t−1}|z_t|z_{t+1}]·mix + u_t ) for the words of z [R×d];
// borders are zero. u is [R×d], or [1×d] for the same bias everywhere. The
// gradient goes to z, to u and mix, or to all of them.
func (b *builder) cell(z, u, mix *G.Node, toState, toWeights bool) *G.Node {
	if b.err != nil {
		return nil
	}
	d := b.dim
	bias := u.Shape()[0] == 1
	back := func(in G.Nodes, out, grad *G.Node) (G.Nodes, error) {
		pre := b.tanhBack(out, grad)
		grads := make(G.Nodes, 3)
		if toState {
			grads[0] = b.mixBackZ(pre, in[2])
		}
		if toWeights {
			grads[1], grads[2] = pre, b.mixBackWeights(in[0], pre)
			if bias {
				grads[1] = b.sumRows(pre)
			}
		}
		return grads, b.err
	}
	return b.apply(&fused{
		name: "cell", shape: z.Shape(), wrt: []bool{toState, toWeights, toWeights}, backward: back,
		forward: func(y []float32, in [][]float32) {
			inner := b.batch.rows - 2
			step := d
			if bias {
				step = 0
			}
			mixRows(kernel.Pack(3*d, d, in[2]), y[d:], in[0], in[1][step:], inner, d, step)
			b.batch.clearBorders(y, d)
			for i := range b.batch.prompts {
				kernel.Tanh(b.batch.span(y, i, d))
			}
		},
	}, z, u, mix)
}

// tanhBack is g·(1−y²) for the words, zero at borders.
func (b *builder) tanhBack(y, grad *G.Node) *G.Node {
	d := b.dim
	return b.apply(&fused{
		name: "tanhBack", shape: y.Shape(),
		forward: func(pre []float32, in [][]float32) {
			b.batch.clearBorders(pre, d)
			for i := range b.batch.prompts {
				y, g := b.batch.span(in[0], i, d), b.batch.span(in[1], i, d)
				out := b.batch.span(pre, i, d)
				for j := range out {
					out[j] = g[j] * (1 - y[j]*y[j])
				}
			}
		},
	}, y, grad)
}

// mixBackZ sends the gradient back to the states: a word gets it from itself
// through W, from the word after through A and from the word before through C.
func (b *builder) mixBackZ(pre, mix *G.Node) *G.Node {
	d := b.dim
	return b.apply(&fused{
		name: "mixBackZ", shape: pre.Shape(),
		forward: func(dz []float32, in [][]float32) {
			inner, g, m := b.batch.rows-2, in[0], in[1]
			b.mul.right(dz[d:], g[d:], m[d*d:], inner, d, d, false)
			GiveWay()
			b.mul.right(dz[d:], g[2*d:], m, inner, d, d, true)
			GiveWay()
			b.mul.right(dz[d:], g, m[2*d*d:], inner, d, d, true)
			b.batch.clearBorders(dz, d)
		},
	}, pre, mix)
}

// mixBackWeights is the gradient [3d×d] of the stacked matrices.
func (b *builder) mixBackWeights(z, pre *G.Node) *G.Node {
	d := b.dim
	return b.apply(&fused{
		name: "mixBackWeights", shape: tensor.Shape{3 * d, d},
		forward: func(dm []float32, in [][]float32) {
			z, g, inner := in[0], in[1][d:], b.batch.rows-2
			for i := range 3 {
				if i > 0 {
					GiveWay()
				}
				b.mul.left(dm[i*d*d:(i+1)*d*d], z[i*d:], g, d, inner, d)
			}
		},
	}, z, pre)
}
