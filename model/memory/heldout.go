package memory

import (
	"cmp"
	"slices"

	"github.com/nexus-continuum/nexus/model/text"
)

// Lessons held out for judging: of answers with enough phrasings a tenth, at
// least one and not more than a few.
const (
	heldFrom  = 4
	heldShare = 10
	heldMost  = 4
)

// HeldOut tells which lessons are for judging only: gradient steps never see
// them. They answer from memory as all others do. Which they are follows from
// their texts, so that they stay the same as others come and go.
func (s *Store) HeldOut() map[uint32]bool {
	out := map[uint32]bool{}
	type ordered struct {
		number uint32
		hash   uint64
	}
	var lessons []ordered
	for _, a := range s.answers {
		if a == nil || len(a.lessons) < heldFrom {
			continue
		}
		lessons = lessons[:0]
		for _, n := range a.lessons {
			lessons = append(lessons, ordered{n, text.Hash(s.prompt(n))})
		}
		slices.SortFunc(lessons, func(a, b ordered) int { return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.number, b.number)) })
		for _, l := range lessons[:min(max(len(lessons)/heldShare, 1), heldMost)] {
			out[l.number] = true
		}
	}
	return out
}

// Sum is the sum of the vectors of answer a. It must not be changed.
func (s *Store) Sum(a uint32) []float32 { return s.answers[a].sum }

// Hollow gives the prompt of lesson n without its telling words: those that
// few answers know. What is left asks for nothing in particular. It is empty
// where no word or every word is left.
func (s *Store) Hollow(n uint32, sc *Scratch) string {
	sc.other.Read(s.prompt(n))
	common := max(3, s.known/50)
	var out []byte
	left := 0
	for t := range sc.other.Words() {
		if s.index.wordCount(sc.other.Key(t)) <= common {
			continue
		}
		if left++; left > 1 {
			out = append(out, ' ')
		}
		out = append(out, sc.other.Word(t)...)
	}
	if left == sc.other.Words() {
		return ""
	}
	return string(out)
}
