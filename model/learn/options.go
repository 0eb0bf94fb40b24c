package learn

import (
	"errors"
	"fmt"

	"github.com/nexus-continuum/nexus/model/text"
)

// Gradient is how the gradient passes through the fixed point of the flowing
// architecture.
type Gradient uint8

const (
	// Phantom differentiates the last few cell steps only (Geng et al.,
	// 2111.05177). Within 0.3 % of the exact gradient at two steps, and the
	// cheapest.
	Phantom Gradient = iota
	// Implicit solves for the exact gradient by an adjoint fixed point (Bai et
	// al., 1909.01377).
	Implicit
)

// Options of a training run. The zero value of a field means its default.
type Options struct {
	Seed uint64

	Epochs   int     // passes over the examples; 8
	MinSteps int     // few examples get more passes, up to this many steps; 120
	Batch    int     // examples a step; 64
	Rate     float64 // of Adam for matrices and prototypes, decays to 0 as a cosine; 2e-3
	// TableRate is that of the word table; 2e-3.
	TableRate float64

	Dropout      float64 // of the input of the head; 0.4
	WordDropout  float64 // 0.1
	GramDropout  float64 // of the features of a word; 0.1
	Smoothing    float64 // of the labels; 0.1
	Gradient     Gradient
	PhantomSteps int // cell steps with a gradient; 2

	// Threshold and MaxSteps of the fixed point while training: a rough state
	// is enough, since the steps with a gradient refine it; 1e-3 and 50.
	Threshold float32
	MaxSteps  int
	// PlainSteps of it before acceleration, see encoder.Options.
	PlainSteps int

	// KeepWords trains the matrices and prototypes only.
	KeepWords bool
}

// None switches a dropout off, whose zero value means the default.
const None = -1

// ErrOptions is returned for settings or examples out of range.
var ErrOptions = errors.New("training options out of range")

func (o Options) withDefaults() Options {
	def := func(v *float64, d float64) {
		switch *v {
		case 0:
			*v = d
		case None:
			*v = 0
		}
	}
	count := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	count(&o.Epochs, 8)
	count(&o.MinSteps, 120)
	count(&o.Batch, 64)
	count(&o.PhantomSteps, 2)
	count(&o.MaxSteps, 50)
	def(&o.Rate, 2e-3)
	def(&o.TableRate, 2e-3)
	def(&o.Dropout, 0.4)
	def(&o.WordDropout, 0.1)
	def(&o.GramDropout, 0.1)
	def(&o.Smoothing, 0.1)
	if o.Threshold == 0 {
		o.Threshold = 1e-3
	}
	return o
}

func (o Options) check() error {
	share := func(name string, v float64) error {
		if !(v >= 0 && v < 1) {
			return fmt.Errorf("%w: %s %v, want from 0 to below 1", ErrOptions, name, v)
		}
		return nil
	}
	switch {
	case o.Epochs < 1 || o.MinSteps < 1 || o.PhantomSteps < 1 || o.MaxSteps < 1 || o.PlainSteps < 0:
		return fmt.Errorf("%w: epochs %d, steps %d, phantom steps %d, flow steps %d, want at least 1",
			ErrOptions, o.Epochs, o.MinSteps, o.PhantomSteps, o.MaxSteps)
	case o.Batch < 1 || o.Batch > maxBatch:
		return fmt.Errorf("%w: batch %d, want 1 to %d", ErrOptions, o.Batch, maxBatch)
	case !(o.Rate > 0) || !(o.TableRate > 0) || !(o.Threshold > 0):
		return fmt.Errorf("%w: rates %v and %v, threshold %v, want above 0", ErrOptions, o.Rate, o.TableRate, o.Threshold)
	case o.Gradient > Implicit:
		return fmt.Errorf("%w: unknown gradient %d", ErrOptions, o.Gradient)
	}
	return errors.Join(share("dropout", o.Dropout), share("word dropout", o.WordDropout),
		share("n-gram dropout", o.GramDropout), share("smoothing", o.Smoothing))
}

// maxBatch bounds the memory of a step: its rows are at most
// maxBatch·(text.MaxWords+1).
const maxBatch = 1024

// Example is one prompt and the number of its answer, 0 ≤ Label < labels.
type Example struct {
	Prompt text.Prompt
	Label  int
}
