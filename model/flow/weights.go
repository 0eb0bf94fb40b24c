// Package flow is the flowing architecture: one contractive cell, brought to
// its fixed point for every prompt (a deep equilibrium model, Bai et al.,
// 1909.01377), with a certificate that the fixed point exists and is unique.
//
//	z_t ← tanh( z_{t−1} A + z_t W + z_{t+1} C + LN(x_t) U + b ),  z = 0 outside the prompt
package flow

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/nexus-continuum/nexus/model/encoder"
)

// Weights of the cell, the word table and the head. Matrices act on row
// vectors from the right and are stored row-major [in×out].
type Weights struct {
	encoder.Base
	// Mix [3d×d] is A above W above C: what the word before, the word itself
	// and the word after send. One step over a bordered z is one product with it.
	Mix []float32
	U   []float32 // [d×d] what the layer-normed word vector sends
	B   []float32 // [d]
}

// Start norms of an untrained cell.
const (
	startMix  = 0.2 // of each of A, W, C; together below Rho
	startBias = 0.0
)

// New makes untrained weights; the same seed gives the same weights.
func New(dim, buckets int, seed uint64) *Weights {
	rng := rand.New(rand.NewPCG(seed, 0x666c6f77))
	w := &Weights{
		Base: encoder.NewBase(dim, buckets, rng),
		Mix:  make([]float32, 3*dim*dim),
		U:    make([]float32, dim*dim),
		B:    make([]float32, dim),
	}
	std := 1 / math.Sqrt(float64(dim))
	for _, m := range [][]float32{w.A(), w.W(), w.C()} {
		// A square Gaussian matrix with variance 1/d has spectral norm 2.
		encoder.Gaussian(m, startMix/2*std, rng)
	}
	encoder.Gaussian(w.U, MaxU/2*std, rng)
	encoder.Gaussian(w.B, startBias, rng)
	w.Cap()
	return w
}

// A is the view [d×d] of Mix that acts on the word before.
func (w *Weights) A() []float32 { return w.Mix[:w.Dim*w.Dim] }

// W is the view [d×d] of Mix that acts on the word itself.
func (w *Weights) W() []float32 { return w.Mix[w.Dim*w.Dim : 2*w.Dim*w.Dim] }

// C is the view [d×d] of Mix that acts on the word after.
func (w *Weights) C() []float32 { return w.Mix[2*w.Dim*w.Dim:] }

// Sections implements encoder.Weights.
func (w *Weights) Sections() []encoder.Section {
	d := w.Dim
	return append(w.Base.Sections(),
		encoder.Section{Name: "mix", Shape: []int{3 * d, d}, Data: w.Mix},
		encoder.Section{Name: "u", Shape: []int{d, d}, Data: w.U},
		encoder.Section{Name: "b", Shape: []int{d}, Data: w.B},
	)
}

// Clone implements encoder.Weights.
func (w *Weights) Clone() encoder.Weights {
	return &Weights{
		Base: w.CloneBase(),
		Mix:  slices.Clone(w.Mix), U: slices.Clone(w.U), B: slices.Clone(w.B),
	}
}

// Load makes weights from stored sections and verifies their certificate.
func Load(dim, buckets int, stored []encoder.Section) (*Weights, Certificate, error) {
	w := &Weights{
		Base: encoder.EmptyBase(dim, buckets),
		Mix:  make([]float32, 3*dim*dim), U: make([]float32, dim*dim), B: make([]float32, dim),
	}
	if err := encoder.Fill(w, stored); err != nil {
		return nil, Certificate{}, fmt.Errorf("load flowing weights: %w", err)
	}
	if err := encoder.CheckFinite(w); err != nil {
		return nil, Certificate{}, fmt.Errorf("load flowing weights: %w", err)
	}
	c := w.Certify()
	if err := c.Verify(); err != nil {
		return nil, c, fmt.Errorf("load flowing weights: %w", err)
	}
	return w, c, nil
}
