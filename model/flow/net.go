package flow

import (
	"fmt"
	"math"

	"github.com/nexus-continuum/nexus/model/encoder"
	"github.com/nexus-continuum/nexus/model/kernel"
	"github.com/nexus-continuum/nexus/model/text"
)

// Net is a cell with its weights packed for inference. It is immutable and
// safe for concurrent use.
type Net struct {
	*encoder.Front
	cell *Cell
}

var _ encoder.Encoder = (*Net)(nil)

// Encoder implements encoder.Weights.
func (w *Weights) Encoder(opt encoder.Options) (encoder.Encoder, error) { return w.Net(opt) }

// Net packs the weights for use. It shares the table with them, so they must
// not be changed afterwards.
func (w *Weights) Net(opt encoder.Options) (*Net, error) {
	opt = opt.WithDefaults()
	if err := opt.Check(); err != nil {
		return nil, err
	}
	d := w.Dim
	if len(w.Mix) != 3*d*d || len(w.U) != d*d || len(w.B) != d {
		return nil, fmt.Errorf("%w: d %d, mix %d, u %d, b %d", encoder.ErrShape, d, len(w.Mix), len(w.U), len(w.B))
	}
	front, err := encoder.NewFront(&w.Base)
	if err != nil {
		return nil, err
	}
	return &Net{Front: front, cell: NewCell(w, opt)}, nil
}

// Encode implements encoder.Encoder: the words flow to their fixed point, whose
// mean and maximum stand beside the plain mean of the words.
func (n *Net) Encode(p *text.Prompt, h []float32, s *encoder.Scratch) encoder.Info {
	d := n.Dim()
	unknown := n.Words(p, s)
	info := n.cell.Settle(s.X[:p.Words*d], s)
	info.Unknown = unknown
	info.Saturation = n.Head(s.Z[d:(p.Words+1)*d], h, s)
	return info
}

// Cell is the map f(z, x) with its weights packed. It is immutable and safe
// for concurrent use.
type Cell struct {
	dim  int
	mix  *kernel.Packed // [3d×d]
	u    *kernel.Packed // [d×d]
	bias []float32
	opt  encoder.Options
}

// NewCell packs the cell of w.
func NewCell(w *Weights, opt encoder.Options) *Cell {
	d := w.Dim
	return &Cell{
		dim: d, opt: opt.WithDefaults(),
		mix: kernel.Pack(3*d, d, w.Mix), u: kernel.Pack(d, d, w.U),
		bias: append([]float32(nil), w.B...),
	}
}

// Settle brings the words x [T×d] to their fixed point from z = 0 and leaves
// it, bordered, in s.Z [(T+2)×d]. Without words there is nothing to do and
// the depth is 0.
func (c *Cell) Settle(x []float32, s *encoder.Scratch) encoder.Info {
	c.Feed(x, s)
	words := len(x) / c.dim
	clear(encoder.Bordered(s.Z, words, c.dim))
	return c.Iterate(words, s)
}

// Feed writes LN(x)·U + b into s.In [T×d].
func (c *Cell) Feed(x []float32, s *encoder.Scratch) {
	d := c.dim
	words := len(x) / d
	normed := s.Pre[:words*d]
	for at := 0; at < len(x); at += d {
		encoder.LayerNorm(normed[at:at+d], x[at:at+d])
	}
	c.u.GemmAdd(s.In, d, normed, d, words, c.bias, 0)
}

// Iterate takes steps from the state in s.Z, bordered, under the input in
// s.In, until the relative residual is below the threshold or the steps are
// used up.
func (c *Cell) Iterate(words int, s *encoder.Scratch) encoder.Info {
	if words == 0 {
		return encoder.Info{Converged: true}
	}
	d := c.dim
	z, pre := s.Z[d:(words+1)*d], s.Pre[:words*d]
	info := encoder.Info{}
	scale := 1 / (float64(c.opt.Damping) * float64(c.opt.Damping))
	for info.Depth < c.opt.MaxSteps {
		if info.Depth == c.opt.PlainSteps {
			return c.accelerate(words, s, info)
		}
		c.mix.GemmAdd(pre, d, s.Z, d, words, s.In, d)
		diff2, norm2 := kernel.TanhResidual(z, pre, c.opt.Damping)
		info.Depth++
		info.Residual = relative(diff2*scale, norm2)
		if info.Residual < c.opt.Threshold {
			info.Converged = true
			break
		}
	}
	return info
}

// relative is the relative residual; a state that is zero and stays zero is
// at its fixed point.
func relative(diff2, norm2 float64) float32 {
	if diff2 == 0 {
		return 0
	}
	return float32(math.Sqrt(diff2 / norm2))
}
