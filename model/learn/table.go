package learn

import (
	"math/rand/v2"

	"github.com/nexus-continuum/nexus/model/kernel"
)

// table trains the rows of the word table that the examples touch. A step sums
// the vectors of the distinct words of its batch, and sends the gradients of
// the words back to the rows of their features: only those move (the sparse
// form of Adam).
type table struct {
	corpus *corpus
	dim    int
	value  []float32 // [slots×d]
	m, v   []float32
	seen   []float32 // [slots] steps that touched the slot

	// The batch at hand.
	words  []int32 // distinct words
	place  []int32 // [vocabulary] index in words + 1; 0 if absent
	grams  []int32 // features of word i, less dropout: slots[grams[i]:grams[i+1]]
	slots  []int32
	vector []float32 // [words×d]
	grad   []float32 // [words×d]

	touched  []int32 // distinct slots
	position []int32 // [slots] index in touched + 1
	rowGrad  []float32
}

// wordsAtOnce is how many words, or rows, are worked on without giving way: some
// ten microseconds.
const wordsAtOnce = 64

// newTable copies the rows that c names out of the full table.
func newTable(c *corpus, full []float32, dim int) *table {
	n := len(c.rows)
	t := &table{
		corpus: c, dim: dim,
		value: make([]float32, n*dim), m: make([]float32, n*dim), v: make([]float32, n*dim),
		seen:  make([]float32, n),
		place: make([]int32, len(c.grams)-1), position: make([]int32, n),
	}
	for s, row := range c.rows {
		copy(t.value[s*dim:(s+1)*dim], full[int(row)*dim:(int(row)+1)*dim])
	}
	return t
}

// reset forgets the batch at hand.
func (t *table) reset() {
	for _, w := range t.words {
		t.place[w] = 0
	}
	t.words, t.grams, t.slots = t.words[:0], append(t.grams[:0], 0), t.slots[:0]
}

// put makes sure that word w is in the batch and returns its index. Each of
// its features is dropped with probability drop; one always stays.
func (t *table) put(w int32, drop float64, rng *rand.Rand) int32 {
	if at := t.place[w]; at > 0 {
		return at - 1
	}
	t.words = append(t.words, w)
	t.place[w] = int32(len(t.words))
	before := len(t.slots)
	for _, s := range t.corpus.word(w) {
		if drop == 0 || rng.Float64() >= drop {
			t.slots = append(t.slots, s)
		}
	}
	if len(t.slots) == before {
		t.slots = append(t.slots, t.corpus.word(w)[0])
	}
	t.grams = append(t.grams, int32(len(t.slots)))
	return t.place[w] - 1
}

// embed sums the vectors of the words of the batch and clears their gradients.
func (t *table) embed() {
	d, n := t.dim, len(t.words)
	t.vector, t.grad = grown(t.vector, n*d), grown(t.grad, n*d)
	clear(t.vector)
	clear(t.grad)
	for i := range n {
		giveWayEach(wordsAtOnce, i)
		row := t.vector[i*d : (i+1)*d]
		for _, s := range t.slots[t.grams[i]:t.grams[i+1]] {
			kernel.Axpy(1, t.value[int(s)*d:(int(s)+1)*d], row)
		}
	}
}

// of is the vector of word i of the batch, and gradOf the place for its gradient.
func (t *table) of(i int32) []float32 { return t.vector[int(i)*t.dim : (int(i)+1)*t.dim] }

func (t *table) gradOf(i int32) []float32 { return t.grad[int(i)*t.dim : (int(i)+1)*t.dim] }

// update sends the gradients of the words to the rows of their features and
// moves those.
func (t *table) update(rule adam) {
	d := t.dim
	t.touched = t.touched[:0]
	for _, s := range t.slots {
		if t.position[s] == 0 {
			t.touched = append(t.touched, s)
			t.position[s] = int32(len(t.touched))
		}
	}
	t.rowGrad = grown(t.rowGrad, len(t.touched)*d)
	clear(t.rowGrad)
	for i := range t.words {
		giveWayEach(wordsAtOnce, i)
		g := t.gradOf(int32(i))
		for _, s := range t.slots[t.grams[i]:t.grams[i+1]] {
			at := int(t.position[s]-1) * d
			kernel.Axpy(1, g, t.rowGrad[at:at+d])
		}
	}
	for i, s := range t.touched {
		giveWayEach(wordsAtOnce, i)
		at := int(s) * d
		rule.update(t.value[at:at+d], t.rowGrad[i*d:(i+1)*d], t.m[at:at+d], t.v[at:at+d])
		t.seen[s]++
		t.position[s] = 0
	}
}

// merge writes the trained rows into a full table and adds up how often each
// was trained.
func (t *table) merge(full, seen []float32) {
	d := t.dim
	for s, row := range t.corpus.rows {
		copy(full[int(row)*d:(int(row)+1)*d], t.value[s*d:(s+1)*d])
		seen[row] += t.seen[s]
	}
}

// grown is s with length n, made anew where it is too small.
func grown(s []float32, n int) []float32 {
	if cap(s) < n {
		return make([]float32, n, n+n/2)
	}
	return s[:n]
}
