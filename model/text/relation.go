package text

import (
	_ "embed"
	"encoding/binary"
	"slices"
)

// relations are pairs of English words: opposites, and words with one meaning.
// They come from WordNet; lexgen makes the file.
//
// Layout, little-endian: the number n of pairs of opposites as uint32; n hashes
// of such pairs (uint64, ascending); a Bloom filter of the pairs of synonyms.
//
//go:embed relations.bin
var relations string

// pairHash is the same whichever word comes first.
func pairHash(a, b uint64) uint64 { return mix(a + b + a*b) }

// maxBases is how many forms a word may be an inflection of, itself included.
const maxBases = 4

// bases are the words that w may be an inflection of.
func bases(w []byte) (out [maxBases]uint64, n int) {
	put := func(b []byte, tail byte) {
		if n < maxBases && len(b) >= 2 {
			h := hashBytes(fnvOffset, b)
			if tail > 0 {
				h = (h ^ uint64(tail)) * fnvPrime
			}
			out[n] = mix(h)
			n++
		}
	}
	put(w, 0)
	end := func(s string) []byte {
		if len(w) > len(s)+2 && string(w[len(w)-len(s):]) == s {
			return w[:len(w)-len(s)]
		}
		return nil
	}
	switch {
	case end("ing") != nil:
		b := end("ing")
		put(b, 0)
		put(b, 'e')
		if len(b) > 2 && b[len(b)-1] == b[len(b)-2] {
			put(b[:len(b)-1], 0)
		}
	case end("ed") != nil:
		b := end("ed")
		put(b, 0)
		put(b, 'e')
		if len(b) > 2 && b[len(b)-1] == b[len(b)-2] {
			put(b[:len(b)-1], 0)
		}
	case end("ies") != nil:
		put(end("ies"), 'y')
	case end("es") != nil:
		put(end("es"), 0)
		put(end("s"), 0)
	case end("s") != nil:
		put(end("s"), 0)
	}
	return out, n
}

// related reports whether some form of a and some form of b are such a pair.
func related(a, b []byte, holds func(pair uint64) bool) bool {
	as, m := bases(a)
	bs, n := bases(b)
	for _, x := range as[:m] {
		for _, y := range bs[:n] {
			if x != y && holds(pairHash(x, y)) {
				return true
			}
		}
	}
	return false
}

func antonyms(a, b []byte) bool { return related(a, b, opposed) }

func synonyms(a, b []byte) bool { return related(a, b, alikeMeaning) }

func opposed(pair uint64) bool {
	n := int(u32(relations, 0))
	lo, hi := 0, n
	for lo < hi {
		mid := (lo + hi) / 2
		at := 4 + 8*mid
		if v := uint64(u32(relations, at)) | uint64(u32(relations, at+4))<<32; v < pair {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	at := 4 + 8*lo
	return lo < n && uint64(u32(relations, at))|uint64(u32(relations, at+4))<<32 == pair
}

// synonymBits is how many bits of the filter a pair of synonyms has: of other
// pairs one in some three hundred is taken for synonyms.
const (
	synonymBits   = 12
	synonymProbes = 8
)

func alikeMeaning(pair uint64) bool {
	from := 4 + 8*int(u32(relations, 0))
	size := uint32(len(relations)-from) * 8
	a, b := uint32(pair), uint32(pair>>32)|1
	for i := range uint32(synonymProbes) {
		bit := (a + i*b) % size
		if relations[from+int(bit/8)]&(1<<(bit%8)) == 0 {
			return false
		}
	}
	return true
}

// BuildRelations writes pairs of opposites and of synonyms.
func BuildRelations(opposites, same [][2]string) []byte {
	hash := func(p [2]string) uint64 { return pairHash(hashWord([]byte(p[0])), hashWord([]byte(p[1]))) }
	var hashes []uint64
	for _, p := range opposites {
		hashes = append(hashes, hash(p))
	}
	slices.Sort(hashes)
	hashes = slices.Compact(hashes)
	out := binary.LittleEndian.AppendUint32(nil, uint32(len(hashes)))
	for _, h := range hashes {
		out = binary.LittleEndian.AppendUint64(out, h)
	}
	filter := make([]byte, len(same)*synonymBits/8+8)
	for _, p := range same {
		h := hash(p)
		a, b := uint32(h), uint32(h>>32)|1
		for i := range uint32(synonymProbes) {
			bit := (a + i*b) % uint32(len(filter)*8)
			filter[bit/8] |= 1 << (bit % 8)
		}
	}
	return append(out, filter...)
}
