package learn

import (
	"math"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/nexus-continuum/nexus/model/encoder"
	"github.com/nexus-continuum/nexus/model/kernel"
)

// pool makes the input of the head [B×3d] from word vectors x and states z
// [R×d]: ReLU(mean x), mean z and max z, each times its dropout mask.
func (b *builder) pool(x, z, mask *G.Node) *G.Node {
	if b.err != nil {
		return nil
	}
	d := b.dim
	size := mask.Shape()[0]
	most := make([]int32, size*d) // row of the maximum of each column
	back := func(in G.Nodes, out, grad *G.Node) (G.Nodes, error) {
		return G.Nodes{b.meanBack(in[0], out, grad, in[2]), b.statesBack(in[1], grad, in[2], most), nil}, b.err
	}
	return b.apply(&fused{
		name: "pool", shape: mask.Shape(), wrt: []bool{true, true, false}, backward: back,
		forward: func(y []float32, in [][]float32) {
			for i := range b.batch.prompts {
				giveWayEach(promptsAtOnce, i)
				row := y[i*3*d : (i+1)*3*d]
				z := b.batch.span(in[1], i, d)
				encoder.MeanReLU(row[:d], b.batch.span(in[0], i, d))
				encoder.PoolStates(row[d:2*d], row[2*d:], z)
				where(most[i*d:(i+1)*d], row[2*d:], z)
				for j, m := range in[2][i*3*d : (i+1)*3*d] {
					row[j] *= m
				}
			}
			clear(y[b.batch.prompts*3*d:])
		},
	}, x, z, mask)
}

// where finds the first row of z that holds the maximum of each column.
func where(rows []int32, most, z []float32) {
	d := len(most)
	for j := range rows {
		rows[j] = -1
	}
	for at := len(z) - d; at >= 0; at -= d {
		for j, v := range z[at : at+d] {
			if v == most[j] {
				rows[j] = int32(at)
			}
		}
	}
}

// meanBack is the gradient of ReLU(mean x): the masked gradient, where the mean
// was above zero, spread over the words.
func (b *builder) meanBack(x, pooled, grad, mask *G.Node) *G.Node {
	d := b.dim
	share := make([]float32, d)
	return b.apply(&fused{
		name: "meanBack", shape: x.Shape(),
		forward: func(dx []float32, in [][]float32) {
			b.batch.clearBorders(dx, d)
			for i := range b.batch.prompts {
				out := b.batch.span(dx, i, d)
				inv := float32(d) / float32(max(len(out), 1))
				y, g, m := in[0][i*3*d:], in[1][i*3*d:], in[2][i*3*d:]
				for j := range share {
					share[j] = 0
					if y[j] > 0 {
						share[j] = g[j] * m[j] * inv
					}
				}
				for at := 0; at < len(out); at += d {
					copy(out[at:at+d], share)
				}
			}
		},
	}, pooled, grad, mask)
}

// statesBack is the gradient of mean z and max z.
func (b *builder) statesBack(z, grad, mask *G.Node, most []int32) *G.Node {
	d := b.dim
	share := make([]float32, d)
	return b.apply(&fused{
		name: "statesBack", shape: z.Shape(),
		forward: func(dz []float32, in [][]float32) {
			b.batch.clearBorders(dz, d)
			for i := range b.batch.prompts {
				out := b.batch.span(dz, i, d)
				if len(out) == 0 {
					continue
				}
				inv := float32(d) / float32(len(out))
				g, m := in[0][(i*3+1)*d:], in[1][(i*3+1)*d:]
				for j := range share {
					share[j] = g[j] * m[j] * inv
				}
				for at := 0; at < len(out); at += d {
					copy(out[at:at+d], share)
				}
				for j, row := range most[i*d : (i+1)*d] {
					if row >= 0 {
						out[int(row)+j] += g[d+j] * m[d+j]
					}
				}
			}
		},
	}, grad, mask)
}

// unit scales the rows of x [n×d] to length 1.
func (b *builder) unit(x *G.Node) *G.Node {
	if b.err != nil {
		return nil
	}
	n, d := x.Shape()[0], x.Shape()[1]
	length := make([]float32, n)
	back := func(_ G.Nodes, out, grad *G.Node) (G.Nodes, error) {
		// With y = x/‖x‖: ∂x = (g − y·⟨g,y⟩)/‖x‖.
		dx := b.apply(&fused{
			name: "unitBack", shape: out.Shape(),
			forward: func(dx []float32, in [][]float32) {
				for r := range n {
					out, y := dx[r*d:(r+1)*d], in[0][r*d:(r+1)*d]
					if length[r] == 0 {
						clear(out)
						continue
					}
					copy(out, in[1][r*d:(r+1)*d])
					kernel.Axpy(-kernel.Dot(out, y), y, out)
					kernel.Scale(1/length[r], out)
				}
			},
		}, out, grad)
		return G.Nodes{dx}, b.err
	}
	return b.apply(&fused{
		name: "unit", shape: x.Shape(), wrt: []bool{true}, backward: back,
		forward: func(y []float32, in [][]float32) {
			copy(y, in[0])
			for r := range n {
				length[r] = kernel.Normalise(y[r*d : (r+1)*d])
			}
		},
	}, x)
}

// product is x·w for x [n×k] and w [k×m].
func (b *builder) product(x, w *G.Node) *G.Node {
	if b.err != nil {
		return nil
	}
	n, k, m := x.Shape()[0], x.Shape()[1], w.Shape()[1]
	back := func(in G.Nodes, _, grad *G.Node) (G.Nodes, error) {
		dx := b.productTransposed(grad, in[1])
		dw := b.transposedProduct(in[0], grad)
		return G.Nodes{dx, dw}, b.err
	}
	return b.apply(&fused{
		name: "product", shape: tensor.Shape{n, m}, wrt: []bool{true, true}, backward: back,
		forward: func(y []float32, in [][]float32) {
			b.mul.plain(y, in[0], in[1], n, k, m)
		},
	}, x, w)
}

// productTransposed is x·wᵀ for x [n×k] and w [m×k].
func (b *builder) productTransposed(x, w *G.Node) *G.Node {
	if b.err != nil {
		return nil
	}
	n, k, m := x.Shape()[0], x.Shape()[1], w.Shape()[0]
	back := func(in G.Nodes, _, grad *G.Node) (G.Nodes, error) {
		dx := b.product(grad, in[1])
		dw := b.transposedProduct(grad, in[0])
		return G.Nodes{dx, dw}, b.err
	}
	return b.apply(&fused{
		name: "productTransposed", shape: tensor.Shape{n, m}, wrt: []bool{true, true}, backward: back,
		forward: func(y []float32, in [][]float32) {
			b.mul.right(y, in[0], in[1], n, k, m, false)
		},
	}, x, w)
}

// transposedProduct is xᵀ·y for x [k×n] and y [k×m].
func (b *builder) transposedProduct(x, y *G.Node) *G.Node {
	if b.err != nil {
		return nil
	}
	k, n, m := x.Shape()[0], x.Shape()[1], y.Shape()[1]
	return b.apply(&fused{
		name: "transposedProduct", shape: tensor.Shape{n, m},
		forward: func(out []float32, in [][]float32) {
			b.mul.left(out, in[0], in[1], n, k, m)
		},
	}, x, y)
}

// crossEntropy is the mean label-smoothed cross-entropy (Szegedy et al.,
// 1512.00567) of softmax(scale·cosines) over the prompts of the batch, [1×1];
// cosines is [B×L], scale [1×1].
func (b *builder) crossEntropy(cosines, scale *G.Node, smoothing float32) *G.Node {
	if b.err != nil {
		return nil
	}
	labels := cosines.Shape()[1]
	// ∂loss/∂logits, made on the way forward since it needs the same softmax.
	dlogits := make([]float32, cosines.Shape().TotalSize())
	back := func(in G.Nodes, out, grad *G.Node) (G.Nodes, error) {
		dc := b.apply(&fused{
			name: "crossEntropyBack", shape: in[0].Shape(),
			forward: func(dc []float32, in [][]float32) {
				copy(dc, dlogits)
				kernel.Scale(in[1][0]*in[2][0], dc)
			},
		}, out, in[1], grad)
		ds := b.apply(&fused{
			name: "scaleBack", shape: tensor.Shape{1, 1},
			forward: func(ds []float32, in [][]float32) {
				ds[0] = kernel.Dot(dlogits, in[1]) * in[2][0]
			},
		}, out, in[0], grad)
		return G.Nodes{dc, ds}, b.err
	}
	return b.apply(&fused{
		name: "crossEntropy", shape: tensor.Shape{1, 1}, wrt: []bool{true, true}, backward: back,
		forward: func(loss []float32, in [][]float32) {
			clear(dlogits)
			total := 0.0
			for i := range b.batch.prompts {
				row := dlogits[i*labels : (i+1)*labels]
				total += softmaxLoss(row, in[0][i*labels:(i+1)*labels], in[1][0], int(b.batch.labels[i]), smoothing)
			}
			n := float32(max(b.batch.prompts, 1))
			kernel.Scale(1/n, dlogits)
			loss[0] = float32(total) / n
		},
	}, cosines, scale)
}

// softmaxLoss returns the loss of one prompt and writes its gradient.
func softmaxLoss(grad, cosines []float32, scale float32, label int, smoothing float32) float64 {
	top := float32(math.Inf(-1))
	for _, c := range cosines {
		top = max(top, c*scale)
	}
	var sum, mean float64
	for j, c := range cosines {
		v := c*scale - top
		mean += float64(v)
		e := float32(math.Exp(float64(v)))
		grad[j] = e
		sum += float64(e)
	}
	mean /= float64(len(cosines))
	logSum := math.Log(sum)
	inv, even := float32(1/sum), smoothing/float32(len(cosines))
	for j := range grad {
		grad[j] = grad[j]*inv - even
	}
	grad[label] -= 1 - smoothing
	return logSum - float64(1-smoothing)*float64(cosines[label]*scale-top) - float64(smoothing)*mean
}
