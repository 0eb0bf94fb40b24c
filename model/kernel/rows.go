package kernel

import "fmt"

// panelRows is the number of rows whose quantised forms lie interleaved in one panel, which is also the number of bits in a
// word of a Bitmap.
const panelRows = 64

// BlockRows is the number of rows that Rows keeps together and scans in one go.
const BlockRows = 512

const blockRows = BlockRows

const blockPanels = blockRows / panelRows

// Rows is an immutable list of float32 vectors of one length d with their 8-bit forms, made to be scanned. Append returns a
// longer list that shares all full blocks with the old one, so that a reader of the old one is never disturbed.
// Memory: 5 bytes an element and 4 a row.
type Rows struct {
	d, n   int
	blocks []*block
}

// block holds up to blockRows rows. Bytes beyond its last row are those of zero vectors.
type block struct {
	n      int
	rows   []float32 // [n×d]
	panels []uint8   // per panel [⌈d/4⌉][64 rows][4 columns]: element + 128
	scales []float32 // [blockRows]: element ≈ (byte − 128)·scale
}

// NewRows returns an empty list of vectors of length d.
func NewRows(d int) *Rows {
	if d < 1 {
		panic(fmt.Sprintf("kernel: rows of length %d", d))
	}
	return &Rows{d: d}
}

// Append returns a list of the rows of r followed by those of vectors, [m×d], which is copied. r stays as it is. It costs
// time and memory for m rows and at most 512 others.
func (r *Rows) Append(vectors []float32) *Rows {
	if len(vectors)%r.d != 0 {
		panic(fmt.Sprintf("kernel: append %d elements to rows of length %d", len(vectors), r.d))
	}
	m := len(vectors) / r.d
	out := &Rows{d: r.d, n: r.n + m, blocks: make([]*block, 0, (r.n+m+blockRows-1)/blockRows)}
	out.blocks = append(out.blocks, r.blocks...)
	if last := len(out.blocks) - 1; m > 0 && last >= 0 && out.blocks[last].n < blockRows {
		b := out.blocks[last]
		take := min(m, blockRows-b.n)
		out.blocks[last] = b.grow(r.d, vectors[:take*r.d])
		vectors = vectors[take*r.d:]
	}
	for len(vectors) > 0 {
		take := min(blockRows*r.d, len(vectors))
		out.blocks = append(out.blocks, (&block{}).grow(r.d, vectors[:take]))
		vectors = vectors[take:]
	}
	return out
}

// Len returns the number of rows.
func (r *Rows) Len() int { return r.n }

// Dim returns d, the length of a row.
func (r *Rows) Dim() int { return r.d }

// Row returns row i; it must not be written to.
func (r *Rows) Row(i int) []float32 {
	if i < 0 || i >= r.n {
		panic(fmt.Sprintf("kernel: row %d of %d", i, r.n))
	}
	at := i % blockRows * r.d
	return r.blocks[i/blockRows].rows[at : at+r.d : at+r.d]
}

// Blocks returns the number of blocks. All but the last are full.
func (r *Rows) Blocks() int { return len(r.blocks) }

// Block returns the up to BlockRows rows of block i, one after another; it must not be written to. A
// full block is the same memory in every list that shares it.
func (r *Rows) Block(i int) []float32 { return r.blocks[i].rows }

// grow returns a block with the rows of b and of vectors, which fit.
func (b *block) grow(d int, vectors []float32) *block {
	m := len(vectors) / d
	groups := (d + 3) / 4
	n := b.n + m
	panels := (n + panelRows - 1) / panelRows
	g := &block{
		n:      n,
		rows:   make([]float32, n*d),
		panels: make([]uint8, panels*groups*4*panelRows),
		scales: make([]float32, panels*panelRows),
	}
	copy(g.rows, b.rows)
	copy(g.rows[b.n*d:], vectors)
	copy(g.scales, b.scales)
	had := copy(g.panels, b.panels)
	for i := had; i < len(g.panels); i++ {
		g.panels[i] = zeroByte
	}
	for i := range m {
		row := b.n + i
		panel := g.panels[row/panelRows*groups*4*panelRows:]
		g.scales[row] = quantiseRow(panel, row%panelRows, vectors[i*d:(i+1)*d])
	}
	return g
}
