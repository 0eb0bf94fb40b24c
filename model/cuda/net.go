//go:build linux && cgo

package cuda

import (
	"fmt"

	"github.com/nexus-continuum/nexus/model/encoder"
	"github.com/nexus-continuum/nexus/model/flow"
	"github.com/nexus-continuum/nexus/model/layer"
)

// net is the weights of an encoder on the card.
type net struct {
	of  encoder.Encoder // what it computes like
	dim int
	opt encoder.Options

	table, seen, head address
	mix, bias         address
	u                 address // flowing only
	blocks            int     // layered only
}

// Bounds of the kernels.
const (
	mostDim  = 512
	dimSteps = 4
)

// Load puts the weights of an encoder on the card, in place of those before; their memory
// is given back first. On failure there are none.
func (c *Card) Load(of encoder.Encoder, w encoder.Weights, opt encoder.Options) error {
	return c.do(func() error {
		if err := c.unload(); err != nil {
			return err
		}
		n := &net{of: of, opt: opt.WithDefaults()}
		if err := c.fill(n, w); err != nil {
			c.net = n // what was allocated of it
			if freed := c.unload(); freed != nil {
				return freed
			}
			return fmt.Errorf("load weights: %w", err)
		}
		c.net = n
		return nil
	})
}

// unload gives the memory of the weights back. Graphs hold their addresses.
func (c *Card) unload() error {
	n := c.net
	c.net = nil
	if n == nil {
		return nil
	}
	if err := c.batch.forget(c); err != nil {
		return err
	}
	return c.free(n.table, n.seen, n.head, n.mix, n.bias, n.u)
}

func (c *Card) fill(n *net, w encoder.Weights) (err error) {
	var base *encoder.Base
	var mix, bias, u []float32
	switch w := w.(type) {
	case *flow.Weights:
		base, mix, bias, u = &w.Base, w.Mix, w.B, w.U
	case *layer.Weights:
		base, n.blocks = &w.Base, len(w.Blocks)
		for _, b := range w.Blocks {
			mix, bias = append(mix, b.Mix...), append(bias, b.B...)
		}
	default:
		return fmt.Errorf("weights of type %T cannot be computed on a GPU", w)
	}
	if n.dim = base.Dim; n.dim > mostDim || n.dim%dimSteps != 0 {
		return fmt.Errorf("state size %d cannot be computed on a GPU: it must be a multiple of %d up to %d", n.dim, dimSteps, mostDim)
	}
	parts := []struct {
		to   *address
		what string
		data []float32
	}{
		{&n.table, "the table of words", base.Table},
		{&n.seen, "the counts of the table", base.Seen},
		{&n.head, "the head", base.Head},
		{&n.mix, "the mixing", mix},
		{&n.bias, "the bias", bias},
		{&n.u, "the input matrix", u},
	}
	bytes := 0
	for _, p := range parts {
		bytes += 4 * len(p.data)
	}
	if err := c.reserve("the model", uint64(bytes)); err != nil {
		return err
	}
	for _, p := range parts {
		if *p.to, err = put(c, p.what, p.data); err != nil {
			return err
		}
	}
	return nil
}

// plainSteps is how many steps a prompt takes on the card: until acceleration would begin.
func (n *net) plainSteps() int { return min(n.opt.PlainSteps, n.opt.MaxSteps) }
