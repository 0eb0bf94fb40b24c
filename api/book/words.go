package book

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// fold appends s in lower case and without accents, so that "Café" is found by
// "cafe".
func fold(dst []byte, s string) []byte {
	for i := range len(s) {
		c := s[i]
		if c >= utf8.RuneSelf {
			return foldSlowly(dst, s[i:])
		}
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

func foldSlowly(dst []byte, s string) []byte {
	for _, r := range norm.NFKD.String(s) {
		if !unicode.Is(unicode.Mn, r) {
			dst = utf8.AppendRune(dst, unicode.ToLower(r))
		}
	}
	return dst
}

// words are what is searched for. Each must occur somewhere in the texts that
// are looked at; it may be a part of a word there.
type words struct {
	want  [][]byte
	found []bool
	text  []byte
}

func newWords(q string) *words {
	w := &words{}
	for _, f := range strings.Fields(string(fold(nil, q))) {
		w.want = append(w.want, []byte(f))
	}
	w.found = make([]bool, len(w.want))
	return w
}

func (w *words) any() bool { return len(w.want) > 0 }

func (w *words) reset() { clear(w.found) }

func (w *words) look(text string) {
	w.text = fold(w.text[:0], text)
	for i, want := range w.want {
		w.found[i] = w.found[i] || bytes.Contains(w.text, want)
	}
}

func (w *words) all() bool {
	for _, f := range w.found {
		if !f {
			return false
		}
	}
	return true
}
