package learn

import (
	"fmt"

	G "gorgonia.org/gorgonia"

	"github.com/nexus-continuum/nexus/model/encoder"
	"github.com/nexus-continuum/nexus/model/layer"
)

// layered trains the layered architecture by ordinary backpropagation: the
// whole encoder is in the graph.
type layered struct {
	b      encoder.Base
	blocks []layer.Block
	mixing []*param
}

func newLayered(w *layer.Weights) *layered {
	d := w.Dim
	l := &layered{b: w.Base, blocks: layer.CloneBlocks(w.Blocks)}
	for i, b := range l.blocks {
		l.mixing = append(l.mixing,
			newParam(fmt.Sprintf("mix%d", i), 3*d, d, b.Mix),
			newParam(fmt.Sprintf("b%d", i), 1, d, b.B))
	}
	return l
}

func (l *layered) base() *encoder.Base                 { return &l.b }
func (l *layered) params() []*param                    { return l.mixing }
func (l *layered) settle(*batch, []float32, []float32) {}
func (l *layered) bound()                              {}

func (l *layered) states(b *builder, x, _ *G.Node, leaves G.Nodes) *G.Node {
	z := b.layerNorm(x)
	for i := range l.blocks {
		z = b.add(z, b.cell(b.layerNorm(z), leaves[2*i+1], leaves[2*i], true, true))
	}
	return z
}

func (l *layered) weights(base encoder.Base) encoder.Weights {
	return &layer.Weights{Base: base, Blocks: layer.CloneBlocks(l.blocks)}
}
