package encoder

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/nexus-continuum/nexus/model/kernel"
	"github.com/nexus-continuum/nexus/model/text"
)

// Names of the sections that every architecture has.
const (
	sectionTable = "table"
	sectionSeen  = "seen"
	sectionHead  = "head"
	sectionScale = "scale"
)

// Start values of a model that nobody trained yet.
const (
	tableStd  = 0.1  // of one table entry
	headGain  = 1.0  // ‖P₁ x‖ ≈ headGain·‖x‖
	stateGain = 0.02 // P₂ starts near zero: at first the mean of the words decides
	scale     = 16.0 // of the cosines in the softmax
)

// Base is what the weights of every architecture hold. Matrices act on row
// vectors from the right, y = x·M, and are stored row-major [in×out].
type Base struct {
	Dim     int
	Buckets int
	// Table [buckets×d] has one row for each bucket of features.
	Table []float32
	// Seen [buckets] counts the training steps that touched a row.
	Seen []float32
	// Head [3d×d] is P₁ (the first d rows, for the mean of the words) above P₂
	// (2d rows, for mean and maximum of the states).
	Head []float32
	// Scale [1] multiplies the cosines in the training softmax.
	Scale []float32
}

// NewBase makes the base of an untrained model; rng draws the start values.
func NewBase(dim, buckets int, rng *rand.Rand) Base {
	b := EmptyBase(dim, buckets)
	b.Scale[0] = scale
	Gaussian(b.Table, tableStd, rng)
	Gaussian(b.P1(), headGain/math.Sqrt(float64(dim)), rng)
	Gaussian(b.P2(), stateGain/math.Sqrt(float64(dim)), rng)
	return b
}

// EmptyBase makes a base of zeros, to be filled from storage.
func EmptyBase(dim, buckets int) Base {
	return Base{
		Dim: dim, Buckets: buckets,
		Table: make([]float32, dim*buckets),
		Seen:  make([]float32, buckets),
		Head:  make([]float32, 3*dim*dim),
		Scale: make([]float32, 1),
	}
}

// P1 is the view [d×d] of the head that acts on ReLU(mean x).
func (b *Base) P1() []float32 { return b.Head[:b.Dim*b.Dim] }

// P2 is the view [2d×d] of the head that acts on [mean z, max z].
func (b *Base) P2() []float32 { return b.Head[b.Dim*b.Dim:] }

// Shape implements Weights.
func (b *Base) Shape() (dim, buckets int) { return b.Dim, b.Buckets }

// Sections are those of the base alone.
func (b *Base) Sections() []Section {
	return []Section{
		{sectionTable, []int{b.Buckets, b.Dim}, b.Table},
		{sectionSeen, []int{b.Buckets}, b.Seen},
		{sectionHead, []int{3 * b.Dim, b.Dim}, b.Head},
		{sectionScale, []int{1}, b.Scale},
	}
}

// CloneBase is a deep copy.
func (b *Base) CloneBase() Base {
	c := *b
	c.Table, c.Seen = slices.Clone(b.Table), slices.Clone(b.Seen)
	c.Head, c.Scale = slices.Clone(b.Head), slices.Clone(b.Scale)
	return c
}

// Gaussian fills w with draws from N(0, std²).
func Gaussian(w []float32, std float64, rng *rand.Rand) {
	for i := range w {
		w[i] = float32(rng.NormFloat64() * std)
	}
}

// words writes the vectors of the words of p, the sums of the rows of their
// features, into x [T×d], and returns the share of features never trained.
func (b *Base) words(p *text.Prompt, x []float32) (unknown float32) {
	d := b.Dim
	x = x[:p.Words*d]
	clear(x)
	for t := range p.Words {
		kernel.AddRows(x[t*d:(t+1)*d], b.Table, p.Features[p.Offsets[t]:p.Offsets[t+1]])
	}
	if len(p.Features) == 0 {
		return 1
	}
	fresh := 0
	for _, f := range p.Features {
		if b.Seen[f] == 0 {
			fresh++
		}
	}
	return float32(fresh) / float32(len(p.Features))
}
