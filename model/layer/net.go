package layer

import (
	"fmt"
	"slices"

	"github.com/nexus-continuum/nexus/model/encoder"
	"github.com/nexus-continuum/nexus/model/kernel"
	"github.com/nexus-continuum/nexus/model/text"
)

// Net is the blocks with their weights packed for inference. It is immutable
// and safe for concurrent use.
type Net struct {
	*encoder.Front
	blocks []packed
}

type packed struct {
	mix  *kernel.Packed // [3d×d]
	bias []float32
}

var _ encoder.Encoder = (*Net)(nil)

// Encoder implements encoder.Weights. Nothing is iterated here, so the options
// are only checked.
func (w *Weights) Encoder(opt encoder.Options) (encoder.Encoder, error) {
	if err := opt.WithDefaults().Check(); err != nil {
		return nil, err
	}
	return w.Net()
}

// Net packs the weights for use. It shares the table with them, so they must
// not be changed afterwards.
func (w *Weights) Net() (*Net, error) {
	d := w.Dim
	n := &Net{}
	for i, b := range w.Blocks {
		if len(b.Mix) != 3*d*d || len(b.B) != d {
			return nil, fmt.Errorf("%w: d %d, block %d has mix %d, b %d", encoder.ErrShape, d, i, len(b.Mix), len(b.B))
		}
		n.blocks = append(n.blocks, packed{kernel.Pack(3*d, d, b.Mix), slices.Clone(b.B)})
	}
	front, err := encoder.NewFront(&w.Base)
	if err != nil {
		return nil, err
	}
	n.Front = front
	return n, nil
}

// Encode implements encoder.Encoder. Depth is the number of blocks, which every
// prompt passes: there is nothing to converge.
func (n *Net) Encode(p *text.Prompt, h []float32, s *encoder.Scratch) encoder.Info {
	d, words := n.Dim(), p.Words
	info := encoder.Info{Depth: len(n.blocks), Converged: true, Unknown: n.Words(p, s)}
	if words == 0 {
		info.Depth = 0
		n.Head(nil, h, s)
		return info
	}
	z, pre := s.Z[:words*d], s.In[:words*d]
	normRows(z, s.X[:words*d], d)
	for _, b := range n.blocks {
		normed := encoder.Bordered(s.Pre, words, d)
		normRows(normed[d:], z, d)
		b.mix.GemmAdd(pre, d, normed, d, words, b.bias, 0)
		kernel.Tanh(pre)
		kernel.Axpy(1, pre, z)
	}
	n.Head(z, h, s)
	if len(n.blocks) > 0 {
		info.Saturation = 1 - kernel.Dot(pre, pre)/float32(len(pre))
	}
	return info
}

func normRows(dst, src []float32, d int) {
	for at := 0; at < len(src); at += d {
		encoder.LayerNorm(dst[at:at+d], src[at:at+d])
	}
}
