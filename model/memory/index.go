package memory

import (
	"cmp"
	"slices"
)

// index maps 64-bit keys to any number of 32-bit values. It is immutable: with
// gives a new one that shares most of the old. Inside are sorted runs, each at
// least twice as long as the next, as in a log-structured merge tree, so that
// adding costs O(log n) a pair in the long run and a lookup walks few runs.
type index struct {
	runs []run
}

// run is sorted by key, then by value. Values are numbers given in the order of
// adding, so that of equal keys in one run the last is the newest.
type run struct {
	keys []uint64
	vals []uint32
}

type pair struct {
	key uint64
	val uint32
}

// Kinds of key in the one index.
const (
	kindID     = 0xa0761d6478bd642f // lesson id → lesson
	kindPrompt = 0xe7037ed1a0b428db // canonical form → lessons
	kindBag    = 0x8ebc6af09c88c6e3 // words in any order → lessons
	kindJoined = 0x589965cc75374cc3 // letters without spaces → lessons
	kindWord   = 0x1d8e4e27c47d124f // word → answers that know it
	kindSlip   = 0xeb44accab455d165 // word less one letter → lessons that show it
	kindAnswer = 0x9e3779b97f4a7c15 // response → answer
	kindTopic  = 0xc2b2ae3d27d4eb4f // topic → answers
)

// keyed tells the kinds apart: one multiplication by an odd constant after the
// xor keeps keys of two kinds from meeting by system.
func keyed(kind, key uint64) uint64 { return (key ^ kind) * (kind | 1) }

// with returns the index with pairs added; pairs is sorted in place.
func (x index) with(pairs []pair) index {
	if len(pairs) == 0 {
		return x
	}
	slices.SortFunc(pairs, func(a, b pair) int {
		if a.key != b.key {
			if a.key < b.key {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.val, b.val)
	})
	last := run{keys: make([]uint64, len(pairs)), vals: make([]uint32, len(pairs))}
	for i, p := range pairs {
		last.keys[i], last.vals[i] = p.key, p.val
	}
	runs := slices.Clone(x.runs)
	for len(runs) > 0 && len(runs[len(runs)-1].keys) < 2*len(last.keys) {
		last = merge(runs[len(runs)-1], last)
		runs = runs[:len(runs)-1]
	}
	return index{append(runs, last)}
}

// merge joins two runs; of equal keys those of a come first.
func merge(a, b run) run {
	n := len(a.keys) + len(b.keys)
	out := run{keys: make([]uint64, 0, n), vals: make([]uint32, 0, n)}
	i, j := 0, 0
	for i < len(a.keys) || j < len(b.keys) {
		if j == len(b.keys) || i < len(a.keys) && a.keys[i] <= b.keys[j] {
			out.keys, out.vals = append(out.keys, a.keys[i]), append(out.vals, a.vals[i])
			i++
		} else {
			out.keys, out.vals = append(out.keys, b.keys[j]), append(out.vals, b.vals[j])
			j++
		}
	}
	return out
}

// find returns the values of key in r, oldest first.
func (r run) find(key uint64) []uint32 {
	lo := lowerBound(r.keys, key)
	hi := lo
	for hi < len(r.keys) && r.keys[hi] == key {
		hi++
		if hi-lo == 32 {
			hi = lo + 32 + upperBound(r.keys[hi:], key)
			break
		}
	}
	return r.vals[lo:hi]
}

func lowerBound(keys []uint64, key uint64) int {
	lo, hi := 0, len(keys)
	for lo < hi {
		if mid := int(uint(lo+hi) >> 1); keys[mid] < key {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

func upperBound(keys []uint64, key uint64) int {
	lo, hi := 0, len(keys)
	for lo < hi {
		if mid := int(uint(lo+hi) >> 1); keys[mid] <= key {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// wordCount is the number of values of a word's key.
func (x index) wordCount(key uint64) int {
	key, n := keyed(kindWord, key), 0
	for _, r := range x.runs {
		n += len(r.find(key))
	}
	return n
}

// newest calls yield with the values of key, the last added first, until it
// returns false.
func (x index) newest(kind, key uint64, yield func(uint32) bool) {
	key = keyed(kind, key)
	for i := len(x.runs) - 1; i >= 0; i-- {
		vals := x.runs[i].find(key)
		for j := len(vals) - 1; j >= 0; j-- {
			if !yield(vals[j]) {
				return
			}
		}
	}
}

// append appends the values of key to dst, oldest first, at most limit of them.
func (x index) append(dst []uint32, kind, key uint64, limit int) []uint32 {
	key = keyed(kind, key)
	for _, r := range x.runs {
		vals := r.find(key)
		dst = append(dst, vals[:min(len(vals), limit)]...)
		if limit -= len(vals); limit <= 0 {
			break
		}
	}
	return dst
}
