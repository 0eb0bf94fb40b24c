package text

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// class says what a rune is to the splitter.
type class uint8

const (
	space  class = iota // separates words and is dropped
	skip                // dropped without separating: joiners, selectors
	letter              // part of a run of letters or digits
	alone               // a word by itself: a CJK character
	symbol              // a word by itself: anything else that can be seen
)

// asciiClass answers for the common case by a table.
var asciiClass = func() (t [utf8.RuneSelf]class) {
	for c := range t {
		switch {
		case c <= ' ' || c == 0x7f:
			t[c] = space
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
			t[c] = letter
		default:
			t[c] = symbol
		}
	}
	return t
}()

func classOf(r rune) class {
	if r < utf8.RuneSelf {
		return asciiClass[r]
	}
	switch {
	case unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana):
		return alone
	case isOptionalSign(r):
		return skip
	case unicode.IsLetter(r), unicode.IsNumber(r):
		return letter
	case unicode.IsMark(r):
		return letter // a vowel sign or accent; the splitter drops it at the start of a word
	case unicode.IsSpace(r), unicode.Is(unicode.Cc, r), unicode.Is(unicode.Z, r):
		return space
	case unicode.Is(unicode.Cf, r):
		return skip
	}
	return symbol
}

// isOptionalSign reports whether r is a sign that some write and most leave out, so
// that a word is the same with and without it.
func isOptionalSign(r rune) bool {
	switch {
	case r == 0x0307: // what lower case of the Turkish capital İ leaves on an i; other letters have it built in
	case r == 0x0640: // Arabic, draws a word out
	case 0x064B <= r && r <= 0x0655, r == 0x0670: // Arabic vowels, doubling, hamza without a seat of its own
	case 0x0610 <= r && r <= 0x061A, 0x06D6 <= r && r <= 0x06DC, 0x06DF <= r && r <= 0x06E4, 0x06E7 <= r && r <= 0x06ED: // signs of recitation
	case 0x05B0 <= r && r <= 0x05BD, r == 0x05BF, r == 0x05C1, r == 0x05C2, r == 0x05C7: // Hebrew vowels
	default:
		return false
	}
	return true
}

// fold maps a rune to the form that stands for all its cases, and a letter that
// is typed in several ways to one of them.
func fold(r rune) rune {
	if r < utf8.RuneSelf {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}
	switch r {
	case 'ς':
		return 'σ'
	case '’', '‘', 'ʼ', '＇', '´':
		return '\''
	case '“', '”', '„':
		return '"'
	case '–', '—', '‐', '‑', '−':
		return '-'
	case 'ı', 'İ': // ASCII I is i, whatever the language
		return 'i'
	case 'آ', 'أ', 'إ', 'ٱ':
		return 'ا'
	case 'ؤ':
		return 'و'
	case 'ئ', 'ى', 'ی': // with hamza, without dots, and as Persian keyboards have it
		return 'ي'
	case 'ک':
		return 'ك'
	}
	switch { // Arabic and Persian digits
	case '٠' <= r && r <= '٩':
		return r - '٠' + '0'
	case '۰' <= r && r <= '۹':
		return r - '۰' + '0'
	}
	return unicode.ToLower(r)
}

// normalised returns s in NFKC, in scratch where s is not so already.
func normalised(scratch []byte, s string) []byte {
	scratch = scratch[:0]
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			// norm leaves some letters as they are behind a byte that is no UTF-8.
			return norm.NFKC.AppendString(scratch, strings.ToValidUTF8(s, string(utf8.RuneError)))
		}
	}
	return append(scratch, s...)
}

// split fills the words of p.
func (p *Prompt) split(s string) {
	p.normed = normalised(p.normed, s)
	p.cut()
}

// cut fills the words of p from its normalised text.
func (p *Prompt) cut() {
	p.folded, p.ends, p.marks, p.Dropped = p.folded[:0], p.ends[:0], p.marks[:0], 0
	inWord := false
	for i := 0; i < len(p.normed); {
		r, size := rune(p.normed[i]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRune(p.normed[i:])
		}
		i += size
		switch c := classOf(r); c {
		case space:
			inWord = false
		case skip:
		case letter:
			if !inWord && r >= utf8.RuneSelf && unicode.IsMark(r) {
				continue
			}
			p.put(r, inWord, false)
			inWord = true
		default:
			p.put(r, false, c == symbol)
			inWord = false
		}
	}
	p.Words = len(p.ends)
}

// put appends r to the last word if it continues it, else starts a new one.
func (p *Prompt) put(r rune, continues, mark bool) {
	switch {
	case continues && p.Dropped > 0:
		return
	case !continues && len(p.ends) == MaxWords:
		p.Dropped++
		return
	case !continues:
		p.ends = append(p.ends, 0)
		p.marks = append(p.marks, mark)
	}
	p.folded = utf8.AppendRune(p.folded, fold(r))
	p.ends[len(p.ends)-1] = int32(len(p.folded))
}
