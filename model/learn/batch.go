package learn

// batch is the layout of the prompts of one step. Their words stand one after
// another with one border row between prompts, before the first and after the
// last. A border row is zero, so that the run of three rows around a word is
// what a cell step reads, across the whole batch in one product.
type batch struct {
	prompts int     // in this step
	rows    int     // words and borders
	first   []int32 // [prompts] row of the first word
	words   []int32 // [prompts]
	labels  []int32 // [prompts]
}

// reset empties the batch.
func (b *batch) reset() {
	b.prompts, b.rows = 0, 1
	b.first, b.words, b.labels = b.first[:0], b.words[:0], b.labels[:0]
}

// put adds a prompt with its number of words and returns its first row.
func (b *batch) put(words int, label int32) int {
	row := b.rows
	b.first = append(b.first, int32(row))
	b.words = append(b.words, int32(words))
	b.labels = append(b.labels, label)
	b.prompts++
	b.rows += words + 1
	return row
}

// span is the part of m [rows×d] that holds the words of prompt i.
func (b *batch) span(m []float32, i, d int) []float32 {
	from := int(b.first[i]) * d
	return m[from : from+int(b.words[i])*d]
}

// clearBorders zeroes the border rows of m [rows×d].
func (b *batch) clearBorders(m []float32, d int) {
	clear(m[:d])
	for i := range b.prompts {
		end := int(b.first[i]+b.words[i]) * d
		clear(m[end : end+d])
	}
}
