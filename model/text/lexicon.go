package text

import (
	_ "embed"
	"encoding/binary"
	"maps"
	"math"
	"slices"
)

// lexicon is what is known of common language, English above all, whatever a
// deployment was taught; lexgen makes it. For words of other languages it knows
// nothing, and they weigh in full.
//
// Layout, little-endian: the number of bytes of a Bloom filter and the number n
// of frequent words as uint32; the filter; n hashes (uint32, ascending); n
// bytes, the information of each word in eighths of a bit.
//
//go:embed lexicon.bin
var lexicon string

const (
	lexiconHead  = 8
	bloomProbes  = 7
	bloomPerWord = 10  // bits: one word in a hundred is taken for known by mistake
	plainBits    = 5.5 // a word of this information or less tells nothing
	tellingBits  = 15  // one of this or more tells all it can
	leastWeight  = 0.05
)

// IsWord reports whether w is a word of common language, and so no slip for
// another one. About one other string in a hundred is taken for a word.
func IsWord(w []byte) bool { return isEnglish(w) || known[hashWord(w)] != nil }

func isEnglish(w []byte) bool { return len(lexicon) > 0 && inLexicon(lexicon, hashWord(w)) }

// Weight is how much a word tells by itself, from nearly 0 to 1, whatever was
// taught: next to nothing for "the", all for a rare word or a name.
func Weight(w []byte) float32 {
	bits, ok := information(lexicon, uint32(hashWord(w)>>32))
	if !ok {
		return 1
	}
	return float32(min(max((bits-plainBits)/(tellingBits-plainBits), leastWeight), 1))
}

func u32(s string, at int) uint32 {
	return uint32(s[at]) | uint32(s[at+1])<<8 | uint32(s[at+2])<<16 | uint32(s[at+3])<<24
}

// inLexicon asks the Bloom filter; its probes are h1 + i·h2 (Kirsch and
// Mitzenmacher, 2006).
func inLexicon(lex string, h uint64) bool {
	size := u32(lex, 0) * 8
	a, b := uint32(h), uint32(h>>32)|1
	for i := range uint32(bloomProbes) {
		bit := (a + i*b) % size
		if lex[lexiconHead+bit/8]&(1<<(bit%8)) == 0 {
			return false
		}
	}
	return true
}

// information is the negative binary logarithm of a frequent word's share of
// running text.
func information(lex string, h uint32) (bits float64, ok bool) {
	if len(lex) == 0 {
		return 0, false
	}
	from, n := lexiconHead+int(u32(lex, 0)), int(u32(lex, 4))
	// Hashes are even over all 32 bits: where one stands is told from what it is.
	at := int(uint64(h) * uint64(n) >> 32)
	for at > 0 && u32(lex, from+4*(at-1)) >= h {
		at--
	}
	for at < n && u32(lex, from+4*at) < h {
		at++
	}
	if at == n || u32(lex, from+4*at) != h {
		return 0, false
	}
	return float64(lex[from+4*n+at]) / 8, true
}

// BuildLexicon writes a lexicon of words and of the information, in bits, of
// the frequent ones.
func BuildLexicon(words []string, bits map[string]float64) []byte {
	size := uint32(len(words)*bloomPerWord/8 + 8)
	out := binary.LittleEndian.AppendUint32(nil, size)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(bits)))
	filter := make([]byte, size)
	for _, w := range words {
		h := hashWord([]byte(w))
		a, b := uint32(h), uint32(h>>32)|1
		for i := range uint32(bloomProbes) {
			bit := (a + i*b) % (size * 8)
			filter[bit/8] |= 1 << (bit % 8)
		}
	}
	out = append(out, filter...)
	frequent := slices.SortedFunc(maps.Keys(bits), func(a, b string) int {
		x, y := hashWord([]byte(a))>>32, hashWord([]byte(b))>>32
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
	for _, w := range frequent {
		out = binary.LittleEndian.AppendUint32(out, uint32(hashWord([]byte(w))>>32))
	}
	for _, w := range frequent {
		out = append(out, byte(math.Min(math.Round(8*bits[w]), 255)))
	}
	return out
}
