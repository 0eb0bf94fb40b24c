package job

import (
	"fmt"
	"unicode"
)

// Misleading describes what in a text nobody writes and misleads later readers of it, in
// a terminal or on a page; "" if there is nothing. These are control characters other
// than tab and line ends, and characters that change the direction of writing beyond the
// place where they stand: overrides and embeddings, and isolates that are not closed on
// their line (UAX #9). Marks of direction and closed isolates belong to ordinary text.
func Misleading(text string) string {
	var opened []rune
	for _, r := range text {
		switch {
		case r == '\n' || r == '\r' || r == '\u2029':
			if len(opened) > 0 {
				return unclosed(opened[0])
			}
		case r == '\t':
		case unicode.IsControl(r):
			return fmt.Sprintf("the control character U+%04X", r)
		case r >= 0x202a && r <= 0x202e:
			return fmt.Sprintf("U+%04X, which forces the direction of writing", r)
		case r >= 0x2066 && r <= 0x2068:
			opened = append(opened, r)
		case r == 0x2069:
			if len(opened) == 0 {
				return "U+2069, which closes a direction of writing that was not opened on its line"
			}
			opened = opened[:len(opened)-1]
		}
	}
	if len(opened) > 0 {
		return unclosed(opened[0])
	}
	return ""
}

func unclosed(r rune) string {
	return fmt.Sprintf("U+%04X, which opens a direction of writing that is not closed (by U+2069) on its line", r)
}
