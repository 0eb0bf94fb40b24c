package encoder

import "github.com/nexus-continuum/nexus/model/text"

// Scratch is the working memory of one caller of Encode, for prompts of up to
// text.MaxWords words. States are bordered: a row of zeros stands before the
// first and after the last word, so that the rows of a word and its two
// neighbours are one run of 3d numbers.
type Scratch struct {
	X    []float32 // [T×d] vectors of the words
	In   []float32 // [T×d] what the mixing sees of them
	Z    []float32 // [(T+2)×d] states, bordered
	Pre  []float32 // [(T+2)×d] states before tanh, or bordered input of a block
	Pool []float32 // [3d] ReLU(mean x), mean z, max z: the input of the head

	// Extra is working memory of the architecture, made on first use.
	Extra [][]float32
}

// NewScratch makes the working memory for state size dim.
func NewScratch(dim int) *Scratch {
	const rows = text.MaxWords
	return &Scratch{
		X: make([]float32, rows*dim), In: make([]float32, rows*dim),
		Z: make([]float32, (rows+2)*dim), Pre: make([]float32, (rows+2)*dim),
		Pool: make([]float32, 3*dim),
	}
}

// Need makes sure that Extra has n slices as long as X.
func (s *Scratch) Need(n int) {
	for len(s.Extra) < n {
		s.Extra = append(s.Extra, make([]float32, len(s.X)))
	}
}

// Bordered prepares z as the states of n words: it clears the two borders and
// returns all n+2 rows.
func Bordered(z []float32, words, dim int) []float32 {
	z = z[:(words+2)*dim]
	clear(z[:dim])
	clear(z[(words+1)*dim:])
	return z
}
