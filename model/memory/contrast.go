package memory

import "github.com/nexus-continuum/nexus/model/text"

// One bare word is not the question of a lesson that says more: it counts as if
// something else were asked.
const (
	bareTheirs  = 0.3
	bareInstead = 0.4
)

// roleLone times Lone is how much it tells that two words change their roles: all up
// to six lessons, less beside more, which show by themselves what may change.
const roleLone = 4

// contrast compares the prompt with the nearest lesson of c, in sc.compared,
// word by word. What varies among the lessons of an answer does not turn its
// meaning: the city of "weather in Paris" does where all lessons name Paris.
func (s *Store) contrast(q *Query, c *Candidate, sc *Scratch) {
	lesson := &sc.compared.lesson
	if q.Words == nil || c.Lone == 0 {
		c.Instead = 1 // words are not compared by meaning
	}
	k := sc.aligner.Align(q.Form, lesson)
	c.Same, c.Asked = k.Same, k.Asked
	c.Negated, c.Opposite, c.Other = 0, 0, 0
	c.Swapped = k.Swapped * min(1, roleLone*c.Lone)
	c.Instead = min(c.Instead, k.Ours, k.Theirs) * k.Same * k.Same
	c.Whole = k.Whole()
	if q.Form.Words() == 1 && k.Theirs >= bareTheirs {
		c.Instead = max(c.Instead, bareInstead)
	}
	if k.Negated > 0 {
		c.Negated = s.turnedBy(q, c.Answer)
	}
	if k.At >= 0 && s.shareWithWord(q, c.Answer, q.Form.Key(k.At)) == 0 {
		share := s.shareWithWord(q, c.Answer, lesson.Key(k.With))
		c.Opposite, c.Other = k.Opposite*share, k.Other*share
	}
}

// shareWithWord is the share of the lessons of an answer, less the one left out, that
// hold a word.
func (s *Store) shareWithWord(q *Query, number uint32, key uint64) float32 {
	a := s.answers[number]
	n, all := a.count(key), len(a.lessons)
	if l := q.WithoutLesson; l > 0 && s.answerOf(l-1) == number {
		all--
		for t := range q.Form.Words() {
			if q.Form.Key(t) == key {
				n--
				break
			}
		}
	}
	return float32(max(n, 0)) / float32(max(all, 1))
}

// Lessons of an answer that are negated as the prompt is show that a negation turns
// nothing there, if they are this many and this share of them: "I have no butter, can I
// use oil" is one way of asking for what else to use.
const (
	fewestNegated   = 2
	negatedByTheWay = 0.05
)

// turnedBy is how far a negation that the prompt and the nearest lesson do not share
// turns the meaning of an answer.
func (s *Store) turnedBy(q *Query, number uint32) float32 {
	alike := s.negated(q, number)
	if text.Negations(q.Form)%2 == 0 {
		alike = 1 - alike
	}
	if alike*float32(len(s.answers[number].lessons)) < fewestNegated-0.5 {
		return 1 - alike
	}
	return (1 - alike) * max(1-alike/negatedByTheWay, 0)
}

// negated is the share of the lessons of an answer that hold the negation that
// is most frequent among them.
func (s *Store) negated(q *Query, number uint32) (share float32) {
	for _, key := range text.NegationKeys() {
		share = max(share, s.shareWithWord(q, number, key))
	}
	return share
}
