package learn

import (
	"fmt"

	G "gorgonia.org/gorgonia"

	"github.com/nexus-continuum/nexus/model/encoder"
	"github.com/nexus-continuum/nexus/model/flow"
	"github.com/nexus-continuum/nexus/model/layer"
)

// architecture is what training needs to know of an encoder: the matrices
// between word vectors and states, and how states come about.
type architecture interface {
	// base is the part that all share.
	base() *encoder.Base
	// params are the matrices of the mixing, trained in place.
	params() []*param
	// settle computes, outside the graph, what states starts from.
	settle(b *batch, x, z []float32)
	// states adds the mixing to a graph; z is the leaf that settle filled, and
	// leaves are those of params.
	states(b *builder, x, z *G.Node, leaves G.Nodes) *G.Node
	// bound restores, after a step of the optimiser, what the weights promise.
	bound()
	// weights packs the trained numbers around a full base.
	weights(base encoder.Base) encoder.Weights
}

// newArchitecture copies the mixing of w; the table stays where it is.
func newArchitecture(w encoder.Weights, opt Options) (architecture, error) {
	switch w := w.(type) {
	case *flow.Weights:
		return newFlowing(w, opt), nil
	case *layer.Weights:
		return newLayered(w), nil
	}
	return nil, fmt.Errorf("%w: cannot train weights of type %T", ErrOptions, w)
}
