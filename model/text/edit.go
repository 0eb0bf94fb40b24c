package text

import (
	"strings"
	"sync"
)

// edits are the words that stand for each other in a contrast: by word, its
// opposites, and the other members of its kind.
type edits struct{ opposites, kinds map[string][]string }

var readEdits = sync.OnceValue(func() edits {
	e := edits{map[string][]string{}, map[string][]string{}}
	for line := range strings.Lines(oppositeWords) {
		a, b, _ := strings.Cut(strings.TrimSpace(line), " ")
		e.opposites[a] = append(e.opposites[a], b)
		e.opposites[b] = append(e.opposites[b], a)
	}
	for line := range strings.Lines(kindWords) {
		members := strings.Fields(line)
		for _, w := range members {
			e.kinds[w] = append(e.kinds[w], members...)
		}
	}
	return e
})

// Opposites are the words listed as opposites of w. They must not be changed.
func Opposites(w string) []string { return readEdits().opposites[w] }

// Kin are the members of the kinds that w is of, itself among them. They must
// not be changed.
func Kin(w string) []string { return readEdits().kinds[w] }

// IsNumber reports whether w is made of digits alone.
func IsNumber(w []byte) bool {
	for _, c := range w {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(w) > 0
}

// Directed reports whether w puts the words beside it into different roles: to,
// from, than, before.
func Directed(w []byte) bool { return traitsOf(hashWord(w)).role > 0 }
