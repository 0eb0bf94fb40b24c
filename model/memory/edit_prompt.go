package memory

import (
	"strconv"
	"strings"

	"github.com/nexus-continuum/nexus/model/text"
)

// coreEdited is the share of an answer's lessons that hold a word from which on
// another word in its place makes another question. A word that fewer hold may
// be a slot: the city of a weather report.
const coreEdited = 0.5

// leastNamed is the weight by itself from which on a word names what is asked for.
const leastNamed = 0.4

// Contrasts gives prompts that differ from lesson n by what turns its meaning,
// and so ask for something that its answer does not say: an opposite, another of
// the same kind, another number, a negation, changed roles, another thing, or
// one bare word of it.
func (s *Store) Contrasts(n uint32, sc *Scratch) (out []string) {
	f := &sc.other
	f.Read(s.prompt(n))
	words := make([]string, f.Words())
	for t := range words {
		words[t] = string(f.Word(t))
	}
	e := editing{store: s, answer: s.answers[s.answerOf(n)], words: words, hash: text.Hash(s.prompt(n))}
	for _, edit := range []func() string{e.opposite, e.kin, e.number, e.negation, e.roles, e.thing, e.bare} {
		if p := edit(); p != "" {
			out = append(out, p)
		}
	}
	return out
}

// editing makes prompts of one lesson.
type editing struct {
	store  *Store
	answer *answer
	words  []string
	hash   uint64
}

// core reports whether the answer's lessons have word t in common.
func (e *editing) core(t int) bool {
	return float32(e.answer.count(text.WordKey(e.words[t]))) >= coreEdited*float32(len(e.answer.lessons))
}

// with is the prompt with another word in place t.
func (e *editing) with(t int, word string) string {
	words := append([]string{}, e.words...)
	words[t] = word
	return strings.Join(words, " ")
}

// replace puts one of others in the place of the first word that they are told for.
func (e *editing) replace(others func(w string) []string) string {
	for t, w := range e.words {
		if list := others(w); len(list) > 0 && e.core(t) {
			for i := range list {
				other := list[(int(e.hash%1024)+i)%len(list)]
				if other != w && !e.answer.knows(text.WordKey(other), 0) {
					return e.with(t, other)
				}
			}
		}
	}
	return ""
}

func (e *editing) opposite() string { return e.replace(text.Opposites) }

func (e *editing) kin() string { return e.replace(text.Kin) }

// number changes the first number.
func (e *editing) number() string {
	for t, w := range e.words {
		if text.IsNumber([]byte(w)) && len(w) < 6 && e.core(t) {
			v, _ := strconv.Atoi(w)
			if other := strconv.Itoa(v + 1 + int(e.hash%9)); !e.answer.knows(text.WordKey(other), 0) {
				return e.with(t, other)
			}
		}
	}
	return ""
}

// negation negates what the first words ask for or want.
func (e *editing) negation() string {
	if e.store.negatedAnswer(e.answer) > 0 || len(e.words) < 2 {
		return ""
	}
	switch e.words[0] {
	case "i", "you", "we", "they":
		return e.words[0] + " do not " + strings.Join(e.words[1:], " ")
	case "can", "do", "does", "is", "are", "should", "could", "will", "would":
		return e.words[0] + " " + e.words[1] + " not " + strings.Join(e.words[2:], " ")
	case "how", "what", "where", "when", "why", "who", "which":
		if len(e.words) > 3 {
			return strings.Join(e.words[:3], " ") + " not " + strings.Join(e.words[3:], " ")
		}
		return ""
	}
	return "do not " + strings.Join(e.words, " ")
}

// roles exchanges the telling words before and after a word of direction.
func (e *editing) roles() string {
	for t := 1; t+1 < len(e.words); t++ {
		before, after := e.words[t-1], e.words[t+1]
		if text.Directed([]byte(e.words[t])) && before != after && text.Weight([]byte(before)) > 0.2 && text.Weight([]byte(after)) > 0.2 && e.core(t-1) && e.core(t+1) {
			words := append([]string{}, e.words...)
			words[t-1], words[t+1] = after, before
			return strings.Join(words, " ")
		}
	}
	return ""
}

// thing puts a telling word of another answer in the place of the most telling
// one that the answer's lessons have in common.
func (e *editing) thing() string {
	at := e.telling(-1)
	if at < 0 {
		return ""
	}
	var form text.Form
	for i := range uint32(16) {
		n := uint32(e.hash>>8+uint64(i)*7919) % e.store.next
		if !e.store.alive(n) {
			continue
		}
		form.Read(e.store.prompt(n))
		for t := form.Words() - 1; t >= 0; t-- {
			if w := form.Word(t); text.Weight(w) >= leastNamed && !e.answer.knows(form.Key(t), 0) {
				return e.with(at, string(w))
			}
		}
	}
	return ""
}

// telling is the place of the most telling common word other than not; −1 if none
// names anything.
func (e *editing) telling(not int) int {
	at, most := -1, float32(leastNamed)
	for t, w := range e.words {
		if v := text.Weight([]byte(w)); t != not && v >= most && e.core(t) {
			at, most = t, v
		}
	}
	return at
}

// bare is one telling word alone, of an answer with few lessons that say more.
func (e *editing) bare() string {
	if len(e.words) < 3 || len(e.answer.lessons) > fewLessons {
		return ""
	}
	at := e.telling(-1)
	if at < 0 || e.telling(at) < 0 {
		return ""
	}
	return e.words[at]
}

// negatedAnswer is how many of an answer's lessons hold the most frequent negation.
func (s *Store) negatedAnswer(a *answer) (most int) {
	for _, key := range text.NegationKeys() {
		most = max(most, a.count(key))
	}
	return most
}
