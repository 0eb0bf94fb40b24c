package pretrain

import (
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"

	"gonum.org/v1/gonum/blas"
)

// Constants of the loss and of the regularisation.
const (
	lossScale    = 18
	gramDropout  = 0.1
	stateDropout = dropped / 256.0
	dropped      = 26 // of 256: a tenth
	tableStd     = 0.03
	rmsDecay     = 0.99
	rmsStart     = 0.1 // of the first squared gradient, so that first steps are longer
	epsilon      = 1e-8
)

// net is the mean path: z = ReLU(mean of word vectors)·P, with a second matrix
// for the reply side and a third for the teacher, all thrown away in the end.
type net struct {
	dim   int
	table []float32 // [buckets×d]
	accum []float32 // [buckets] running mean of squared gradients of a row
	head  matrix    // P
	reply matrix    // Q
	image matrix    // to the teacher's vectors

	corpus *Corpus
	gemm   blas.Float32Level3
	procs  int

	b batch
}

// matrix is a dense parameter [d×d] with the moments of Adam.
type matrix struct {
	w, g, m, v []float32
	steps      int
}

// batch is working memory that is used again.
type batch struct {
	draw *draw
	n    int // pairs

	ids      []int32 // distinct words
	slot     []int32 // word id → index in ids, where stamped
	stamp    []int32
	tick     int32
	wordAt   []int32 // index in ids of every word of the draw
	useStart []int32 // by distinct word: its uses in uses
	uses     []int32 // text of each use

	featStart []int32  // by distinct word: its kept features in feats
	feats     []int32  // index in rows
	rows      []uint32 // distinct table rows
	rowSlot   []int32
	rowStamp  []int32
	wordStart []int32 // by distinct row: the words that hold it
	wordsOf   []int32

	e, ge   []float32 // word vectors and their gradient [distinct×d]
	r, gr   []float32 // pooled [2n×d], after ReLU and dropout
	z, gz   []float32 // states and unit states' gradient
	zn      []float32
	norm    []float32
	s       []float32 // similarities, then their gradient [n×n]
	sumRows []float64
	sumCols []float64

	// Of batches of the teacher only.
	u, gu  []float32 // unit vectors of r, and their gradient, then that of r
	length []float32 // of r
}

func newNet(c *Corpus, dim, buckets int, gemm blas.Float32Level3, rng *rand.Rand) *net {
	n := &net{dim: dim, table: make([]float32, buckets*dim), accum: make([]float32, buckets), corpus: c, gemm: gemm, procs: runtime.GOMAXPROCS(0)}
	for i := range n.table {
		n.table[i] = float32(rng.NormFloat64() * tableStd)
	}
	for _, m := range []*matrix{&n.head, &n.reply, &n.image} {
		m.w, m.g, m.m, m.v = make([]float32, dim*dim), make([]float32, dim*dim), make([]float32, dim*dim), make([]float32, dim*dim)
		for i := range m.w {
			m.w[i] = float32(rng.NormFloat64() / math.Sqrt(float64(dim)))
		}
	}
	n.b.slot, n.b.stamp = make([]int32, len(c.counts)), make([]int32, len(c.counts))
	n.b.rowSlot, n.b.rowStamp = make([]int32, buckets), make([]int32, buckets)
	return n
}

// Sizes of the pieces of parallel work. Every sum runs within one piece or over
// the pieces in their order, so the result depends neither on timing nor on how
// many processors there are.
const (
	pieceItems = 64  // texts, words, rows of the table
	pieceRows  = 256 // rows of a product
)

// each runs f over the pieces of 0…count−1 on all processors.
func (n *net) each(count, piece int, f func(from, to int)) {
	pieces := (count + piece - 1) / piece
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(n.procs, pieces) {
		wg.Go(func() {
			for k := int(next.Add(1)) - 1; k < pieces; k = int(next.Add(1)) - 1 {
				f(k*piece, min((k+1)*piece, count))
			}
		})
	}
	wg.Wait()
}

// mul is dst [m×cols] = op(a)·op(c) with sums over k, in pieces of rows.
func (n *net) mul(ta, tc blas.Transpose, m, cols, k int, a, c, dst []float32) {
	lda, ldc, step := k, cols, k // step: from one row of op(a) to the next
	if ta == blas.Trans {
		lda, step = m, 1
	}
	if tc == blas.Trans {
		ldc = k
	}
	n.each(m, pieceRows, func(from, to int) {
		n.gemm.Sgemm(ta, tc, to-from, cols, k, 1, a[from*step:], lda, c, ldc, 0, dst[from*cols:], cols)
	})
}

// step takes one gradient step on a batch and returns its loss in nats.
func (n *net) step(d *draw, rate float64, rng *rand.Rand) float64 {
	b := &n.b
	b.draw, b.n = d, len(d.starts)/2
	n.index(rng)
	n.forward(rng)
	loss := n.loss()
	n.backward()
	n.update(rate)
	return loss
}

// loss is that of pairs or of the teacher.
func (n *net) loss() float64 {
	if n.b.draw.taught != nil {
		return n.distil()
	}
	return n.contrast()
}

// index finds the distinct words of the batch, drops n-grams, and inverts both
// maps, so that every later stage writes each row from one place.
func (n *net) index(rng *rand.Rand) {
	b, c := &n.b, n.corpus
	b.tick++
	b.ids, b.rows, b.feats = b.ids[:0], b.rows[:0], b.feats[:0]
	b.wordAt = grow(b.wordAt, len(b.draw.words))
	for i, w := range b.draw.words {
		if b.stamp[w] != b.tick {
			b.stamp[w], b.slot[w] = b.tick, int32(len(b.ids))
			b.ids = append(b.ids, w)
		}
		b.wordAt[i] = b.slot[w]
	}
	b.featStart = append(b.featStart[:0], 0)
	for _, w := range b.ids {
		for k, f := range c.features[c.offsets[w]:c.offsets[w+1]] {
			// The first feature is the word itself; it stays.
			if k > 0 && rng.Float64() < gramDropout {
				continue
			}
			if b.rowStamp[f] != b.tick {
				b.rowStamp[f], b.rowSlot[f] = b.tick, int32(len(b.rows))
				b.rows = append(b.rows, f)
			}
			b.feats = append(b.feats, b.rowSlot[f])
		}
		b.featStart = append(b.featStart, int32(len(b.feats)))
	}
	b.wordStart, b.wordsOf = invert(b.wordStart, b.wordsOf, len(b.rows), b.feats, func(i int) int32 { return owner(b.featStart, i) })
	text := 0
	b.useStart, b.uses = invert(b.useStart, b.uses, len(b.ids), b.wordAt, func(i int) int32 {
		for i >= b.draw.starts[text+1] {
			text++
		}
		return int32(text)
	})
}

// invert turns "item i belongs to bucket of[i]" into lists by bucket; who(i), asked
// in rising order of i, names the item.
func invert(start, list []int32, buckets int, of []int32, who func(int) int32) (_, _ []int32) {
	start = grow(start, buckets+2)
	clear(start)
	for _, x := range of {
		start[x+2]++
	}
	for i := 2; i < len(start); i++ {
		start[i] += start[i-1]
	}
	list = grow(list, len(of))
	for i, x := range of {
		list[start[x+1]] = who(i)
		start[x+1]++
	}
	return start[:buckets+1], list
}

// owner finds the interval of start that holds i.
func owner(start []int32, i int) int32 {
	lo, hi := 0, len(start)-1
	for hi-lo > 1 {
		if mid := (lo + hi) / 2; int(start[mid]) <= i {
			lo = mid
		} else {
			hi = mid
		}
	}
	return int32(lo)
}

// forward fills e, r, z, zn.
func (n *net) forward(rng *rand.Rand) {
	b, d := &n.b, n.dim
	texts := 2 * b.n
	b.e, b.ge = grow(b.e, len(b.ids)*d), grow(b.ge, len(b.ids)*d)
	b.r, b.gr = grow(b.r, texts*d), grow(b.gr, texts*d)
	b.z, b.gz, b.zn = grow(b.z, texts*d), grow(b.gz, texts*d), grow(b.zn, texts*d)
	b.norm = grow(b.norm, texts)
	n.each(len(b.ids), pieceItems, func(from, to int) {
		for w := from; w < to; w++ {
			row := b.e[w*d : (w+1)*d]
			clear(row)
			for _, f := range b.feats[b.featStart[w]:b.featStart[w+1]] {
				add(row, n.table[int(b.rows[f])*d:][:d])
			}
		}
	})
	seed := rng.Uint64()
	n.each(texts, pieceItems, func(from, to int) {
		for t := from; t < to; t++ {
			row := b.r[t*d : (t+1)*d]
			clear(row)
			words := b.wordAt[b.draw.starts[t]:b.draw.starts[t+1]]
			for _, w := range words {
				add(row, b.e[int(w)*d:][:d])
			}
			inv := 1 / float32(len(words)) / (1 - stateDropout)
			mask := rand.NewPCG(seed, uint64(t))
			var bits uint64
			for i, v := range row {
				if i%8 == 0 {
					bits = mask.Uint64()
				}
				if v <= 0 || bits&0xff < dropped {
					row[i] = 0
				} else {
					row[i] = v * inv
				}
				bits >>= 8
			}
		}
	})
	n.mul(blas.NoTrans, blas.NoTrans, b.n, d, d, b.r[:b.n*d], n.sideA().w, b.z[:b.n*d])
	n.mul(blas.NoTrans, blas.NoTrans, b.n, d, d, b.r[b.n*d:], n.sideB().w, b.z[b.n*d:])
	n.unit(b.zn, b.z, b.norm)
}

// unit writes the rows of src at unit length to dst, and their lengths to norm.
func (n *net) unit(dst, src, norm []float32) {
	d := n.dim
	n.each(len(norm), pieceItems, func(from, to int) {
		for t := from; t < to; t++ {
			var sum float32
			row := src[t*d : (t+1)*d]
			for _, v := range row {
				sum += v * v
			}
			norm[t] = float32(math.Sqrt(float64(sum))) + epsilon
			inv := 1 / norm[t]
			out := dst[t*d : (t+1)*d]
			for i, v := range row {
				out[i] = v * inv
			}
		}
	})
}

// tangent turns the gradients g of unit rows u into those of the rows before
// they were brought to unit length.
func (n *net) tangent(g, u, norm []float32) {
	d := n.dim
	n.each(len(norm), pieceItems, func(from, to int) {
		for t := from; t < to; t++ {
			g, u := g[t*d:(t+1)*d], u[t*d:(t+1)*d]
			var along float32
			for i, v := range g {
				along += v * u[i]
			}
			inv := 1 / norm[t]
			for i, v := range g {
				g[i] = (v - along*u[i]) * inv
			}
		}
	})
}

// sideA is the matrix of the first text of a pair, and of the teacher's texts.
func (n *net) sideA() *matrix {
	if n.b.draw.taught != nil {
		return &n.image
	}
	return &n.head
}

// sideB is the matrix of the second text of a pair.
func (n *net) sideB() *matrix {
	if n.b.draw.reply {
		return &n.reply
	}
	return n.sideA()
}

// contrast computes the loss and the gradient of the unit states, in gz.
func (n *net) contrast() float64 {
	b, d := &n.b, n.dim
	size := b.n
	a, c := b.zn[:size*d], b.zn[size*d:]
	b.s = grow(b.s, size*size)
	n.mul(blas.NoTrans, blas.Trans, size, size, d, a, c, b.s)
	b.sumRows, b.sumCols = grow(b.sumRows, size), grow(b.sumCols, size)
	clear(b.sumCols)
	mask := newMask(b.draw)
	cols := make([][]float64, (size+pieceItems-1)/pieceItems)
	n.each(size, pieceItems, func(from, to int) {
		sums := make([]float64, size)
		cols[from/pieceItems] = sums
		for i := from; i < to; i++ {
			row := b.s[i*size : (i+1)*size]
			own := row[i]
			// Cosines are at most one, so the exponent never overflows.
			for j, v := range row {
				row[j] = exp(lossScale * (v - 1))
			}
			for _, j := range mask.of(i) {
				row[j] = 0
			}
			row[i] = exp(lossScale * (own - 1))
			sum := float32(0)
			for j, v := range row {
				sum += v
				sums[j] += float64(v)
			}
			b.sumRows[i] = float64(sum)
		}
	})
	for _, sums := range cols {
		for j, v := range sums {
			b.sumCols[j] += v
		}
	}
	loss := 0.0
	for i := range size {
		own := math.Log(float64(b.s[i*size+i]))
		loss += math.Log(b.sumRows[i]) + math.Log(b.sumCols[i]) - 2*own
	}
	unit := float32(lossScale) / float32(2*size)
	inverse := make([]float32, size)
	for j := range inverse {
		inverse[j] = float32(1 / b.sumCols[j])
	}
	n.each(size, pieceItems, func(from, to int) {
		for i := from; i < to; i++ {
			row, inv := b.s[i*size:(i+1)*size], float32(1/b.sumRows[i])
			for j, v := range row {
				row[j] = unit * v * (inv + inverse[j])
			}
			row[i] -= 2 * unit
		}
	})
	n.mul(blas.NoTrans, blas.NoTrans, size, d, size, b.s, c, b.gz[:size*d])
	n.mul(blas.Trans, blas.NoTrans, size, d, size, b.s, a, b.gz[size*d:])
	return loss / float64(2*size)
}

// backward carries the gradient through the norm, the matrices, ReLU and the
// means, down to the word vectors in ge.
func (n *net) backward() {
	b, d := &n.b, n.dim
	texts, half := 2*b.n, b.n*d
	n.tangent(b.gz, b.zn, b.norm)
	p, q := n.sideA(), n.sideB()
	if p == q {
		n.mul(blas.Trans, blas.NoTrans, d, d, texts, b.r, b.gz, p.g)
	} else {
		n.mul(blas.Trans, blas.NoTrans, d, d, b.n, b.r[:half], b.gz[:half], p.g)
		n.mul(blas.Trans, blas.NoTrans, d, d, b.n, b.r[half:], b.gz[half:], q.g)
	}
	n.mul(blas.NoTrans, blas.Trans, b.n, d, d, b.gz[:half], p.w, b.gr[:half])
	n.mul(blas.NoTrans, blas.Trans, b.n, d, d, b.gz[half:], q.w, b.gr[half:])
	if b.draw.taught != nil {
		add(b.gr, b.gu)
	}
	n.each(texts, pieceItems, func(from, to int) {
		for t := from; t < to; t++ {
			inv := 1 / float32(b.draw.starts[t+1]-b.draw.starts[t]) / (1 - stateDropout)
			row := b.gr[t*d : (t+1)*d]
			for i, v := range b.r[t*d : (t+1)*d] {
				if v > 0 {
					row[i] *= inv
				} else {
					row[i] = 0
				}
			}
		}
	})
	n.each(len(b.ids), pieceItems, func(from, to int) {
		for w := from; w < to; w++ {
			row := b.ge[w*d : (w+1)*d]
			clear(row)
			for _, t := range b.uses[b.useStart[w]:b.useStart[w+1]] {
				add(row, b.gr[int(t)*d:][:d])
			}
		}
	})
}

// update moves the table by row-wise RMSprop and the matrices by Adam.
func (n *net) update(rate float64) {
	b, d := &n.b, n.dim
	n.each(len(b.rows), pieceItems, func(from, to int) {
		g := make([]float32, d)
		for k := from; k < to; k++ {
			clear(g)
			for _, w := range b.wordsOf[b.wordStart[k]:b.wordStart[k+1]] {
				add(g, b.ge[int(w)*d:][:d])
			}
			var sum float32
			for _, v := range g {
				sum += v * v
			}
			mean, acc := sum/float32(d), &n.accum[b.rows[k]]
			if *acc == 0 {
				*acc = rmsStart * mean
			} else {
				*acc = rmsDecay**acc + (1-rmsDecay)*mean
			}
			scale := float32(rate / (math.Sqrt(float64(*acc)) + epsilon))
			row := n.table[int(b.rows[k])*d:][:d]
			for i, v := range g {
				row[i] -= scale * v
			}
		}
	})
	n.sideA().adam(rate)
	if b.draw.reply {
		n.reply.adam(rate)
	}
}

// adam is the step of Kingma & Ba, 1412.6980.
func (m *matrix) adam(rate float64) {
	const beta1, beta2 = 0.9, 0.999
	m.steps++
	c1, c2 := 1-math.Pow(beta1, float64(m.steps)), 1-math.Pow(beta2, float64(m.steps))
	step := float32(rate * math.Sqrt(c2) / c1)
	for i, g := range m.g {
		m.m[i] = beta1*m.m[i] + (1-beta1)*g
		m.v[i] = beta2*m.v[i] + (1-beta2)*g*g
		m.w[i] -= step * m.m[i] / (float32(math.Sqrt(float64(m.v[i]))) + epsilon)
	}
}

func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n, n+n/4)
	}
	return s[:n]
}
