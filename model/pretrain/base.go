package pretrain

import (
	"fmt"

	"github.com/nexus-continuum/nexus/model/encoder"
)

// Base is a pretrained mean path: h = normalise( ReLU(mean_t x_t)·Head ), with
// x_t the sum of the table's rows of word t.
type Base struct {
	Dim, Buckets int
	Table        []float32 // [buckets×d]
	Head         []float32 // [d×d]
	Recipe       Recipe
}

// Recipe tells how a base was made; it travels in its file.
type Recipe struct {
	Version int      `json:"version"` // of the constants and the drawing of batches
	Steps   int      `json:"steps"`
	Batch   int      `json:"batch"`
	Rate    float64  `json:"rate"`
	Seed    uint64   `json:"seed"`
	Sources []Source `json:"sources"`
	Teacher *Source  `json:"teacher,omitempty"` // the file of its vectors; nil without one
}

// recipeVersion changes with every constant, and with the order in which random
// numbers are used: the same version, options and sources give the same base.
const recipeVersion = 3

// Source is one input file of a base.
type Source struct {
	Name    string `json:"name"`
	SHA256  string `json:"sha256"`
	Lines   int    `json:"lines"`
	Licence string `json:"licence,omitempty"`
}

// NewRecipe tells how a trainer with these options makes its base.
func NewRecipe(o Options, sources []Source) Recipe {
	return Recipe{Version: recipeVersion, Steps: o.Steps, Batch: o.Batch, Rate: o.Rate, Seed: o.Seed, Sources: sources}
}

// Into copies the table and P₁, the part of the head that acts on the mean of
// the words, into fresh weights. All else in them stays as it was. It returns
// encoder.ErrShape for weights of another shape.
func (b *Base) Into(w encoder.Weights) error {
	if d, buckets := w.Shape(); d != b.Dim || buckets != b.Buckets {
		return fmt.Errorf("%w: a base of %d×%d does not fit a table of %d×%d", encoder.ErrShape, b.Buckets, b.Dim, buckets, d)
	}
	for _, s := range w.Sections() {
		switch s.Name {
		case "table":
			copy(s.Data, b.Table)
		case "head": // P₁ is its first d rows
			copy(s.Data, b.Head)
		}
	}
	return nil
}
