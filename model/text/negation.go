package text

import "strings"

// short is a form of "not" after these: don't is the words don and t.
var shortened = func() map[uint64]bool {
	out := map[uint64]bool{}
	for _, w := range strings.Fields("don can won isn aren wasn weren doesn didn couldn shouldn wouldn hasn haven hadn ain mustn needn") {
		out[hashWord([]byte(w))] = true
	}
	return out
}()

var tee = hashWord([]byte("t"))

// NegationKeys are the keys of the words that negate.
func NegationKeys() []uint64 { return negationKeys }

var negationKeys = func() (out []uint64) {
	for key, t := range known {
		if t.not {
			out = append(out, key)
		}
	}
	return append(out, tee)
}()

// Negations is the number of words of f that negate.
func Negations(f *Form) int {
	n := 0
	for t := range f.keys {
		if negates(f, t) {
			n++
		}
	}
	return n
}

func negates(f *Form, t int) bool {
	key := f.keys[t]
	if !traitsOf(key).not && (key != tee || t == 0 || !shortened[f.keys[t-1]]) {
		return false
	}
	return (t == 0 || f.keys[t-1] != or) && !isQuestionNegation(f, t)
}

// Words by which a question begins, beside those that ask, and "or": "open or not".
var (
	or       = hashWord([]byte("or"))
	clauseIf = hashWord([]byte("if"))
	whether  = hashWord([]byte("whether"))
	ob       = hashWord([]byte("ob"))
)

// isQuestionNegation reports whether the negation at t only asks: "I don't know how to", "not
// sure if".
func isQuestionNegation(f *Form, t int) bool {
	for i := t + 1; i < min(t+3, len(f.keys)); i++ {
		if !traitsOf(f.keys[i]).unsure {
			continue
		}
		for j := i + 1; j < min(i+3, len(f.keys)); j++ {
			if asksAt(f, j) {
				return true
			}
		}
	}
	// German and French say it the other way round: "ich weiß nicht, wie", "je ne sais pas où".
	return t > 0 && traitsOf(f.keys[t-1]).unsure && t+1 < len(f.keys) && asksAt(f, t+1)
}

// asksAt reports whether a question may begin with word t.
func asksAt(f *Form, t int) bool {
	key := f.keys[t]
	return key == clauseIf || key == whether || key == ob || traitsOf(key).ask > 0
}

// ended reports whether one form says in another way what the other one negates:
// who says "stop talking" says "don't talk", and "I don't want it, cancel it" asks to
// cancel. A negation before a word that both have stays one: "don't cancel it".
func (a *Aligner) ended(f, g *Form, m, n int) bool {
	for i := range m {
		if traitsOf(f.keys[i]).ends && (a.partner[i] < 0 || !negatedAt(f, i) && Negations(f) > 0) {
			return true
		}
	}
	for j := range n {
		if traitsOf(g.keys[j]).ends && (!a.taken[j] || !negatedAt(g, j) && Negations(g) > 0) {
			return true
		}
	}
	return false
}

// helpless reports whether f says that somebody fails to do what g asks how or where to do:
// "I can't export my data" asks how to.
func helpless(f, g *Form) bool {
	if q := asks(g); q != askHow && q != askWhere || Negations(g) > 0 || asks(f) > 0 {
		return false
	}
	if first := traitsOf(f.keys[0]); first.able && !first.not {
		return false // "can I not share it" asks, too
	}
	for t := range f.keys {
		if negates(f, t) && !fails(f, t) {
			return false
		}
	}
	return true
}

// fails reports whether the negation at t says that something is not possible: "can't", "kann
// … nicht", "n'arrive pas à", "no puedo".
func fails(f *Form, t int) bool {
	for i := max(t-5, 0); i < min(t+2, len(f.keys)); i++ {
		if traitsOf(f.keys[i]).able {
			return true
		}
	}
	return false
}

// negatedAt reports whether a negation stands close before word t: "do not want to cancel".
func negatedAt(f *Form, t int) bool {
	for i := max(t-4, 0); i < t; i++ {
		if negates(f, i) {
			return true
		}
	}
	return false
}
