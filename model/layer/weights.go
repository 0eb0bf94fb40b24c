// Package layer is the layered architecture: distinct blocks, one after
// another, of the same mixing of neighbouring words that the flowing cell
// repeats, with residuals and layer norm. It is trained by ordinary
// backpropagation and shares table and head with the flowing architecture.
//
//	z⁰ = LN(x),  zⁿ = zⁿ⁻¹ + tanh( LN(zⁿ⁻¹)_{t−1} A_n + LN(zⁿ⁻¹)_t W_n + LN(zⁿ⁻¹)_{t+1} C_n + b_n )
package layer

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/nexus-continuum/nexus/model/encoder"
)

// Block is one layer. Mix [3d×d] is A above W above C, for the word before,
// the word itself and the word after; B is [d].
type Block struct {
	Mix []float32
	B   []float32
}

// Weights of the blocks, the word table and the head. Matrices act on row
// vectors from the right and are stored row-major [in×out].
type Weights struct {
	encoder.Base
	Blocks []Block
}

var _ encoder.Weights = (*Weights)(nil)

// startGain is the standard deviation before tanh in an untrained block.
const startGain = 0.5

// New makes untrained weights; the same seed gives the same weights.
func New(dim, buckets, blocks int, seed uint64) *Weights {
	rng := rand.New(rand.NewPCG(seed, 0x6c61796572))
	w := &Weights{Base: encoder.NewBase(dim, buckets, rng), Blocks: empty(dim, blocks)}
	for _, b := range w.Blocks {
		encoder.Gaussian(b.Mix, startGain/math.Sqrt(float64(3*dim)), rng)
	}
	return w
}

func empty(dim, blocks int) []Block {
	made := make([]Block, blocks)
	for i := range made {
		made[i] = Block{Mix: make([]float32, 3*dim*dim), B: make([]float32, dim)}
	}
	return made
}

// Sections implements encoder.Weights.
func (w *Weights) Sections() []encoder.Section {
	d, sections := w.Dim, w.Base.Sections()
	for i, b := range w.Blocks {
		sections = append(sections,
			encoder.Section{Name: fmt.Sprintf("mix%d", i), Shape: []int{3 * d, d}, Data: b.Mix},
			encoder.Section{Name: fmt.Sprintf("b%d", i), Shape: []int{d}, Data: b.B},
		)
	}
	return sections
}

// Clone implements encoder.Weights.
func (w *Weights) Clone() encoder.Weights {
	return &Weights{Base: w.CloneBase(), Blocks: CloneBlocks(w.Blocks)}
}

// CloneBlocks is a deep copy.
func CloneBlocks(blocks []Block) []Block {
	c := make([]Block, len(blocks))
	for i, b := range blocks {
		c[i] = Block{Mix: slices.Clone(b.Mix), B: slices.Clone(b.B)}
	}
	return c
}

// Load makes weights from stored sections.
func Load(dim, buckets, blocks int, stored []encoder.Section) (*Weights, error) {
	w := &Weights{Base: encoder.EmptyBase(dim, buckets), Blocks: empty(dim, blocks)}
	if err := encoder.Fill(w, stored); err != nil {
		return nil, fmt.Errorf("load layered weights: %w", err)
	}
	if err := encoder.CheckFinite(w); err != nil {
		return nil, fmt.Errorf("load layered weights: %w", err)
	}
	return w, nil
}
