package memory

import (
	"math"
	"slices"

	"github.com/nexus-continuum/nexus/model/kernel"
	"github.com/nexus-continuum/nexus/model/text"
)

// Words gives the vectors of words by themselves.
type Words interface {
	// Vector writes the unit vector of the word with that key into dst [d].
	Vector(dst []float32, key uint64, word []byte)
}

// maxSensed bounds the words of a prompt and of a lesson that are compared by
// meaning; the rest count as unlike all others.
const maxSensed = text.MaxWords

// enoughTelling is the weight by itself of a word from which on a prompt says
// something: “how do I” is in every question.
const enoughTelling = 0.5

// sense compares the prompt and the lesson in sc.other word by word, each word
// with the one that comes nearest to it in meaning (late interaction: Khattab
// and Zaharia, 2004.12832, here over the plain vectors of the words), and with
// the one that is most like it by letters. It sets c.Sense, c.Echo, c.Strange
// and c.Instead.
func (s *Store) sense(q *Query, c *Candidate, total float32, sc *Scratch) {
	if q.Words == nil || c.Lone == 0 {
		return
	}
	if len(sc.ours) == 0 { // the first candidate that needs them
		s.hear(q, sc)
	}
	n := min(sc.other.Words(), maxSensed)
	sc.theirs, sc.echo, sc.letters = zeros(sc.theirs, n*s.dim), zeros(sc.echo, n), zeros(sc.letters, n)
	for t := range n {
		q.Words.Vector(sc.theirs[t*s.dim:(t+1)*s.dim], sc.other.Key(t), sc.other.Word(t))
	}
	var got, telling, odd float32
	same := 0
	for i := range sc.words[:min(len(sc.words), maxSensed)] {
		w := &sc.words[i]
		meant, spelt := s.nearestWord(q, i, sc)
		got += w.weight * meant
		telling = max(telling, w.own)
		c.Strange = max(c.Strange, w.own*(1-max(meant, spelt)))
		switch spelt {
		case 1:
			same++
		case 0:
			odd = max(odd, w.own)
		}
	}
	told := min(telling/enoughTelling, 1)
	c.Strange = c.Lone * max(c.Strange, 1-told)
	echo, oddThere := s.echoed(sc)
	c.Sense, c.Echo = c.Lone*told*got/total, c.Lone*told*echo
	if s.lessonsOf(c.Answer) <= fewLessons {
		c.Instead = min(odd, oddThere) * float32(same) / float32(max(q.Form.Words(), sc.other.Words(), 1))
	}
}

// nearestWord compares word i of the prompt with those of the lesson in
// sc.other: how near the nearest comes in meaning, and how like the most like is
// by letters. It raises sc.echo and sc.letters, which hold the same for the
// words of the lesson.
func (s *Store) nearestWord(q *Query, i int, sc *Scratch) (meant, spelt float32) {
	w := &sc.words[i]
	word, ours := q.Form.Word(w.at), sc.ours[i*s.dim:(i+1)*s.dim]
	for t := range sc.echo {
		like, near := float32(1), float32(1)
		if sc.other.Key(t) != w.key {
			other := sc.other.Word(t)
			shared, whole := sharedLetters(word, other)
			like = 0
			if shared >= minShared {
				like = text.Alike(word, other)
			}
			switch {
			case like > 0:
				near = like
			case shared >= minShared && !whole && 2*shared >= min(len(word), len(other)), w.number, hasDigit(other):
				// The vectors are made of parts of words too, so that Iran and
				// Iraq, or Monday and Sunday, come near by their letters.
				near = 0
			default:
				near = kernel.Dot(ours, sc.theirs[t*s.dim:(t+1)*s.dim])
			}
		}
		meant, spelt = max(meant, near), max(spelt, like)
		sc.echo[t], sc.letters[t] = max(sc.echo[t], near), max(sc.letters[t], like)
	}
	return meant, spelt
}

// minShared is the number of bytes below which words are not near by letters.
const minShared = 2

// sharedLetters is how many bytes two words have in common at their heads and
// tails; whole says that one is all of a head or tail of the other, as in phone
// and telephone.
func sharedLetters(a, b []byte) (shared int, whole bool) {
	short := min(len(a), len(b))
	head, tail := 0, 0
	for head < short && a[head] == b[head] {
		head++
	}
	for tail < short && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	return head + tail, head == short || tail == short
}

// hear reads the vectors of the words of the prompt.
func (s *Store) hear(q *Query, sc *Scratch) {
	words := sc.words[:min(len(sc.words), maxSensed)]
	sc.ours = zeros(sc.ours, len(words)*s.dim)
	for i := range words {
		word := q.Form.Word(words[i].at)
		words[i].own, words[i].number = text.Weight(word), hasDigit(word)
		q.Words.Vector(sc.ours[i*s.dim:(i+1)*s.dim], words[i].key, word)
	}
}

func hasDigit(w []byte) bool {
	for _, b := range w {
		if '0' <= b && b <= '9' {
			return true
		}
	}
	return false
}

// zeros is n zeros, in place of s where they fit.
func zeros(s []float32, n int) []float32 {
	s = slices.Grow(s[:0], n)[:n]
	clear(s)
	return s
}

// echoed weighs the words of the lesson in sc.other by how near the prompt
// comes to each, and gives the weight by itself of the most telling one that is
// like none of the prompt's. sc.weights are those of back.
func (s *Store) echoed(sc *Scratch) (echo, odd float32) {
	var got, total float32
	for t, w := range sc.weights {
		total += w
		if t >= len(sc.echo) {
			continue
		}
		got += w * sc.echo[t]
		if sc.letters[t] == 0 {
			odd = max(odd, text.Weight(sc.other.Word(t)))
		}
	}
	if total == 0 {
		return 0, odd
	}
	return got / total, odd
}

// manyLessons is how many lessons of an answer say all about how it is asked.
const manyLessons = 16

// lone is how lonely the lessons of an answer are: 1 where there is but one,
// less the more there are, as the error of a mean falls, and 0 from manyLessons
// on.
func (s *Store) lone(number uint32) float32 {
	n := max(s.lessonsOf(number), 1)
	least := 1 / math.Sqrt(manyLessons)
	return float32(max(0, (1/math.Sqrt(float64(n))-least)/(1-least)))
}

// lessonsOf is how many lessons an answer has. One that is left out counts: if it
// did not, its answer would be told from all others by their number alone.
func (s *Store) lessonsOf(number uint32) int { return len(s.answers[number].lessons) }

// fewLessons is up to how many lessons of an answer say so little about how it
// is asked that Twin counts. With more they only tell apart what memory itself
// tells better (on CLINC150 with ten phrasings Twin costs 0.003 of AUROC).
const fewLessons = 3

// twins fills in Twin of the detailed candidates whose answer has few lessons.
func (s *Store) twins(f *Found) {
	detailed := f.Candidates[:min(len(f.Candidates), Detailed)]
	for i := range detailed {
		c := &detailed[i]
		if s.lessonsOf(c.Answer) > fewLessons {
			continue
		}
		v := s.vector(c.Lesson)
		for j := range detailed {
			if other := s.vector(detailed[j].Lesson); j != i && v != nil && other != nil {
				c.Twin = max(c.Twin, kernel.Dot(v, other))
			}
		}
	}
}
