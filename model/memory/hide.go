package memory

import (
	"slices"

	"github.com/nexus-continuum/nexus/model/kernel"
)

// veil is what a store holds and does not answer with. An edit drops it, since it
// may number lessons anew.
type veil struct {
	lessons []uint64                 // bit set of lesson numbers
	live    kernel.Bitmap            // rows that may be found
	within  map[string]kernel.Bitmap // and of those the rows of each topic
	count   int
	topics  map[string]int // hidden lessons by topic
	answers int            // answers of which every lesson is hidden
	words   map[uint64]int // how many of those know a word
}

// Hiding returns a store that answers as if the lessons that hide picks had never
// been taught, and still lists them. Lessons that s hid and hide does not pick
// answer again.
func (s *Store) Hiding(hide func(topic, response string, refusal bool) bool) *Store {
	out := *s
	out.veil = nil
	if hide == nil {
		return &out
	}
	type of struct {
		answer uint32
		topic  string
	}
	var v *veil
	asked := map[of]bool{}
	s.Each(0, func(n, answer uint32) bool {
		key := of{answer, s.topic(n)}
		hidden, known := asked[key]
		if !known {
			a := s.answers[answer]
			hidden = hide(key.topic, a.response, a.refusal)
			asked[key] = hidden
		}
		if !hidden {
			return true
		}
		if v == nil {
			v = &veil{lessons: make([]uint64, s.next>>6+1), live: append(kernel.Bitmap{}, s.live...), within: map[string]kernel.Bitmap{}, topics: map[string]int{}}
		}
		v.lessons[n>>6] |= 1 << (n & 63)
		v.count++
		v.topics[key.topic]++
		if v.within[key.topic] == nil {
			v.within[key.topic] = append(kernel.Bitmap{}, s.within[key.topic]...)
		}
		s.forbid(v.live, n)
		s.forbid(v.within[key.topic], n)
		return true
	})
	if v != nil {
		v.words = map[uint64]int{}
		for _, a := range s.answers {
			if a != nil && !slices.ContainsFunc(a.lessons, func(n uint32) bool { return v.lessons[n>>6]&(1<<(n&63)) == 0 }) {
				v.answers++
				for _, w := range a.words {
					v.words[w]++
				}
			}
		}
	}
	out.veil = v
	return &out
}

// answersWithWord is how many answers that may be given know a word: one that only hidden
// answers know is as strange as if nobody had taught it.
func (s *Store) answersWithWord(word uint64) int {
	n := s.vocabulary.count(word)
	if s.veil != nil {
		n -= s.veil.words[word]
	}
	return n
}

// Given is how many answers may be given.
func (s *Store) Given() int {
	if s.veil != nil {
		return s.known - s.veil.answers
	}
	return s.known
}

func (s *Store) hidden(n uint32) bool {
	return s.veil != nil && s.veil.lessons[n>>6]&(1<<(n&63)) != 0
}

// Shown is how many lessons of a topic, or of all, may answer.
func (s *Store) Shown(topic string) int {
	all, hidden := s.Len(), 0
	if topic != "" {
		all = s.topics[topic]
	}
	if s.veil != nil {
		hidden = s.veil.count
		if topic != "" {
			hidden = s.veil.topics[topic]
		}
	}
	return all - hidden
}

// findable are the rows that may be found, of a topic or of all; nil where there
// are none of the topic.
func (s *Store) findable(topic string) kernel.Bitmap {
	switch {
	case topic == "" && s.veil != nil:
		return s.veil.live
	case topic == "":
		return s.live
	case s.veil != nil && s.veil.within[topic] != nil:
		return s.veil.within[topic]
	}
	return s.within[topic]
}
