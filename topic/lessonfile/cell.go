package lessonfile

import (
	"regexp"
	"slices"
	"strings"
)

var (
	// formula is what a spreadsheet program would run instead of showing. Quotes before
	// it are the sign that it should not.
	formula = regexp.MustCompile(`^'*[=+\-@\t\r]`)
	// figure is a number, or a telephone number, which does nothing when it is run.
	figure = regexp.MustCompile(`^[+\-]?[0-9][0-9 .,:/()\-]*%?$`)
	// article is the beginning of a cell that holds a part of a web page.
	article = regexp.MustCompile(`(?i)^\s*<(p|div|ul|ol|h[1-6]|table|span|section|article|br)\b[^<>]*/?>`)
)

// Guarded is text for the cell of a table that people open in a spreadsheet program.
// Text that such a program would run as a formula gets a single quote in front. Reading
// a table takes it off again.
func Guarded(text string) string {
	if formula.MatchString(text) && !figure.MatchString(text) {
		return "'" + text
	}
	return text
}

// unguarded undoes Guarded.
func unguarded(text string) string {
	if strings.HasPrefix(text, "'") && formula.MatchString(text) && !figure.MatchString(text[1:]) {
		return text[1:]
	}
	return text
}

// shown is the text of a cell. Help centres export their articles as HTML.
func shown(text, column string) string {
	if slices.Contains(articleNames, plain(column)) && article.MatchString(text) {
		return tidyBlock(stripped(text))
	}
	return text
}
