package topic

import (
	"strings"
	"unicode"
)

// Normalise gives the form in which two prompts are compared: lower case, words
// with one space between them, apostrophes removed and the other punctuation of
// sentences taken as a space. Symbols that tell questions apart (the # of C#,
// the + of C++, %, &, …) stay. A prompt without any word or symbol gives "".
func Normalise(prompt string) string {
	var b strings.Builder
	b.Grow(len(prompt))
	gap := false
	for _, r := range prompt {
		switch {
		case strings.ContainsRune("'’‘ʼ`´", r):
			continue
		case unicode.IsSpace(r), unicode.IsControl(r), isPause(r):
			gap = true
			continue
		}
		if gap && b.Len() > 0 {
			b.WriteByte(' ')
		}
		gap = false
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// isPause tells punctuation that only shapes a sentence from punctuation that
// is part of a name.
func isPause(r rune) bool {
	if strings.ContainsRune("#%&*@/\\", r) {
		return false
	}
	return unicode.IsPunct(r)
}
