package memory

import (
	"cmp"
	"math/bits"
	"slices"
)

// index maps 64-bit keys to any number of 32-bit values. It is immutable: with
// gives a new one that shares most of the old. Inside are sorted runs, each at
// least twice as long as the next, as in a log-structured merge tree, so that
// adding costs O(log n) a pair in the long run and a lookup walks few runs.
type index struct {
	runs []run
}

// run holds each key once, so that those of frequent words, which many lookups
// want, lie close together. Values are numbers given in the order of adding, so
// that of a key's the last is the newest.
type run struct {
	keys []uint64 // ascending
	ends []uint32 // by key: where its values end
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
	kindSlip   = 0xeb44accab455d165 // word less one letter → lessons that show it
	kindAnswer = 0x9e3779b97f4a7c15 // response → answer
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
	last := run{vals: make([]uint32, 0, len(pairs))}
	for _, p := range pairs {
		last.add(p.key, p.val)
	}
	runs := slices.Clone(x.runs)
	for len(runs) > 0 && len(runs[len(runs)-1].vals) < 2*len(last.vals) {
		last = merge(&runs[len(runs)-1], &last)
		runs = runs[:len(runs)-1]
	}
	return index{append(runs, last)}
}

// add appends values of a key that is none below the last.
func (r *run) add(key uint64, vals ...uint32) {
	r.vals = append(r.vals, vals...)
	if n := len(r.keys); n == 0 || r.keys[n-1] != key {
		r.keys, r.ends = append(r.keys, key), append(r.ends, 0)
	}
	r.ends[len(r.ends)-1] = uint32(len(r.vals))
}

// at returns the values of the i-th key, oldest first.
func (r *run) at(i int) []uint32 {
	from := uint32(0)
	if i > 0 {
		from = r.ends[i-1]
	}
	return r.vals[from:r.ends[i]]
}

// merge joins two runs, b the newer one.
func merge(a, b *run) run {
	keys := len(a.keys) + len(b.keys)
	out := run{keys: make([]uint64, 0, keys), ends: make([]uint32, 0, keys), vals: make([]uint32, 0, len(a.vals)+len(b.vals))}
	i, j := 0, 0
	for i < len(a.keys) || j < len(b.keys) {
		if j == len(b.keys) || i < len(a.keys) && a.keys[i] <= b.keys[j] {
			out.add(a.keys[i], a.at(i)...)
			i++
		} else {
			out.add(b.keys[j], b.at(j)...)
			j++
		}
	}
	return out
}

// find returns the values of key in r, oldest first.
func (r *run) find(key uint64) []uint32 {
	if i := lowerBound(r.keys, key); i < len(r.keys) && r.keys[i] == key {
		return r.at(i)
	}
	return nil
}

// lowerBound is the place of the first of keys, ascending, that is not below
// key. Keys are hashes, even over all 64 bits, so that where one stands is told
// from what it is; from there on the search goes in steps that double, and what
// is left is halved.
func lowerBound(keys []uint64, key uint64) int {
	lo, n := 0, len(keys)
	if n > guessFrom {
		lo, n = bracket(keys, key)
	}
	for n > 0 { // no branch depends on a key, and so none is foreseen wrongly
		half := (n + 1) / 2
		_, below := bits.Sub64(keys[lo+half-1], key, 0)
		lo += half & -int(below)
		n -= half
	}
	return lo
}

// guessFrom is the number of keys beyond which to guess beats to halve.
const guessFrom = 64

// bracket is a run of n keys from lo on, outside of which the lower bound is at
// most next to it.
func bracket(keys []uint64, key uint64) (lo, n int) {
	all := len(keys)
	at, _ := bits.Mul64(key, uint64(all))
	at = even(even(at, keys, key), keys, key)
	i, step := int(at), 1
	if keys[i] < key {
		for lo = i + 1; i+step < all && keys[i+step] < key; step *= 2 {
			lo = i + step + 1
		}
		return lo, min(i+step, all) - lo
	}
	hi := i
	for ; i-step >= 0 && keys[i-step] >= key; step *= 2 {
		hi = i - step
	}
	lo = max(i-step+1, 0)
	return lo, hi - lo
}

// even mends a guess by how far the key found there is from the one sought.
func even(at uint64, keys []uint64, key uint64) uint64 {
	all, found := uint64(len(keys)), keys[at]
	if found < key {
		ahead, _ := bits.Mul64(key-found, all)
		return min(at+ahead, all-1)
	}
	behind, _ := bits.Mul64(found-key, all)
	return at - min(at, behind)
}

// count is the number of values of key.
func (x index) count(key uint64) int {
	n := 0
	for i := range x.runs {
		n += len(x.runs[i].find(key))
	}
	return n
}

// newest calls yield with the values of key, the last added first, until it
// returns false.
func (x index) newest(key uint64, yield func(uint32) bool) {
	for i := len(x.runs) - 1; i >= 0; i-- {
		for _, v := range slices.Backward(x.runs[i].find(key)) {
			if !yield(v) {
				return
			}
		}
	}
}

// append appends the values of key to dst, oldest first, at most limit of them.
func (x index) append(dst []uint32, key uint64, limit int) []uint32 {
	for i := range x.runs {
		vals := x.runs[i].find(key)
		dst = append(dst, vals[:min(len(vals), limit)]...)
		if limit -= len(vals); limit <= 0 {
			break
		}
	}
	return dst
}
