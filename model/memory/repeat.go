package memory

import "github.com/nexus-continuum/nexus/model/text"

// Repeat says how a prompt repeats a taught one.
type Repeat uint8

// Kinds of repeat, nearest first.
const (
	NoRepeat Repeat = iota
	Same            // the same words in the same order
	Spacing         // the same letters, other spaces
	Order           // the same words, one run of them moved
	Slip            // one word mistyped
)

// maxSlips bounds how many lessons are looked at for one mistyped word.
const maxSlips = 64

// Repeated finds the newest lesson that the prompt of q repeats. A word counts
// as mistyped only if no lesson knows it and it is no word by itself: Iraq is
// not a slip for Iran. Of prompts taught in several topics the newest counts.
func (s *Store) Repeated(q *Query, sc *Scratch) (lesson uint32, how Repeat) {
	f := q.Form
	for _, try := range [...]struct {
		how  Repeat
		kind uint64
		key  uint64
	}{{Same, kindPrompt, f.Hash()}, {Spacing, kindJoined, f.Joined()}, {Order, kindBag, f.Bag()}} {
		s.index.newest(keyed(try.kind, try.key), func(n uint32) bool {
			if s.answers == nil || !s.visible(q, n) {
				return true
			}
			sc.other.Read(s.prompt(n))
			var ok bool
			switch try.how {
			case Same:
				ok = sc.other.SameWords(f)
			case Spacing:
				ok = sc.other.SameLetters(f)
			default:
				ok = text.Moved(f, &sc.other)
			}
			if ok {
				lesson, how = n, try.how
			}
			return !ok
		})
		if how != NoRepeat {
			return lesson, how
		}
	}
	return s.mistyped(q, sc)
}

// visible reports whether lesson n may answer q.
func (s *Store) visible(q *Query, n uint32) bool {
	return s.alive(n) && !s.hidden(n) && (q.Topic == "" || s.topic(n) == q.Topic) &&
		n+1 != q.WithoutLesson && s.answerOf(n)+1 != q.WithoutAnswer
}

// mistyped looks for a lesson that differs from f by one slip in one word.
func (s *Store) mistyped(q *Query, sc *Scratch) (lesson uint32, how Repeat) {
	f, at := q.Form, -1
	for t := range f.Words() {
		if s.answersWithWord(f.Key(t)) > 0 {
			continue
		}
		if at >= 0 {
			return 0, NoRepeat // two unknown words
		}
		at = t
	}
	if at < 0 || text.IsWord(f.Word(at)) {
		return 0, NoRepeat
	}
	sc.slips = text.Deletions(sc.slips[:0], f.Word(at))
	for _, h := range sc.slips {
		left := maxSlips
		s.index.newest(keyed(kindSlip, h), func(n uint32) bool {
			sc.other.Read(s.prompt(n))
			for t := range sc.other.Words() {
				if !text.Typo(f.Word(at), sc.other.Word(t)) {
					continue
				}
				if lesson, how = s.corrected(q, at, sc.other.Key(t), sc); how != NoRepeat {
					return false
				}
				sc.other.Read(s.prompt(n))
			}
			left--
			return left > 0
		})
		if how != NoRepeat {
			return lesson, how
		}
	}
	return 0, NoRepeat
}

// corrected looks up the form of q with the key of word t replaced.
func (s *Store) corrected(q *Query, t int, key uint64, sc *Scratch) (lesson uint32, how Repeat) {
	s.index.newest(keyed(kindPrompt, q.Form.HashWith(t, key)), func(n uint32) bool {
		if !s.visible(q, n) {
			return true
		}
		sc.other.Read(s.prompt(n))
		if sc.other.Words() != q.Form.Words() || sc.other.Key(t) != key {
			return true
		}
		for u := range sc.other.Words() {
			if u != t && sc.other.Key(u) != q.Form.Key(u) {
				return true
			}
		}
		lesson, how = n, Slip
		return false
	})
	return lesson, how
}

// Rival finds a lesson with the same words as lesson n and another answer, which
// may have been taught in another topic. Where q names its topic there is none.
func (s *Store) Rival(q *Query, n uint32, sc *Scratch) (lesson uint32, ok bool) {
	if q.Topic != "" {
		return 0, false
	}
	sc.other.Read(s.prompt(n))
	s.index.newest(keyed(kindPrompt, sc.other.Hash()), func(other uint32) bool {
		if !s.visible(q, other) || s.answerOf(other) == s.answerOf(n) {
			return true
		}
		sc.rival.Read(s.prompt(other))
		if ok = sc.rival.SameWords(&sc.other); ok {
			lesson = other
		}
		return !ok
	})
	return lesson, ok
}

// Says reports whether a lesson gives that response.
func (s *Store) Says(response string) (yes bool) {
	s.index.newest(keyed(kindAnswer, answerKey(response, false)), func(n uint32) bool {
		a := s.answers[n]
		yes = a != nil && !a.refusal && a.response == response
		return !yes
	})
	return yes
}
