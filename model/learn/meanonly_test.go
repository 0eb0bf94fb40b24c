package learn

import (
	G "gorgonia.org/gorgonia"

	"github.com/nexus-continuum/nexus/model/encoder"
	"github.com/nexus-continuum/nexus/model/flow"
)

// meanOnly is the flowing architecture without its flow: the states are zero,
// so that only the mean of the words reaches the head. It shows what the
// equilibrium is worth.
type meanOnly struct{ *flowing }

func (meanOnly) settle(*batch, []float32, []float32)                {}
func (meanOnly) states(_ *builder, _, z *G.Node, _ G.Nodes) *G.Node { return z }
func (meanOnly) params() []*param                                   { return nil }
func (meanOnly) bound()                                             {}
func (m meanOnly) weights(base encoder.Base) encoder.Weights {
	clear(base.P2())
	return m.flowing.weights(base)
}

// newMeanOnly makes a trainer without flow.
func newMeanOnly(w *flow.Weights, examples []Example, labels int, opt Options) (*Trainer, error) {
	tr, err := New(w, examples, labels, nil, opt)
	if err != nil {
		return nil, err
	}
	f, ok := tr.arch.(*flowing)
	if !ok {
		return nil, ErrOptions
	}
	tr.arch = meanOnly{f}
	return tr, nil
}
