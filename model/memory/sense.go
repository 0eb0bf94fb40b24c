package memory

import (
	"math"

	"github.com/nexus-continuum/nexus/model/kernel"
)

// Words returns the vectors of single words.
type Words interface {
	// Dim is the length of the vectors.
	Dim() int
	// Vector writes the unit vector of the word with that key into dst [d].
	Vector(dst []float32, key uint64, word []byte)
}

// enoughTelling is the weight by itself of a word from which on a prompt says
// something: “how do I” is in every question.
const enoughTelling = 0.5

// sense compares the prompt and the lesson at hand word by word, each word with
// the one that comes nearest to it in meaning (late interaction: Khattab and
// Zaharia, 2004.12832, here over the plain vectors of the words), and with the
// one that is most like it by letters. It sets c.Sense, c.Echo, c.Strange and
// c.Instead.
func (s *Store) sense(q *Query, c *Candidate, total float32, sc *Scratch) {
	if q.Words == nil || c.Lone == 0 {
		return
	}
	lesson := &sc.compared
	if len(lesson.ours) == 0 { // the first candidate that needs them
		s.loadWordVectors(q, sc)
	}
	n := min(len(lesson.places), maxSensed)
	for t := range n {
		s.senseWord(q, t, sc)
	}
	var got, telling, odd float32
	for i := range sc.words[:lesson.height] {
		w := &sc.words[i]
		meant, spelt := lesson.nearest(i, n)
		got += w.weight * meant
		telling = max(telling, w.own)
		c.Strange = max(c.Strange, w.own*(1-max(meant, spelt)))
		if spelt == 0 {
			odd = max(odd, w.own*(1-max(meant, 0)))
		}
	}
	told := min(telling/enoughTelling, 1)
	c.Strange = c.Lone * max(c.Strange, 1-told)
	echo, oddThere := lesson.echoed(n)
	c.Sense, c.Echo = c.Lone*told*got/total, c.Lone*told*echo
	c.Instead = min(odd, oddThere)
}

// nearest returns the highest similarity in meaning, and the highest by letters, between
// word i of the prompt and the first n words of the current lesson.
func (c *comparison) nearest(i, n int) (meant, spelt float32) {
	for _, place := range c.places[:n] {
		from, _ := c.column(place)
		meant, spelt = max(meant, c.meant[from+i]), max(spelt, c.spelt[from+i])
	}
	return meant, spelt
}

// echoed weighs the words of the lesson at hand by how near the prompt comes to
// each, as far as the first n go, and gives the weight by itself of the most
// telling one that is like none of the prompt's.
func (c *comparison) echoed(n int) (echo, odd float32) {
	var got, total float32
	for t, place := range c.places {
		w := &c.words[place]
		total += w.weight
		if t >= n {
			continue
		}
		got += w.weight * w.echo
		if w.letters == 0 {
			odd = max(odd, w.own*(1-max(w.echo, 0)))
		}
	}
	if total == 0 {
		return 0, odd
	}
	return got / total, odd
}

// manyLessons is the number of lessons from which on more lessons say nothing new about
// how an answer is asked.
const manyLessons = 16

// sparsity is 1 for an answer with a single lesson. It falls with the number of
// lessons as the error of a mean does, and is 0 from manyLessons on.
func (s *Store) sparsity(number uint32) float32 {
	n := max(s.lessonsOf(number), 1)
	least := 1 / math.Sqrt(manyLessons)
	return float32(max(0, (1/math.Sqrt(float64(n))-least)/(1-least)))
}

// lessonsOf returns how many lessons an answer has. A lesson that is left out counts too.
// Otherwise its answer would stand out by the number alone.
func (s *Store) lessonsOf(number uint32) int { return len(s.answers[number].lessons) }

// fewLessons is the largest number of lessons for which Twin counts. With more lessons,
// memory itself distinguishes better (on CLINC150 with ten phrasings Twin costs 0.003 of
// AUROC).
const fewLessons = 3

// findTwins fills in Twin of the candidates whose answer has few lessons.
func (s *Store) findTwins(f *Found) {
	for i := range f.Candidates {
		c := &f.Candidates[i]
		if s.lessonsOf(c.Answer) > fewLessons {
			continue
		}
		v := s.vector(c.Lesson)
		for j := range f.Candidates {
			if other := s.vector(f.Candidates[j].Lesson); j != i && v != nil && other != nil {
				c.Twin = max(c.Twin, kernel.Dot(v, other))
			}
		}
	}
}
