package memory

import (
	"math"
	"slices"

	"github.com/nexus-continuum/nexus/model/text"
)

// wordWeight is one distinct word of the prompt.
type wordWeight struct {
	at     int // in the form
	key    uint64
	weight float32
	df     int     // answers that know it
	own    float32 // weight by itself, whatever was taught
	number bool    // it holds a digit
	// near are known words that an unknown one may be a slip or another ending
	// of, with how far they stand for it.
	near  [maxNear]nearWord
	nears int
}

type nearWord struct {
	key   uint64
	alike float32
}

// maxNear bounds the known words that one unknown word may stand for.
const maxNear = 4

// weigh fills sc.words with the distinct words of the prompt: the fewer
// answers know a word, the more it tells (inverse document frequency, with
// answers as documents).
func (s *Store) weigh(q *Query, sc *Scratch) {
	sc.words = sc.words[:0]
	known := s.Given()
	if q.WithoutAnswer > 0 {
		known--
	}
	for t := range q.Form.Words() {
		key := q.Form.Key(t)
		if slices.ContainsFunc(sc.words, func(w wordWeight) bool { return w.key == key }) {
			continue
		}
		df := s.answersWithWord(key)
		if a := q.WithoutAnswer; a > 0 && s.answers[a-1].count(key) > 0 {
			df--
		}
		if n := q.WithoutLesson; n > 0 && q.WithoutAnswer == 0 && s.answers[s.answerOf(n-1)].count(key) == 1 {
			df-- // the lesson left out is the prompt itself
		}
		own := text.Weight(q.Form.Word(t))
		w := wordWeight{at: t, key: key, df: df, own: own, weight: weightOf(known, df, own)}
		if df <= 0 {
			s.nearWords(&w, q.Form.Word(t), sc)
		}
		sc.words = append(sc.words, w)
	}
}

// nearWords finds the known words that the unknown word may stand for.
func (s *Store) nearWords(w *wordWeight, word []byte, sc *Scratch) {
	sc.slips = text.Deletions(sc.slips[:0], word)
	spelling, left := text.Spell(word), maxSlips
	for _, h := range sc.slips {
		s.index.newest(keyed(kindSlip, h), func(n uint32) bool {
			if s.hidden(n) {
				return true
			}
			sc.other.Read(s.prompt(n))
			for t := range sc.other.Words() {
				key := sc.other.Key(t)
				if key == w.key || slices.ContainsFunc(w.near[:w.nears], func(x nearWord) bool { return x.key == key }) {
					continue
				}
				if alike := text.Alike(spelling, sc.other.Spelling(t)); alike > 0 {
					w.near[w.nears] = nearWord{key, alike}
					if w.nears++; w.nears == maxNear {
						return false
					}
				}
			}
			left--
			return left > 0
		})
		if w.nears == maxNear || left <= 0 {
			return
		}
	}
}

// weightOf is how much a word tells if df of known answers know it, and own is
// its weight by itself: a word that nobody taught may be the heart of the prompt
// or mere wrapping, and how common it is in general decides.
func weightOf(known, df int, own float32) float32 {
	w := math.Log1p(float64(known) / (float64(max(df, 0)) + 0.5))
	return float32(w) * own
}

// alien tells whether a word of the prompt is a name that nobody knows. Among
// words of a language that the lexicon does not cover it cannot be told.
func alien(q *Query, sc *Scratch) bool {
	common, names := 0, 0
	for i := range sc.words {
		w := &sc.words[i]
		switch word := q.Form.Word(w.at); {
		case text.IsWord(word):
			common++
		case w.df <= 0 && w.nears == 0 && !hasDigit(word):
			names++
		}
	}
	return names > 0 && common >= 2*names
}
