package text

import (
	"math/bits"
	"unicode"
	"unicode/utf8"
)

// maxTypoRunes bounds the words that are compared letter by letter.
const maxTypoRunes = 32

// Typo reports whether w may be a slip of the hand for the word of: one letter
// added, lost, changed or two neighbours swapped; two such slips in words of
// eight letters or more. In words of up to three letters only a swap counts,
// since nearly every other change makes another word, and a word with a digit
// is never a slip: 1994 is not 1998. Whether w is a word of its own is for the
// caller to know.
func Typo(w, of []byte) bool { return Spell(w).typo(Spell(of)) && !otherHead(w, of) }

func (w Spelling) typo(of Spelling) bool {
	if farApart(w.Word, of.Word) {
		return false
	}
	if w.letters != 0 && of.letters != 0 {
		return len(w.Word) <= maxTypoRunes && len(of.Word) <= maxTypoRunes &&
			fewSlips(w.Word, of.Word, bits.OnesCount32(w.letters^of.letters))
	}
	var a, b [maxTypoRunes]rune
	m, n := runesOf(&a, w.Word), runesOf(&b, of.Word)
	return fewSlips(a[:m], b[:n], 0)
}

// fewSlips reports whether so few slips as Typo allows lead from a to b, of
// whose letters unshared are in one only.
func fewSlips[T byte | rune](a, b []T, unshared int) bool {
	m, n := len(a), len(b)
	most := 1
	if min(m, n) >= 8 {
		most = 2
	}
	// One slip brings in a letter at most, and drops another.
	if m < 2 || n < 2 || m-n > most || n-m > most || unshared > 2*most {
		return false
	}
	d, swapped := slips(a, b)
	return d > 0 && d <= most && (swapped || min(m, n) > 3)
}

// letters is the set of the letters of w, one bit each; 0 where it is made of
// others than a to z.
func letters(w []byte) (set uint32) {
	for _, b := range w {
		if b < 'a' || b > 'z' {
			return 0
		}
		set |= 1 << (b - 'a')
	}
	return set
}

// farApart says at a glance that w and of are no slips of each other: lengths
// too different, or, in words where one slip is all there may be, another first
// and another last byte.
func farApart(w, of []byte) bool {
	m, n := len(w), len(of)
	if m == 0 || n == 0 || m-n > 2*utf8.UTFMax || n-m > 2*utf8.UTFMax {
		return true
	}
	short := min(m, n)
	return short > 3 && short < 8 && w[0] != of[0] && w[m-1] != of[n-1]
}

// runesOf decodes w; 0 says that w is too long or not made of letters.
func runesOf(dst *[maxTypoRunes]rune, w []byte) int {
	n := 0
	for i := 0; i < len(w); {
		r, size := utf8.DecodeRune(w[i:])
		if n == maxTypoRunes || !unicode.IsLetter(r) && !unicode.IsMark(r) {
			return 0
		}
		dst[n] = r
		n++
		i += size
	}
	return n
}

// slips is the optimal string alignment distance of a and b; swapped tells
// that equal lengths and one exchange of neighbours explain a distance of 1.
func slips[T byte | rune](a, b []T) (distance int, swapped bool) {
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	if len(a) == 2 && len(b) == 2 && a[0] == b[1] && a[1] == b[0] {
		return 1, true
	}
	var rows [3][maxTypoRunes + 1]uint8
	before, last, row := &rows[0], &rows[1], &rows[2]
	for j := range len(b) + 1 {
		last[j] = uint8(j)
	}
	for i := 1; i <= len(a); i++ {
		row[0] = uint8(i)
		for j := 1; j <= len(b); j++ {
			cost := uint8(1)
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return int(last[len(b)]), false
}

// Deletions appends to dst the hashes of w and of w with any one letter left
// out. Two words within one slip of each other share one of them (SymSpell,
// W. Garbe). Words too short or too long for Typo give none.
func Deletions(dst []uint64, w []byte) []uint64 {
	n := utf8.RuneCount(w)
	if n < 2 || n > maxTypoRunes {
		return dst
	}
	dst = append(dst, hashWord(w))
	for i := 0; i < len(w); {
		_, size := utf8.DecodeRune(w[i:])
		dst = append(dst, mix(hashBytes(hashBytes(fnvOffset, w[:i]), w[i+size:])))
		i += size
	}
	return dst
}

// Moved reports whether g is f with one run of words moved elsewhere: "my
// password, how do I reset it" for "how do I reset it, my password". Two words
// that change places, as in "miles to km" and "km to miles", are no such move:
// that is how opposite questions differ.
func Moved(f, g *Form) bool {
	a, b := f.keys, g.keys
	if len(a) != len(b) {
		return false
	}
	for len(a) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	for k := 1; k < len(a); k++ {
		if equalKeys(a[k:], b[:len(a)-k]) && equalKeys(a[:k], b[len(a)-k:]) {
			return true
		}
	}
	return false
}

func equalKeys(a, b []uint64) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
