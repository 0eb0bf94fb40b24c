package kernel

import (
	"math"
	"math/bits"
)

// Hit is a row that a scan found, with its score, the product of row and query (the cosine, if both have unit length).
type Hit struct {
	Row   int
	Score float32
}

// top keeps the k best hits offered, best first; among equal scores the lower row is better.
type top struct {
	hits []Hit // capacity ≥ k
	k    int
}

// floor is the score that a hit must exceed to get in when rows come in ascending order.
func (t *top) floor() float32 {
	if len(t.hits) < t.k {
		return float32(math.Inf(-1))
	}
	return t.hits[t.k-1].Score
}

func better(a, b Hit) bool { return a.Score > b.Score || (a.Score == b.Score && a.Row < b.Row) }

// offer inserts h if it is among the k best. A NaN never is.
func (t *top) offer(h Hit) {
	if h.Score != h.Score {
		return
	}
	switch {
	case len(t.hits) < t.k:
		t.hits = append(t.hits, h)
	case better(h, t.hits[t.k-1]):
		t.hits[t.k-1] = h
	default:
		return
	}
	i := len(t.hits) - 1
	for ; i > 0 && better(h, t.hits[i-1]); i-- {
		t.hits[i] = t.hits[i-1]
	}
	t.hits[i] = h
}

// offerWord offers the rows first+i whose bit i is set, with scores[i].
func (t *top) offerWord(word uint64, first int, scores []float32) {
	for ; word != 0; word &= word - 1 {
		i := bits.TrailingZeros64(word)
		t.offer(Hit{Row: first + i, Score: scores[i]})
	}
}

// offerRow offers one row to the queries whose bit is set and that allow it.
func offerRow(best []top, queries []Query, mask uint32, row int, scores []float32) {
	for ; mask != 0; mask &= mask - 1 {
		if j := bits.TrailingZeros32(mask); queries[j].Allowed.Has(row) {
			best[j].offer(Hit{Row: row, Score: scores[j]})
		}
	}
}
