package kernel

import (
	"fmt"
	"math"
)

// MaxTop is the greatest k of a scan.
const MaxTop = 256

// spare is the number of rows beyond k that the 8-bit scan hands to the float32 scoring. With k = 8 that makes 32, among
// which the 8 best by float32 were in every trial.
const spare = 24

// maxColumns is the number of queries that one pass of the exact scan takes.
const maxColumns = 32

// Query is a vector to look for and the rows that may be found; Allowed nil means all.
type Query struct {
	Vector  []float32
	Allowed Bitmap
}

// Scanner finds the rows that have the greatest products with a query. It owns the scratch memory of a scan and reuses it,
// so that scanning does not allocate once it has seen the largest batch; the zero value is ready. One goroutine at a time
// may use it.
//
// Hits come best first, equal scores by ascending row. Rows whose score is NaN are never found, and fewer than k hits come
// where fewer rows are allowed. Runs of 64 rows, none of them allowed to any query, cost next to nothing.
type Scanner struct {
	best    []top
	rows    []ranked  // backs best
	scores  []float32 // [queries × blockRows], or [blockRows × maxColumns] in the exact scan of many
	quant   []int8    // [queries × ⌈d/4⌉·4]
	excess  []int32
	columns []float32 // queries packed as a [d × maxColumns] matrix
	words   [blockPanels]uint64
	masks   [blockRows]uint32
	query   [1]Query
	found   [1][]Hit
}

// Top appends to hits[:0] the k best rows for a query, 1 ≤ k ≤ MaxTop. Rows are scanned in their 8-bit form; those that may
// be among the best are scored again in float32, which gives order and scores.
func (s *Scanner) Top(rows *Rows, q Query, k int, hits []Hit) []Hit {
	return s.single(rows, q, k, hits, s.TopMany)
}

// TopMany is Top for several queries that share one reading of the rows, best some 32 at once: hits[i] becomes hits[i][:0]
// with the hits of queries[i].
func (s *Scanner) TopMany(rows *Rows, queries []Query, k int, hits [][]Hit) {
	s.topMany(best, rows, queries, k, hits)
}

// TopExact is Top with every row scored in float32, four times the memory traffic.
func (s *Scanner) TopExact(rows *Rows, q Query, k int, hits []Hit) []Hit {
	return s.single(rows, q, k, hits, s.TopManyExact)
}

// TopManyExact is TopMany with every row scored in float32.
func (s *Scanner) TopManyExact(rows *Rows, queries []Query, k int, hits [][]Hit) {
	s.topManyExact(best, rows, queries, k, hits)
}

func (s *Scanner) single(rows *Rows, q Query, k int, hits []Hit, many func(*Rows, []Query, int, [][]Hit)) []Hit {
	s.query[0], s.found[0] = q, hits
	many(rows, s.query[:], k, s.found[:])
	hits = s.found[0]
	s.query[0], s.found[0] = Query{}, nil
	return hits
}

func (s *Scanner) topMany(l Level, rows *Rows, queries []Query, k int, hits [][]Hit) {
	s.prepare(rows, queries, k, k+spare, hits)
	width := (rows.d + 3) / 4 * 4
	s.quant = sized(s.quant, len(queries)*width)
	s.excess = sized(s.excess, len(queries))
	s.scores = sized(s.scores, len(queries)*blockRows)
	for i, q := range queries {
		s.excess[i] = quantiseQuery(s.quant[i*width:(i+1)*width], q.Vector)
	}
	for at, b := range rows.blocks {
		for w, end := nextRun(queries, at, b, 0); w < end; w, end = nextRun(queries, at, b, end) {
			n := (end - w) * panelRows
			panels, scales := b.panels[w*panelRows*width:end*panelRows*width], b.scales[w*panelRows:end*panelRows]
			scanPanels(l, s.scores, blockRows, panels, scales, s.quant, s.excess)
			for i, q := range queries {
				s.collect(l, i, q.Allowed, b, at*blockPanels+w, s.scores[i*blockRows:i*blockRows+n])
			}
		}
	}
	for i, q := range queries {
		t := &s.best[i]
		t.cut()
		n := 0
		for _, r := range t.rows {
			if score := dot(l, rows.Row(r.row()), q.Vector); !math.IsNaN(float64(score)) {
				t.rows[n] = rank(r.row(), score)
				n++
			}
		}
		t.rows, t.k = t.rows[:n], k
		hits[i] = t.hits(hits[i][:0])
	}
}

func (s *Scanner) topManyExact(l Level, rows *Rows, queries []Query, k int, hits [][]Hit) {
	s.prepare(rows, queries, k, k, hits)
	if len(queries) == 1 {
		s.scanOne(l, rows, queries)
	} else {
		for first := 0; first < len(queries); first += maxColumns {
			s.scanColumns(l, rows, queries[first:min(first+maxColumns, len(queries))], s.best[first:])
		}
	}
	for i := range queries {
		hits[i] = s.best[i].hits(hits[i][:0])
	}
}

// scanOne scores the rows for one query by a product each.
func (s *Scanner) scanOne(l Level, rows *Rows, queries []Query) {
	s.scores = sized(s.scores, blockRows)
	for at, b := range rows.blocks {
		for w, end := nextRun(queries, at, b, 0); w < end; w, end = nextRun(queries, at, b, end) {
			from, to := w*panelRows, min(end*panelRows, b.n)
			dotRows(l, s.scores[:to-from], b.rows[from*rows.d:to*rows.d], queries[0].Vector)
			s.collect(l, 0, queries[0].Allowed, b, at*blockPanels+w, s.scores[:(end-w)*panelRows])
		}
	}
}

// scanColumns scores the rows for up to maxColumns queries as one matrix product, rows times queries: the rows stay as
// they are and the queries are the packed side.
func (s *Scanner) scanColumns(l Level, rows *Rows, queries []Query, best []top) {
	nr := panelWidth(l)
	cols := (len(queries) + nr - 1) / nr * nr
	s.scores = sized(s.scores, blockRows*maxColumns)
	s.columns = sized(s.columns, rows.d*maxColumns)
	clear(s.columns)
	for j, q := range queries {
		panel := s.columns[j/nr*nr*rows.d:]
		for i, v := range q.Vector {
			panel[i*nr+j%nr] = v
		}
	}
	var floors [maxColumns]float32
	for at, b := range rows.blocks {
		for w, end := nextRun(queries, at, b, 0); w < end; w, end = nextRun(queries, at, b, end) {
			from, to := w*panelRows, min(end*panelRows, b.n)
			n := to - from
			gemmPacked(l, false, s.scores, maxColumns, b.rows[from*rows.d:to*rows.d], rows.d, s.columns, n, cols, rows.d, nil, 0)
			for j := range floors {
				floors[j] = float32(math.Inf(1))
				if j < len(queries) {
					floors[j] = best[j].least
				}
			}
			aboveColumns(l, s.masks[:n], s.scores[:n*maxColumns], &floors)
			for i, mask := range s.masks[:n] {
				if mask != 0 {
					offerRow(best, queries, mask, at*blockRows+from+i, s.scores[i*maxColumns:(i+1)*maxColumns])
				}
			}
		}
	}
}

// collect offers the scores of rows 64·word and on, all in one block, to the hits of query i.
func (s *Scanner) collect(l Level, i int, allowed Bitmap, b *block, word int, scores []float32) {
	words := s.words[:len(scores)/panelRows]
	above(l, words, scores, s.best[i].least)
	for j, w := range words {
		at := word + j
		if w &= allowed.word(at) & b.word(at%blockPanels); w != 0 {
			s.best[i].offerWord(w, at*panelRows, scores[j*panelRows:(j+1)*panelRows])
		}
	}
}

// prepare checks the arguments and empties the lists of the best keep hits.
func (s *Scanner) prepare(rows *Rows, queries []Query, k, keep int, hits [][]Hit) {
	if k < 1 || k > MaxTop || len(hits) != len(queries) {
		panic(fmt.Sprintf("kernel: scan for the best %d of %d queries into %d lists", k, len(queries), len(hits)))
	}
	s.best = sized(s.best, len(queries))
	room := topRoom(keep)
	s.rows = sized(s.rows, len(queries)*room)
	for i, q := range queries {
		mustMatch("scan", len(q.Vector), rows.d)
		s.best[i] = newTop(s.rows[i*room:i*room:(i+1)*room], keep)
	}
}

// word has the bits set of those rows of panel w that exist.
func (b *block) word(w int) uint64 {
	if n := b.n - w*panelRows; n < panelRows {
		return 1<<n - 1
	}
	return ^uint64(0)
}

// nextRun returns the next longest run [w, end) of panels of a block, from panel w on, each with a row that some query
// allows; it is empty at the end of the block.
func nextRun(queries []Query, at int, b *block, w int) (start, end int) {
	panels := (b.n + panelRows - 1) / panelRows
	for w < panels && !wanted(queries, at*blockPanels+w) {
		w++
	}
	start = w
	for w < panels && wanted(queries, at*blockPanels+w) {
		w++
	}
	return start, w
}

func wanted(queries []Query, word int) bool {
	for _, q := range queries {
		if q.Allowed.word(word) != 0 {
			return true
		}
	}
	return false
}

// sized returns a slice of n elements, s if it is large enough. The elements have any value.
func sized[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
