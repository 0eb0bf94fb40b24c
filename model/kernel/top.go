package kernel

import (
	"math"
	"math/bits"
	"slices"
)

// Hit is a row that a scan found, with its score, the product of row and query (the cosine, if both have unit length).
type Hit struct {
	Row   int
	Score float32
}

// ranked is a row with its score in one number, the greater the better: among equal scores the lower row is.
type ranked uint64

func rank(row int, score float32) ranked {
	b := math.Float32bits(score + 0)  // −0 is 0
	b ^= uint32(int32(b)>>31) | 1<<31 // in the order of the numbers, the negative ones too
	return ranked(b)<<32 | ranked(^uint32(row))
}

func (r ranked) row() int { return int(^uint32(r)) }

func (r ranked) score() float32 {
	b := uint32(r >> 32)
	return math.Float32frombits(b ^ (^uint32(int32(b)>>31) | 1<<31))
}

// HitOf reads a row with its score from one number, the greater the better, as it is ordered here and
// on a GPU: the bits of the score, made to sort as the numbers do, above the complement of the row.
func HitOf(rank uint64) Hit { return Hit{Row: ranked(rank).row(), Score: ranked(rank).score()} }

// top finds the k best of the rows offered to it. They gather in any order until there are twice as many as are wanted, and
// then the worse half goes: a row costs the same whatever k is, where it would be moved past half of the others to keep
// them in order.
type top struct {
	rows  []ranked // capacity ≥ topRoom(k)
	k     int      // ≥ 1
	least float32  // what a row must exceed: the score of the k-th best when the worse half last went
}

// topRoom is how many rows the k best are chosen from at a time.
func topRoom(k int) int { return 2 * k }

// newTop keeps its rows in room.
func newTop(room []ranked, k int) top {
	return top{rows: room[:0], k: k, least: float32(math.Inf(-1))}
}

// offer takes a row if it may be among the k best. One of score NaN never is, and of rows that come in ascending order no
// later one of an equal score.
func (t *top) offer(row int, score float32) {
	if !(score > t.least) {
		return
	}
	if t.rows = append(t.rows, rank(row, score)); len(t.rows) == topRoom(t.k) {
		t.cut()
		t.least = t.rows[t.k-1].score()
	}
}

// offerWord offers the rows first+i whose bit i is set, with scores[i].
func (t *top) offerWord(word uint64, first int, scores []float32) {
	for ; word != 0; word &= word - 1 {
		i := bits.TrailingZeros64(word)
		t.offer(first+i, scores[i])
	}
}

// offerRow offers one row to the queries whose bit is set and that allow it.
func offerRow(best []top, queries []Query, mask uint32, row int, scores []float32) {
	for ; mask != 0; mask &= mask - 1 {
		if j := bits.TrailingZeros32(mask); queries[j].Allowed.Has(row) {
			best[j].offer(row, scores[j])
		}
	}
}

// hits appends the k best, best first.
func (t *top) hits(dst []Hit) []Hit {
	t.cut()
	slices.Sort(t.rows)
	for _, r := range slices.Backward(t.rows) {
		dst = append(dst, Hit{Row: r.row(), Score: r.score()})
	}
	return dst
}

// cut leaves the k best, the worst of them last and the others in any order (quickselect: Hoare, 1961).
func (t *top) cut() {
	if len(t.rows) <= t.k {
		return
	}
	rows, want := t.rows, t.k-1
	for len(rows) > 1 {
		switch at := partition(rows); {
		case at < want:
			rows, want = rows[at+1:], want-at-1
		case at > want:
			rows = rows[:at]
		default:
			rows = nil
		}
	}
	t.rows = t.rows[:t.k]
}

// partition puts one of at least two rows where it would be in order, with the better ones before it and the worse ones
// behind, and returns its place. No branch depends on a score, and so none is foreseen wrongly.
func partition(rows []ranked) int {
	last := len(rows) - 1
	rows[last/2], rows[last] = rows[last], rows[last/2]
	pivot, at := rows[last], 0
	for i, r := range rows[:last] {
		rows[i], rows[at] = rows[at], r
		_, better := bits.Sub64(uint64(pivot), uint64(r), 0)
		at += int(better)
	}
	rows[at], rows[last] = pivot, rows[at]
	return at
}
