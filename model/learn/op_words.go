package learn

import (
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/nexus-continuum/nexus/model/encoder"
	"github.com/nexus-continuum/nexus/model/kernel"
)

// layerNorm is LN(x) for the words of x [R×d]; borders are zero.
func (b *builder) layerNorm(x *G.Node) *G.Node {
	if b.err != nil {
		return nil
	}
	d, rows := b.dim, x.Shape()[0]
	inv := make([]float32, rows) // 1/σ of each row, left for the way back
	back := func(in G.Nodes, out, grad *G.Node) (G.Nodes, error) {
		// With y = LN(x): ∂x = (g − mean(g) − y·mean(g·y)) / σ.
		dx := b.apply(&fused{
			name: "layerNormBack", shape: out.Shape(),
			forward: func(dx []float32, in [][]float32) {
				b.batch.clearBorders(dx, d)
				for i := range b.batch.prompts {
					giveWayEach(promptsAtOnce, i)
					first, words := int(b.batch.first[i]), int(b.batch.words[i])
					for r := first; r < first+words; r++ {
						layerNormBack(dx[r*d:(r+1)*d], in[0][r*d:(r+1)*d], in[1][r*d:(r+1)*d], inv[r])
					}
				}
			},
		}, out, grad)
		return G.Nodes{dx}, b.err
	}
	return b.apply(&fused{
		name: "layerNorm", shape: x.Shape(), wrt: []bool{true}, backward: back,
		forward: func(y []float32, in [][]float32) {
			b.batch.clearBorders(y, d)
			for i := range b.batch.prompts {
				giveWayEach(promptsAtOnce, i)
				first, words := int(b.batch.first[i]), int(b.batch.words[i])
				for r := first; r < first+words; r++ {
					inv[r] = encoder.LayerNorm(y[r*d:(r+1)*d], in[0][r*d:(r+1)*d])
				}
			}
		},
	}, x)
}

func layerNormBack(dx, y, g []float32, inv float32) {
	var sum float32
	for _, v := range g {
		sum += v
	}
	mean := sum / float32(len(g))
	along := kernel.Dot(g, y) / float32(len(g))
	for i := range dx {
		dx[i] = (g[i] - mean - y[i]*along) * inv
	}
}

// affine is x·w + bias over the rows of the batch; borders hold the bias.
func (b *builder) affine(x, w, bias *G.Node) *G.Node {
	if b.err != nil {
		return nil
	}
	d := b.dim
	back := func(in G.Nodes, _, grad *G.Node) (G.Nodes, error) {
		// The gradient is zero at borders: nothing downstream reads them.
		dx := b.apply(&fused{
			name: "affineBackX", shape: in[0].Shape(),
			forward: func(dx []float32, in [][]float32) {
				b.mul.right(dx, in[0], in[1], b.batch.rows, d, d, false)
			},
		}, grad, in[1])
		dw := b.apply(&fused{
			name: "affineBackW", shape: in[1].Shape(),
			forward: func(dw []float32, in [][]float32) {
				b.mul.left(dw, in[0], in[1], d, b.batch.rows, d)
			},
		}, in[0], grad)
		db := b.sumRows(grad)
		return G.Nodes{dx, dw, db}, b.err
	}
	return b.apply(&fused{
		name: "affine", shape: x.Shape(), wrt: []bool{true, true, true}, backward: back,
		forward: func(y []float32, in [][]float32) {
			for r := range b.batch.rows {
				copy(y[r*d:(r+1)*d], in[2])
			}
			b.mul.add(y, in[0], in[1], b.batch.rows, d, d)
		},
	}, x, w, bias)
}

// sumRows adds up the rows of the batch.
func (b *builder) sumRows(x *G.Node) *G.Node {
	d := b.dim
	return b.apply(&fused{
		name: "sumRows", shape: tensor.Shape{1, d},
		forward: func(y []float32, in [][]float32) {
			clear(y)
			for r := range b.batch.rows {
				kernel.Axpy(1, in[0][r*d:(r+1)*d], y)
			}
		},
	}, x)
}

// add is x + y [R×d] over the rows of the batch.
func (b *builder) add(x, y *G.Node) *G.Node {
	if b.err != nil {
		return nil
	}
	d := b.dim
	back := func(_ G.Nodes, _, grad *G.Node) (G.Nodes, error) { return G.Nodes{grad, grad}, nil }
	return b.apply(&fused{
		name: "add", shape: x.Shape(), wrt: []bool{true, true}, backward: back,
		forward: func(sum []float32, in [][]float32) {
			n := b.batch.rows * d
			copy(sum[:n], in[0][:n])
			kernel.Axpy(1, in[1][:n], sum[:n])
		},
	}, x, y)
}
