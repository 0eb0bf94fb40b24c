package model

import (
	"cmp"
	"slices"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/model/memory"
)

// Outlook is what to expect of prompts that were not taught word for word, of one
// topic or of all.
func (m *Model) Outlook(topic string) job.Outlook {
	answered, wrong := m.gate.Expected(topic)
	out := job.Outlook{Answered: answered, Wrong: wrong}
	phrasings := map[uint32]int{}
	m.store.Each(0, func(n, a uint32) bool {
		if topic == "" || m.store.Topic(n) == topic {
			phrasings[a]++
		}
		return true
	})
	if out.Answers = len(phrasings); out.Answers == 0 {
		return job.Outlook{} // nothing taught, nothing answered
	}
	for _, n := range phrasings {
		if n == 1 {
			out.SinglePhrasing++
		}
	}
	return out
}

// Collision are two answers that are easily taken for each other: a lesson of one
// is about as near to the other as to its own.
type Collision struct {
	// Answers are numbers as Entry gives them, the lower first.
	Answers [2]uint32
	// Lessons are the nearest ones, one of each, by their prompts.
	Lessons    [2]string
	Similarity float64
}

// Bounds of the search for collisions: how many lessons of a topic are looked at,
// how near the lessons of two answers are at least, and how many pairs are told.
const (
	collidingLessons = 1000
	collidingFrom    = 0.8
	maxCollisions    = 50
)

// Collisions lists the pairs of answers of a topic, or with answers of others,
// that are easily taken for each other, the nearest first.
func (m *Model) Collisions(topic string) []Collision {
	s := m.get()
	defer m.put(s)
	found := map[[2]uint32]Collision{}
	left := collidingLessons
	m.store.Each(0, func(n, a uint32) bool {
		v := m.store.Vector(n)
		if v == nil || topic != "" && m.store.Topic(n) != topic {
			return true
		}
		s.queries = append(s.queries[:0], memory.Query{Vector: v, WithoutLesson: n + 1, WithoutAnswer: a + 1, NearOnly: true})
		m.store.Search(s.queries, s.found, &s.memory)
		if near := s.found[0].Near; len(near) > 0 && near[0].Similarity >= collidingFrom {
			other := m.store.Answer(near[0].Lesson)
			c := Collision{Answers: [2]uint32{a, other}, Lessons: [2]string{m.store.Prompt(n), m.store.Prompt(near[0].Lesson)}, Similarity: min(float64(near[0].Similarity), 1)}
			if other < a {
				c.Answers[0], c.Answers[1], c.Lessons[0], c.Lessons[1] = c.Answers[1], c.Answers[0], c.Lessons[1], c.Lessons[0]
			}
			if c.Similarity > found[c.Answers].Similarity {
				found[c.Answers] = c
			}
		}
		left--
		return left > 0
	})
	out := make([]Collision, 0, len(found))
	for _, c := range found {
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b Collision) int {
		return cmp.Or(cmp.Compare(b.Similarity, a.Similarity), slices.Compare(a.Answers[:], b.Answers[:]))
	})
	return out[:min(len(out), maxCollisions)]
}
