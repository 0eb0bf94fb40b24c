package memory

import (
	"cmp"
	"slices"

	"github.com/nexus-continuum/nexus/model/text"
)

// Lessons held out for judging: of answers with enough phrasings a tenth, at
// least one and not more than a few; where there are few answers a sixth, and so
// many that some two hundred come together.
const (
	heldFrom   = 4
	heldShare  = 10
	heldLarger = 6
	fewAnswers = 60
	heldMost   = 4
	heldInAll  = 240
)

// held is how many of n lessons of an answer are held out.
func (s *Store) held(n int) int {
	share := heldShare
	if s.known < fewAnswers {
		share = heldLarger
	}
	return min(max(n/share, 1), max(heldMost, heldInAll/max(s.known, 1)))
}

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
		for _, l := range lessons[:s.held(len(lessons))] {
			out[l.number] = true
		}
	}
	return out
}

// Sum is the sum of the vectors of answer a. It must not be changed.
func (s *Store) Sum(a uint32) []float32 { return s.answers[a].sum }

// leastTelling keeps mere wrapping (“what is the”) from being swapped.
const leastTelling = 0.2

// Swapped gives the prompt of lesson n with a made-up word in the place of the
// one that tells most of what the answer's lessons have in common: the frame of
// a known question around a thing that nobody taught. It is empty where they
// have no such word in common.
func (s *Store) Swapped(n uint32, sc *Scratch) string {
	a := s.answers[s.answerOf(n)]
	sc.other.Read(s.prompt(n))
	least := max(float32(min(2, len(a.lessons))), coreShare*float32(len(a.lessons)))
	at, most := -1, float32(0)
	for t := range sc.other.Words() {
		key := sc.other.Key(t)
		own := text.Weight(sc.other.Word(t))
		if float32(a.count(key)) < least || own < leastTelling {
			continue
		}
		if w := weightOf(s.known, s.vocabulary.count(key), own); w > most {
			at, most = t, w
		}
	}
	if at < 0 {
		return ""
	}
	var out []byte
	for t := range sc.other.Words() {
		if t > 0 {
			out = append(out, ' ')
		}
		if t == at {
			out = appendMadeUp(out, text.Hash(s.prompt(n)))
		} else {
			out = append(out, sc.other.Word(t)...)
		}
	}
	return string(out)
}

// appendMadeUp appends a word of three syllables that hash chooses.
func appendMadeUp(dst []byte, hash uint64) []byte {
	const consonants, vowels = "bdfgklmnprstvz", "aeiou"
	for range 3 {
		dst = append(dst, consonants[hash%uint64(len(consonants))])
		hash /= uint64(len(consonants))
		dst = append(dst, vowels[hash%uint64(len(vowels))])
		hash /= uint64(len(vowels))
	}
	return dst
}
