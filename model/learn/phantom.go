package learn

import G "gorgonia.org/gorgonia"

// phantom is the whole step as one graph: from word vectors and the settled
// states to the loss and back.
type phantom struct{ m *machine }

func (t *Trainer) newPhantom(rows int) (*phantom, error) {
	b, m := t.newBuilder(), t.newMachine(rows)
	d := t.dim
	x, z := b.leaf("x", rows, d, m.x), b.leaf("z", rows, d, m.z)
	params := t.trained()
	wrt, into := G.Nodes{x}, [][]float32{m.dx}
	for _, p := range params {
		wrt, into = append(wrt, p.leaf(b)), append(into, p.grad)
	}
	states := t.arch.states(b, x, z, wrt[4:])
	loss := t.loss(b, m, x, states, wrt[1], wrt[2], wrt[3])
	b.backward(loss, b.one(), wrt, into)
	b.sink(loss, m.loss)
	m, err := b.compile(m)
	if err != nil {
		return nil, err
	}
	return &phantom{m}, nil
}

// loss adds head and cross-entropy to a graph.
func (t *Trainer) loss(b *builder, m *machine, x, z, head, prototypes, scale *G.Node) *G.Node {
	mask := b.leaf("mask", t.opt.Batch, 3*t.dim, m.mask)
	h := b.unit(b.product(b.pool(x, z, mask), head))
	return b.crossEntropy(b.productTransposed(h, b.unit(prototypes)), scale, float32(t.opt.Smoothing))
}

func (p *phantom) inputs() *machine { return p.m }
func (p *phantom) step() error      { return p.m.run() }
func (p *phantom) close() error     { return p.m.close() }
