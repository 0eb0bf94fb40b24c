//go:build linux && cgo

package cuda

import (
	"fmt"
	"math/bits"

	"github.com/nexus-continuum/nexus/model/encoder"
	"github.com/nexus-continuum/nexus/model/text"
)

// figures of one prompt, as the kernels write them.
const (
	figureDepth = iota
	figureResidual
	figureConverged
	figureSaturation
	figureUnknown
	figures
)

// batch is the memory for prompts on their way. Its size is a power of two, and one graph
// is captured for each number of prompts and length of input, both rounded up.
type batch struct {
	prompts, features, dim int // room

	in   []int32   // pinned: first words, then offsets, then features
	out  []float32 // pinned: vectors, then figures
	up   address
	down address
	rows [4]address // scratch of the kernels, [rows×d] each

	graphs map[shape]uintptr
}

// shape is what a graph was captured for.
type shape struct{ prompts, features int }

// leastPrompts is the smallest batch that memory is made for.
const leastPrompts = 8

// blockThreads is the size of a block that works on a prompt: every word and column of a
// prompt of middling length at d = 128 at once.
const blockThreads = 512

// layout of the input: where offsets and features begin.
func (b *batch) offsetsAt() int  { return b.prompts + 1 }
func (b *batch) featuresAt() int { return b.offsetsAt() + b.prompts*text.MaxWords + 1 }

// Encode writes the unit vectors of prompts into h [len(prompts)×d], and how each was
// encoded into infos. It fails with ErrNotHere unless Load was last called with of. A prompt
// that needs more steps than the card takes is left to the caller: its Depth is −1.
func (c *Card) Encode(of encoder.Encoder, prompts []text.Prompt, h []float32, infos []encoder.Info) error {
	if len(prompts) == 0 {
		return nil
	}
	return c.do(func() error {
		n := c.net
		if n == nil || n.of != of {
			return ErrNotHere
		}
		features := 0
		for i := range prompts {
			features += len(prompts[i].Features)
		}
		if err := c.makeBatch(len(prompts), features, n.dim); err != nil {
			return err
		}
		b := c.batch
		s := shape{min(roundUp(len(prompts)), b.prompts), roundUp(features)}
		b.write(prompts, s)
		if err := c.run1(n, s); err != nil {
			return err
		}
		b.read(n, len(prompts), s, h, infos)
		return nil
	})
}

// roundUp is the next power of two.
func roundUp(n int) int { return 1 << bits.Len(uint(max(n, 1)-1)) }

// makeBatch makes sure that there is room.
func (c *Card) makeBatch(prompts, features, dim int) error {
	b := c.batch
	if b != nil && b.prompts >= prompts && b.features >= features && b.dim == dim {
		return nil
	}
	next := &batch{prompts: max(leastPrompts, roundUp(prompts)), features: roundUp(features), dim: dim, graphs: map[shape]uintptr{}}
	if b != nil {
		next.prompts, next.features = max(next.prompts, b.prompts), max(next.features, b.features)
		if err := b.close(c); err != nil {
			return err
		}
		c.batch = nil
	}
	if err := next.open(c); err != nil {
		if closed := next.close(c); closed != nil {
			return closed
		}
		return fmt.Errorf("make room for %d prompts: %w", prompts, err)
	}
	c.batch = next
	return nil
}

func (b *batch) open(c *Card) (err error) {
	ints, floats := b.featuresAt()+b.features, b.prompts*(b.dim+figures)
	if b.up, err = allocate[int32](c, "a batch", ints); err != nil {
		return err
	}
	if b.down, err = allocate[float32](c, "a batch", floats); err != nil {
		return err
	}
	for i := range b.rows {
		if b.rows[i], err = allocate[float32](c, "the states of a batch", (b.prompts*(text.MaxWords+1)+1)*b.dim); err != nil {
			return err
		}
	}
	if b.in, err = pinned[int32](c, ints); err != nil {
		return err
	}
	b.out, err = pinned[float32](c, floats)
	return err
}

func (b *batch) close(c *Card) error {
	if err := b.forget(c); err != nil {
		return err
	}
	b.freePinned(c)
	return c.free(append(b.rows[:], b.up, b.down)...)
}

// freePinned gives the host memory back. A failure leaves it to the end of the process.
func (b *batch) freePinned(c *Card) {
	if b == nil {
		return
	}
	freePinned(c, b.in)
	freePinned(c, b.out)
	b.in, b.out = nil, nil
}

// forget drops the graphs.
func (b *batch) forget(c *Card) error {
	if b == nil {
		return nil
	}
	for s, g := range b.graphs {
		delete(b.graphs, s)
		if err := c.driver.check("cuGraphExecDestroy", c.driver.cuGraphExecDestroy(g)); err != nil {
			return err
		}
	}
	return nil
}

// write lays the prompts out. Those that the shape has beyond them have no words.
func (b *batch) write(prompts []text.Prompt, s shape) {
	words, features := 0, 0
	offsets, ids := b.in[b.offsetsAt():b.featuresAt()], b.in[b.featuresAt():]
	b.in[0], offsets[0] = 0, 0
	for i := range prompts {
		p := &prompts[i]
		for t := range p.Words {
			offsets[words+t+1] = int32(features) + p.Offsets[t+1]
		}
		for j, f := range p.Features {
			ids[features+j] = int32(f)
		}
		words, features = words+p.Words, features+len(p.Features)
		b.in[i+1] = int32(words)
	}
	for i := len(prompts); i < s.prompts; i++ {
		b.in[i+1] = int32(words)
	}
}

// run1 takes one batch through the card: the graph of its shape, captured at first use.
func (c *Card) run1(n *net, s shape) error {
	d := c.driver
	g, ok := c.batch.graphs[s]
	if !ok {
		var err error
		if g, err = c.capture(func() error { return c.submit(n, s) }); err != nil {
			return err
		}
		c.batch.graphs[s] = g
	}
	if err := d.check("cuGraphLaunch", d.cuGraphLaunch(g, c.stream)); err != nil {
		return err
	}
	return c.wait()
}

// capture makes a graph of what f submits.
func (c *Card) capture(f func() error) (exec uintptr, err error) {
	d := c.driver
	if err := d.check("cuStreamBeginCapture", d.cuStreamBeginCapture(c.stream, captureThread)); err != nil {
		return 0, err
	}
	failed := f()
	var graph uintptr
	if err := d.check("cuStreamEndCapture", d.cuStreamEndCapture(c.stream, &graph)); err != nil || failed != nil {
		if failed != nil {
			return 0, failed
		}
		return 0, err
	}
	if err := d.check("cuGraphInstantiate", d.cuGraphInstantiateWithFlag(&exec, graph, 0)); err != nil {
		return 0, err
	}
	return exec, d.check("cuGraphDestroy", d.cuGraphDestroy(graph))
}

// captureThread forbids what a capture cannot hold on this thread only.
const captureThread = 1

// submit puts the work of one batch on the stream.
func (c *Card) submit(n *net, s shape) error {
	b, d := c.batch, c.driver
	ints := uint64(b.featuresAt()+s.features) * 4
	if err := d.check("cuMemcpyHtoDAsync", d.cuMemcpyHtoDAsync(b.up, pointer(b.in), ints, c.stream)); err != nil {
		return err
	}
	firsts, offsets, features := b.up, b.up+address(4*b.offsetsAt()), b.up+address(4*b.featuresAt())
	h, told := b.down, b.down+address(4*s.prompts*n.dim)
	var err error
	if n.u != 0 && n.blocks == 0 {
		err = c.launch(kernelFlow, s.prompts, 1, blockThreads, firsts, offsets, features, n.dim, n.table, n.seen, n.mix, n.u, n.bias, n.head,
			n.opt.Threshold, n.opt.Damping, n.plainSteps(), b.rows[0], b.rows[1], b.rows[2], b.rows[3], h, told)
	} else {
		err = c.launch(kernelLayer, s.prompts, 1, blockThreads, firsts, offsets, features, n.dim, n.table, n.seen, n.mix, n.bias, n.blocks, n.head,
			b.rows[0], b.rows[1], b.rows[2], b.rows[3], h, told)
	}
	if err != nil {
		return err
	}
	floats := uint64(s.prompts*(n.dim+figures)) * 4
	return d.check("cuMemcpyDtoHAsync", d.cuMemcpyDtoHAsync(pointer(b.out), b.down, floats, c.stream))
}

// read hands the results out.
func (b *batch) read(n *net, prompts int, s shape, h []float32, infos []encoder.Info) {
	copy(h[:prompts*n.dim], b.out)
	told := b.out[s.prompts*n.dim:]
	for i := range prompts {
		f := told[i*figures : (i+1)*figures]
		infos[i] = encoder.Info{
			Depth: int(f[figureDepth]), Residual: f[figureResidual], Converged: f[figureConverged] != 0,
			Saturation: f[figureSaturation], Unknown: f[figureUnknown],
		}
		if !infos[i].Converged && n.plainSteps() < n.opt.MaxSteps {
			infos[i].Depth = -1
		}
	}
}
