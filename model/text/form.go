package text

import (
	"unicode"
	"unicode/utf8"
)

// Form is the canonical form of a whole prompt, by which repeats are told:
// case, spacing and punctuation that carries no meaning are gone. "What's up?"
// and "what s UP" have one form; "C", "C++" and "C#" have three, and so have
// "3.5" and "35". Its slices are reused by the next Read.
type Form struct {
	text   []byte
	ends   []int32
	keys   []uint64
	sets   []uint32 // of the letters of each word
	normed []byte
}

// Normalise returns the canonical words of s, joined by single spaces. A prompt
// of punctuation only keeps it.
func Normalise(s string) string {
	var f Form
	f.Read(s)
	return f.String()
}

// Words returns the number of words; unlike Prompt it keeps all of them.
func (f *Form) Words() int { return len(f.ends) }

// Speaks reports whether a word of f holds a letter or a digit.
func (f *Form) Speaks() bool {
	for i := 0; i < len(f.text); {
		r, size := utf8.DecodeRune(f.text[i:])
		if unicode.IsLetter(r) || unicode.IsNumber(r) {
			return true
		}
		i += size
	}
	return false
}

// Word returns word t, valid until the next Read.
func (f *Form) Word(t int) []byte {
	var from int32
	if t > 0 {
		from = f.ends[t-1]
	}
	return f.text[from:f.ends[t]]
}

// Spelling returns word t ready to be compared with others.
func (f *Form) Spelling(t int) Spelling { return Spelling{f.Word(t), f.sets[t]} }

// Key returns the 64-bit hash of word t.
func (f *Form) Key(t int) uint64 { return f.keys[t] }

// String joins the words by spaces.
func (f *Form) String() string {
	out := make([]byte, 0, len(f.text)+len(f.ends))
	for t := range f.ends {
		if t > 0 {
			out = append(out, ' ')
		}
		out = append(out, f.Word(t)...)
	}
	return string(out)
}

// Hash identifies the words in their order.
func (f *Form) Hash() uint64 { return f.HashWith(-1, 0) }

// HashWith is the Hash that f would have if the key of word t were key.
func (f *Form) HashWith(t int, key uint64) uint64 {
	h := uint64(fnvOffset)
	for i, k := range f.keys {
		if i == t {
			k = key
		}
		h = mix(h*fnvPrime + k)
	}
	return h
}

// Bag identifies the words whatever their order.
func (f *Form) Bag() uint64 {
	h := uint64(len(f.keys))
	for _, k := range f.keys {
		h += k
	}
	return mix(h)
}

// Joined identifies the letters whatever the spacing.
func (f *Form) Joined() uint64 { return hashWord(f.text) }

// SameWords reports whether f and g have equal words in equal order.
func (f *Form) SameWords(g *Form) bool {
	return string(f.text) == string(g.text) && equalEnds(f.ends, g.ends)
}

// SameLetters reports whether f and g differ in spacing at most.
func (f *Form) SameLetters(g *Form) bool { return string(f.text) == string(g.text) }

func equalEnds(a, b []int32) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// Read fills f with the form of s. Once f has grown it allocates nothing.
func (f *Form) Read(s string) {
	f.normed = normalised(f.normed, s)
	f.read(false)
	if len(f.ends) == 0 {
		f.read(true)
	}
	f.keys, f.sets = f.keys[:0], f.sets[:0]
	for t := range f.ends {
		w := f.Word(t)
		f.keys, f.sets = append(f.keys, hashWord(w)), append(f.sets, letters(w))
	}
}

// read walks the normalised text; all keeps punctuation too.
func (f *Form) read(all bool) {
	f.text, f.ends = f.text[:0], f.ends[:0]
	before, kept, inWord := ' ', ' ', false
	for i := 0; i < len(f.normed); {
		if n := plainRun(f.normed[i:]); n > 0 { // most of most prompts
			f.putPlain(f.normed[i:i+n], inWord)
			i, inWord = i+n, true
			before = rune(f.text[len(f.text)-1])
			kept = before
			continue
		}
		r, size := utf8.DecodeRune(f.normed[i:])
		i += size
		r = fold(r)
		switch classOf(r) {
		case skip:
			continue
		case space:
			inWord = false
		case letter:
			if !inWord && unicode.IsMark(r) {
				continue
			}
			f.put(r, inWord)
			inWord = true
		case alone:
			f.put(r, false)
			inWord = false
		case symbol:
			after, _ := utf8.DecodeRune(f.normed[min(i, len(f.normed)):])
			switch keep := meaning(r, before, kept, after); {
			case all || keep == word:
				f.put(r, false)
				inWord = false
			case keep == glue:
				f.put(r, inWord)
				inWord = true
			case keep == nothing:
				inWord = false
			}
		}
		before = r
		if n := len(f.text); n > 0 {
			kept, _ = utf8.DecodeLastRune(f.text)
		}
	}
}

func (f *Form) put(r rune, continues bool) {
	if !continues {
		f.ends = append(f.ends, 0)
	}
	f.text = utf8.AppendRune(f.text, r)
	f.ends[len(f.ends)-1] = int32(len(f.text))
}

// plainRun is how many letters and digits of ASCII b begins with.
func plainRun(b []byte) int {
	for i, c := range b {
		if c >= utf8.RuneSelf || asciiClass[c] != letter {
			return i
		}
	}
	return len(b)
}

// putPlain is put for letters and digits of ASCII.
func (f *Form) putPlain(run []byte, continues bool) {
	if !continues {
		f.ends = append(f.ends, 0)
	}
	at := len(f.text)
	f.text = append(f.text, run...)
	for i, c := range f.text[at:] {
		if 'A' <= c && c <= 'Z' {
			f.text[at+i] = c + 'a' - 'A'
		}
	}
	f.ends[len(f.ends)-1] = int32(len(f.text))
}

// What a symbol between two runes means to the form of a prompt.
type sense uint8

const (
	nothing sense = iota // ends a word and is dropped
	glue                 // belongs to the word: 3.5, .net, c#
	word                 // is a word: 2 + 2
)

// meaning decides about symbol r between the runes before and after; kept is
// the last one that stayed. Dropping what carries meaning would let one lesson
// overwrite another, so only plain punctuation is dropped.
func meaning(r, before, kept, after rune) sense {
	wordBefore, wordAfter := wordly(before), wordly(after)
	switch r {
	case '.', ',':
		switch {
		case unicode.IsDigit(before) && unicode.IsDigit(after):
			return glue
		case r == '.' && !wordBefore && wordAfter:
			return glue
		}
		return nothing
	case '-':
		switch {
		case unicode.IsLetter(before) || !unicode.IsDigit(after) && after != ' ':
			return nothing
		case unicode.IsDigit(kept):
			return word
		case unicode.IsDigit(after):
			return glue
		}
		return nothing
	case '#', '+':
		if wordBefore || before == r {
			return glue
		}
		return word
	case '&', '%', '@', '*', '/', '\\':
		return word
	}
	if unicode.IsPunct(r) {
		return nothing
	}
	return word
}

func wordly(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.IsMark(r) }
