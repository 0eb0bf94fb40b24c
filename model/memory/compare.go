package memory

import (
	"slices"

	"github.com/nexus-continuum/nexus/model/kernel"
	"github.com/nexus-continuum/nexus/model/text"
)

// maxSensed bounds the words of a prompt and of a lesson that are compared by
// meaning; the rest count as unlike all others.
const maxSensed = text.MaxWords

// compared is a word of the lessons that a search looks at, held against the
// prompt. Near lessons share most of their words, and each is compared once.
type compared struct {
	weight float32 // how much it tells
	own    float32 // how much by itself, whatever was taught
	held   float32 // how far the prompt holds it
	// sensed says that the rest is known, and its column of comparison too.
	sensed  bool
	echo    float32 // how near the prompt comes to it in meaning
	letters float32 // and by letters
}

// comparison holds the words of a prompt against those of lessons.
type comparison struct {
	lesson text.Form // the lesson at hand
	places []int     // its words: where each stands in keys and words

	keys  []uint64
	words []compared

	height int       // how many words of the prompt are compared by meaning
	ours   []float32 // their vectors [height × d]; empty until they are needed
	theirs []float32 // the vector of the word at hand [d]
	// Per word of lessons, a column of how near it comes to each of the
	// prompt's, in meaning and by letters.
	meant, spelt []float32
}

// reset makes room for another prompt.
func (c *comparison) reset(words int) {
	c.keys, c.words = c.keys[:0], c.words[:0]
	c.height, c.ours = min(words, maxSensed), c.ours[:0]
	c.meant, c.spelt = c.meant[:0], c.spelt[:0]
}

// column is where the comparison with the word at that place stands in meant and spelt.
func (c *comparison) column(place int) (from, to int) {
	return place * c.height, (place + 1) * c.height
}

// read takes up lesson n.
func (s *Store) read(n uint32, q *Query, sc *Scratch) {
	c := &sc.compared
	c.lesson.Read(s.prompt(n))
	c.places = c.places[:0]
	for t := range c.lesson.Words() {
		key := c.lesson.Key(t)
		place := slices.Index(c.keys, key)
		if place < 0 {
			place = len(c.keys)
			own := text.Weight(c.lesson.Word(t))
			w := compared{own: own, weight: weightOf(s.Given(), s.answersWithWord(key), own), held: 1}
			if !slices.ContainsFunc(sc.words, func(x wordWeight) bool { return x.key == key }) {
				w.held = alike(c.lesson.Spelling(t), false, q.Form)
			}
			c.keys, c.words = append(c.keys, key), append(c.words, w)
			c.meant, c.spelt = extended(c.meant, c.height), extended(c.spelt, c.height)
		}
		c.places = append(c.places, place)
	}
}

// extended is s with n more numbers of any value.
func extended(s []float32, n int) []float32 { return slices.Grow(s, n)[:len(s)+n] }

// loadWordVectors reads the vectors of the words of the prompt.
func (s *Store) loadWordVectors(q *Query, sc *Scratch) {
	c, d := &sc.compared, q.Words.Dim()
	c.ours, c.theirs = extended(c.ours[:0], c.height*d), extended(c.theirs[:0], d)
	for i := range sc.words[:c.height] {
		w := &sc.words[i]
		word := q.Form.Word(w.at)
		w.number = hasDigit(word)
		q.Words.Vector(c.ours[i*d:(i+1)*d], w.key, word)
	}
}

// senseWord compares word t of the lesson at hand with the words of the prompt.
func (s *Store) senseWord(q *Query, t int, sc *Scratch) {
	c, d := &sc.compared, q.Words.Dim()
	place := c.places[t]
	w := &c.words[place]
	if w.sensed {
		return
	}
	w.sensed = true
	key, word := c.lesson.Key(t), c.lesson.Word(t)
	q.Words.Vector(c.theirs, key, word)
	digit := hasDigit(word)
	from, to := c.column(place)
	meant, spelt := c.meant[from:to], c.spelt[from:to]
	for i := range meant {
		ours := &sc.words[i]
		if ours.key == key {
			meant[i], spelt[i] = 1, 1
		} else {
			near, like := byLetters(q.Form.Spelling(ours.at), c.lesson.Spelling(t), ours.number || digit)
			if near < 0 {
				near = kernel.Dot(c.ours[i*d:(i+1)*d], c.theirs)
			}
			meant[i], spelt[i] = near, like
		}
		w.echo, w.letters = max(w.echo, meant[i]), max(w.letters, spelt[i])
	}
}

// byLetters is how like two different words are by letters, and how near they
// come in meaning as far as letters tell, −1 where they do not.
func byLetters(a, b text.Spelling, number bool) (near, like float32) {
	shared, whole := sharedLetters(a.Word, b.Word)
	if shared >= minShared {
		like = text.Alike(a, b)
	}
	switch {
	case like > 0:
		return like, like
	case shared >= minShared && !whole && 2*shared >= min(len(a.Word), len(b.Word)), number:
		// The vectors are made of parts of words too, so that Iran and Iraq, or
		// Monday and Sunday, come near by their letters.
		return 0, 0
	}
	return -1, 0
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

func hasDigit(w []byte) bool {
	for _, b := range w {
		if '0' <= b && b <= '9' {
			return true
		}
	}
	return false
}
