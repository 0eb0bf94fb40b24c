// Package learn trains encoders with gorgonia: cross-entropy of the cosines
// between prompts and one prototype for each answer.
//
// The graphs are made of operations of this package that call the kernels of
// package kernel themselves, so the process-wide setting gorgonia.Use is not
// needed and not touched. A Trainer computes on the calling goroutine and one
// of gorgonia's that ends before Step returns. It gives way to other threads
// every few tens of microseconds, see GiveWay.
package learn

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	G "gorgonia.org/gorgonia"

	"github.com/nexus-continuum/nexus/model/encoder"
	"github.com/nexus-continuum/nexus/model/kernel"
)

// ErrDiverged is returned by Step when the loss or a gradient is not finite.
// The weights stay as they were before the step, and further steps are refused.
var ErrDiverged = errors.New("training diverged")

// ErrClosed is returned by Step after Close.
var ErrClosed = errors.New("trainer is closed")

// Trainer runs one training. It is not safe for concurrent use; between steps
// the caller may do other things for as long as it likes.
type Trainer struct {
	opt    Options
	rng    *rand.Rand
	arch   architecture
	dim    int
	corpus *corpus
	table  *table
	source encoder.Base // the weights it started from, never changed

	head, prototypes, scale *param
	mul                     products
	batch                   batch
	index                   []int32 // [rows] word of the table's batch; -1 at borders
	machines                map[int]stepper

	order       []int32 // the examples in the order of this pass
	next        int
	done, total int
	failed      error
}

// stepper computes loss and gradients of the batch at hand.
type stepper interface {
	inputs() *machine
	step() error
	close() error
}

// New prepares to train a copy of w; w itself is never changed but must stay
// unchanged, too, until the trainer is closed. Labels are 0 to labels−1.
// prototypes [labels×d] are the directions to start from; rows of zeros, and
// all rows if it is nil, start as the mean of their examples. Examples without
// words are left out.
func New(w encoder.Weights, examples []Example, labels int, prototypes []float32, opt Options) (*Trainer, error) {
	opt = opt.withDefaults()
	if err := opt.check(); err != nil {
		return nil, err
	}
	d, buckets := w.Shape()
	if labels < 1 || (prototypes != nil && len(prototypes) != labels*d) {
		return nil, fmt.Errorf("%w: %d labels with prototypes of %d numbers at d = %d", ErrOptions, labels, len(prototypes), d)
	}
	c, err := newCorpus(examples, labels, buckets)
	if err != nil {
		return nil, err
	}
	arch, err := newArchitecture(w, opt)
	if err != nil {
		return nil, err
	}
	start, err := startPrototypes(w, examples, labels, prototypes)
	if err != nil {
		return nil, err
	}
	base := arch.base()
	t := &Trainer{
		opt: opt, arch: arch, dim: d, corpus: c,
		rng:      rand.New(rand.NewPCG(opt.Seed, 0x6c6561726e)),
		table:    newTable(c, base.Table, d),
		source:   *base,
		mul:      newProducts(),
		machines: make(map[int]stepper),
	}
	t.head = newParam("head", 3*d, d, slices.Clone(base.Head))
	t.scale = newParam("scale", 1, 1, slices.Clone(base.Scale))
	t.prototypes = newParam("prototypes", labels, d, start)
	n := len(c.labels)
	t.opt.Batch = min(opt.Batch, n)
	each := (n + t.opt.Batch - 1) / t.opt.Batch
	t.total = max(opt.Epochs*each, opt.MinSteps)
	t.order = make([]int32, n)
	for i := range t.order {
		t.order[i] = int32(i)
	}
	t.next = n
	return t, nil
}

// Done is the number of steps taken.
func (t *Trainer) Done() int { return t.done }

// Total is the number of steps of the whole run.
func (t *Trainer) Total() int { return t.total }

// Step takes one step on one minibatch, some 10 to 50 ms at d = 128, and
// returns its loss. After the last step it goes on at a learning rate of zero.
func (t *Trainer) Step(ctx context.Context) (loss float64, err error) {
	if t.failed != nil {
		return 0, t.failed
	}
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("training step %d: %w", t.done, err)
	}
	t.draw()
	s, err := t.stepper(rowClass(t.batch.rows))
	if err != nil {
		t.failed = err
		return 0, err
	}
	m := s.inputs()
	t.fill(m)
	if err := s.step(); err != nil {
		t.failed = err
		return 0, err
	}
	t.collect(m)
	loss = float64(m.loss[0])
	if !t.finite(loss) {
		t.failed = fmt.Errorf("%w at step %d of %d: loss %v", ErrDiverged, t.done, t.total, loss)
		return loss, t.failed
	}
	t.update()
	t.done++
	return loss, nil
}

// Weights are the trained weights, a copy around a full table.
func (t *Trainer) Weights() encoder.Weights {
	base := t.source.CloneBase()
	t.table.merge(base.Table, base.Seen)
	copy(base.Head, t.head.data)
	copy(base.Scale, t.scale.data)
	return t.arch.weights(base)
}

// Prototypes is a copy [labels×d] of the directions of the answers, of unit
// length.
func (t *Trainer) Prototypes() []float32 {
	p := slices.Clone(t.prototypes.data)
	for at := 0; at < len(p); at += t.dim {
		kernel.Normalise(p[at : at+t.dim])
	}
	return p
}

// Close frees the compiled graphs. Weights and Prototypes stay available.
func (t *Trainer) Close() error {
	var errs []error
	for _, m := range t.machines {
		errs = append(errs, m.close())
	}
	clear(t.machines)
	t.failed = ErrClosed
	return errors.Join(errs...)
}

// draw puts the next examples into the batch, with words dropped.
func (t *Trainer) draw() {
	t.batch.reset()
	t.table.reset()
	t.index = append(t.index[:0], -1)
	for range t.opt.Batch {
		if t.next == len(t.order) {
			t.rng.Shuffle(len(t.order), func(i, j int) { t.order[i], t.order[j] = t.order[j], t.order[i] })
			t.next = 0
		}
		i := int(t.order[t.next])
		t.next++
		words := t.corpus.example(i)
		kept := 0
		for _, w := range words {
			if t.opt.WordDropout > 0 && t.rng.Float64() < t.opt.WordDropout {
				continue
			}
			t.index = append(t.index, t.table.put(w, t.opt.GramDropout, t.rng))
			kept++
		}
		if kept == 0 {
			w := words[t.rng.IntN(len(words))]
			t.index = append(t.index, t.table.put(w, t.opt.GramDropout, t.rng))
			kept = 1
		}
		t.index = append(t.index, -1)
		t.batch.put(kept, t.corpus.labels[i])
	}
	t.table.embed()
}

// fill writes the batch into the inputs of m.
func (t *Trainer) fill(m *machine) {
	d := t.dim
	for r, w := range t.index {
		if w < 0 {
			clear(m.x[r*d : (r+1)*d])
		} else {
			copy(m.x[r*d:(r+1)*d], t.table.of(w))
		}
	}
	keep := float32(1 / (1 - t.opt.Dropout))
	for i := range m.mask {
		m.mask[i] = keep
		if t.opt.Dropout > 0 && t.rng.Float32() < float32(t.opt.Dropout) {
			m.mask[i] = 0
		}
	}
	t.arch.settle(&t.batch, m.x, m.z)
}

// collect adds the gradients of the word vectors up by distinct word.
func (t *Trainer) collect(m *machine) {
	d := t.dim
	for r, w := range t.index {
		if w >= 0 {
			kernel.Axpy(1, m.dx[r*d:(r+1)*d], t.table.gradOf(w))
		}
	}
}

// trained lists the dense parameters.
func (t *Trainer) trained() []*param {
	return append([]*param{t.head, t.prototypes, t.scale}, t.arch.params()...)
}

// finite tells whether loss and all gradients are.
func (t *Trainer) finite(loss float64) bool {
	sum := loss
	for _, p := range t.trained() {
		sum += float64(kernel.Dot(p.grad, p.grad))
	}
	sum += float64(kernel.Dot(t.table.grad, t.table.grad))
	return !math.IsNaN(sum) && !math.IsInf(sum, 0)
}

// Bounds of the scale of the cosines; outside, the softmax learns nothing.
const (
	minScale = 1
	maxScale = 64
)

// update moves all parameters.
func (t *Trainer) update() {
	decay := 0.5 * (1 + math.Cos(math.Pi*min(1, float64(t.done)/float64(t.total))))
	rule := newAdam(t.opt.Rate*decay, t.done+1)
	for _, p := range t.trained() {
		GiveWay()
		rule.update(p.data, p.grad, p.m, p.v)
	}
	t.scale.data[0] = min(max(t.scale.data[0], minScale), maxScale)
	if !t.opt.KeepWords {
		t.table.update(newAdam(t.opt.TableRate*decay, t.done+1))
	}
	t.arch.bound()
}

// stepper returns the compiled graph for a class of rows, made on first use.
func (t *Trainer) stepper(rows int) (stepper, error) {
	if s, ok := t.machines[rows]; ok {
		return s, nil
	}
	var s stepper
	var err error
	if _, flows := t.arch.(*flowing); flows && t.opt.Gradient == Implicit {
		s, err = t.newImplicit(rows)
	} else {
		s, err = t.newPhantom(rows)
	}
	if err != nil {
		return nil, err
	}
	t.machines[rows] = s
	return s, nil
}

// newMachine makes the memory for a class of rows.
func (t *Trainer) newMachine(rows int) *machine {
	d := t.dim
	return &machine{
		rows: rows,
		x:    make([]float32, rows*d), dx: make([]float32, rows*d), z: make([]float32, rows*d),
		mask: make([]float32, t.opt.Batch*3*d), loss: make([]float32, 1),
	}
}

// newBuilder starts a graph.
func (t *Trainer) newBuilder() *builder {
	return &builder{graph: G.NewGraph(), batch: &t.batch, mul: t.mul, dim: t.dim}
}
