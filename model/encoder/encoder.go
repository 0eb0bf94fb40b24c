// Package encoder holds what every architecture shares: the interface by which
// the rest of the model sees it, the table of word features, layer norm and
// the head that turns word states into one unit vector.
package encoder

import (
	"errors"
	"fmt"

	"github.com/nexus-continuum/nexus/model/text"
)

// Encoder turns prompts into unit vectors. It is immutable and safe for
// concurrent use as long as every caller brings its own Scratch.
type Encoder interface {
	// Dim is the state size d.
	Dim() int
	// Buckets is the number of rows of the feature table; the features of a
	// prompt must be below it.
	Buckets() int
	// NewScratch makes the working memory of one caller.
	NewScratch() *Scratch
	// Words writes the vectors of the words of p, each by itself, into s.X
	// [T×d] and returns the share of their features that no training step
	// touched. It allocates nothing.
	Words(p *text.Prompt, s *Scratch) (unknown float32)
	// Encode writes the unit vector of p into h [d]. A prompt without words
	// has the zero vector, which is similar to nothing. It allocates nothing.
	Encode(p *text.Prompt, h []float32, s *Scratch) Info
}

// Info tells how one prompt was encoded.
type Info struct {
	// Depth is the number of steps (flowing) or blocks (layered) taken: a
	// measure of work, not of confidence.
	Depth int
	// Residual is the last relative change ‖f(z)−z‖/‖f(z)‖; 0 where there is
	// nothing to iterate.
	Residual float32
	// Converged tells whether Residual came below the threshold in time.
	Converged bool
	// Saturation is the mean of 1−z² over the states, 0 to 1; low where the
	// states sit at the flat ends of tanh.
	Saturation float32
	// Unknown is the share of the prompt's features that no training step ever
	// touched, 0 to 1; 1 for a prompt without words.
	Unknown float32
}

// Weights are the trainable numbers of one architecture.
type Weights interface {
	// Shape is the state size d and the number of buckets.
	Shape() (dim, buckets int)
	// Sections are named views in a fixed order: writing through Data sets the
	// weights.
	Sections() []Section
	// Clone is a deep copy.
	Clone() Weights
	// Encoder packs the weights for use. It shares the table with them, so they
	// must not be changed afterwards.
	Encoder(Options) (Encoder, error)
}

// Section is one named part of the weights.
type Section struct {
	Name  string
	Shape []int
	Data  []float32 // row-major
}

// Options are the settings of the iteration. Architectures that do not iterate
// ignore them.
type Options struct {
	// Threshold on the relative residual; 0 means 1e-4.
	Threshold float32
	// MaxSteps before the prompt counts as not converged; 0 means 50.
	MaxSteps int
	// Damping α in (0,1]: z ← (1−α)·z + α·f(z); 0 means 1, the plain iteration.
	Damping float32
	// PlainSteps are taken before Anderson acceleration starts; 0 means 12, and
	// MaxSteps or more that it never does.
	PlainSteps int
}

// Defaults of Options.
const (
	DefaultThreshold = 1e-4
	DefaultMaxSteps  = 50
	// DefaultPlainSteps: trained cells are done by then, and on them
	// acceleration saves next to nothing.
	DefaultPlainSteps = 12
)

// WithDefaults fills in what was left zero.
func (o Options) WithDefaults() Options {
	if o.Threshold == 0 {
		o.Threshold = DefaultThreshold
	}
	if o.MaxSteps == 0 {
		o.MaxSteps = DefaultMaxSteps
	}
	if o.Damping == 0 {
		o.Damping = 1
	}
	if o.PlainSteps == 0 {
		o.PlainSteps = DefaultPlainSteps
	}
	return o
}

// Check returns ErrOptions for settings out of range.
func (o Options) Check() error {
	switch {
	case !(o.Threshold > 0 && o.Threshold < 1):
		return fmt.Errorf("%w: threshold %v, want above 0 and below 1", ErrOptions, o.Threshold)
	case o.MaxSteps < 1:
		return fmt.Errorf("%w: %d steps, want at least 1", ErrOptions, o.MaxSteps)
	case !(o.Damping > 0 && o.Damping <= 1):
		return fmt.Errorf("%w: damping %v, want above 0 and at most 1", ErrOptions, o.Damping)
	case o.PlainSteps < 0:
		return fmt.Errorf("%w: %d plain steps, want at least 0", ErrOptions, o.PlainSteps)
	}
	return nil
}

// ErrShape is returned for weights whose sections do not fit together.
var ErrShape = errors.New("weights do not have the expected shape")

// ErrNotFinite is returned for weights that hold a NaN or an infinity.
var ErrNotFinite = errors.New("weights are not finite")

// ErrOptions is returned for settings outside their range.
var ErrOptions = errors.New("encoder options out of range")
