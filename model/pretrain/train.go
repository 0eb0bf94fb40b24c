package pretrain

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/blas"
)

// Options say how to pretrain.
type Options struct {
	Dim, Buckets int
	Steps        int     // batches
	Batch        int     // pairs a batch
	Rate         float64 // learning rate at the start; it falls linearly to 0
	Seed         uint64
	Gemm         blas.Float32Level3
}

// ErrEmpty is returned for a corpus without pairs.
var ErrEmpty = errors.New("no source has a pair of texts")

// Trainer pretrains. It is not safe for concurrent use.
type Trainer struct {
	opt     Options
	corpus  *Corpus
	sampler *sampler
	net     *net
	done    int
}

// New prepares to make a base of a corpus, which must not grow any more. The
// same corpus and options give the same base to the bit, on however many
// processors, and however often the work was put down and taken up in between.
func New(c *Corpus, o Options) (*Trainer, error) {
	if len(c.pools) == 0 {
		return nil, ErrEmpty
	}
	if o.Dim < 1 || o.Dim > maxDim || o.Dim%8 != 0 || o.Buckets != int(c.reader.Buckets) || o.Buckets > maxBuckets {
		return nil, fmt.Errorf("a table of %d×%d: want a width that is a multiple of 8 up to %d, and the %d buckets of the corpus",
			o.Buckets, o.Dim, maxDim, c.reader.Buckets)
	}
	if o.Steps < 1 || o.Batch < 2 || !(o.Rate > 0) {
		return nil, fmt.Errorf("%d steps of %d pairs at a rate of %g: want at least 1, at least 2, and above 0", o.Steps, o.Batch, o.Rate)
	}
	rng := rand.New(rand.NewPCG(o.Seed, streamStart))
	t := &Trainer{opt: o, corpus: c, sampler: newSampler(c), net: newNet(c, o.Dim, o.Buckets, o.Gemm, rng)}
	if c.teacher != nil {
		var err error
		if t.sampler.taught, err = c.teacher.folded(o.Dim, o.Gemm); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// Streams of random numbers that one seed gives. Those of a step depend on
// nothing but seed and step, so there is no state of theirs to keep.
const (
	streamStart = iota
	streamDraw
	streamDrop
	streams
)

func (t *Trainer) random(step int, stream uint64) *rand.Rand {
	return rand.New(rand.NewPCG(t.opt.Seed, uint64(step+1)*streams+stream))
}

// Done is the number of steps taken.
func (t *Trainer) Done() int { return t.done }

// Total is the number of steps of the whole run.
func (t *Trainer) Total() int { return t.opt.Steps }

// Run takes all steps that are left and calls each, if it is not nil, after
// every one with the loss in nats. An error of each ends it.
func (t *Trainer) Run(ctx context.Context, each func(step int, loss float64) error) error {
	// The next batch is drawn while this one is computed.
	draws, stop, done := make(chan *draw, 1), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for step := t.done; step < t.opt.Steps; step++ {
			select {
			case draws <- t.sampler.next(t.opt.Batch, t.random(step, streamDraw)):
			case <-stop:
				return
			}
		}
	}()
	defer func() { close(stop); <-done }()
	for t.done < t.opt.Steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		rate := t.opt.Rate * (1 - float64(t.done)/float64(t.opt.Steps))
		loss := t.net.step(<-draws, rate, t.random(t.done, streamDrop))
		if math.IsNaN(loss) || math.IsInf(loss, 0) {
			return fmt.Errorf("step %d: the loss is %v; a lower rate than %g may help", t.done, loss, t.opt.Rate)
		}
		t.done++
		if each != nil {
			if err := each(t.done, loss); err != nil {
				return err
			}
		}
	}
	return nil
}

// Base is what was made so far. It shares its table with the trainer. The matrix
// that the loss saw is left behind, and the head of the base is the identity: a
// linear map under a contrastive loss collapses to few directions (Jing et al.,
// 2110.09348), while what goes into it keeps all of them; in SimCLR (Chen et
// al., 2002.05709), too, that is the better representation.
func (t *Trainer) Base() *Base {
	d := t.opt.Dim
	head := make([]float32, d*d)
	for i := range d {
		head[i*d+i] = 1
	}
	return &Base{Dim: d, Buckets: t.opt.Buckets, Table: t.net.table, Head: head}
}
