package memory

import (
	"slices"

	"github.com/nexus-continuum/nexus/model/kernel"
	"github.com/nexus-continuum/nexus/model/text"
)

// Neighbours is how many exemplars near a prompt are looked at.
const Neighbours = 32

// Detailed is how many candidates are looked at closely.
const Detailed = 8

// Bounds of the candidates that words bring in beside the nearest vectors: a
// word that more answers know says little, and a few answers are enough.
const (
	maxWordAnswers = 48
	maxByWord      = 16
)

// Query is what memory is asked.
type Query struct {
	Vector []float32 // unit vector of the prompt
	Form   *text.Form
	Topic  string // narrows what may be found; empty for all
	Words  Words  // of the encoder that made Vector; nil compares no meanings
	// WithoutLesson and WithoutAnswer leave a lesson or a whole answer out, as
	// if it had never been taught: 1 + its number, 0 for none. Calibration
	// asks so.
	WithoutLesson, WithoutAnswer uint32
	// NearOnly asks for the nearest lessons and no candidates.
	NearOnly bool
}

// Candidate is an answer that may be right.
type Candidate struct {
	Answer uint32
	Lesson uint32 // the nearest of its lessons
	// Best is the cosine to that lesson, Mean that to the mean of the answer's
	// exemplars (Best where there is but one).
	Best, Mean float32
	// Votes is how many of the Neighbours nearest exemplars are the answer's.
	Votes int
	// Cover is the share of the prompt's words, each weighed by how much it
	// tells, that lessons of the answer hold, and Missing the weight of the
	// most telling word that they lack, in shares of all. Back is the share of
	// the nearest lesson's words that the prompt holds.
	Cover, Missing, Back float32
	// Core is the share of the words that the answer's lessons have in common
	// which the prompt holds; 1 where they have none in common.
	Core float32
	// Sense is Cover with each word matched to the one of the nearest lesson
	// that comes nearest in meaning, and Echo is Back likewise. How the next
	// phrasing of an answer will go is the less known the fewer there are, and
	// the more a like meaning counts: both are multiplied by Lone, which is 1 for
	// one lesson and falls with their square root to 0 at manyLessons.
	Sense, Echo, Lone float32
	// Strange, times Lone too, is the weight by itself, whatever was taught, of the most telling
	// word of the prompt that is like none of the nearest lesson: all but 1
	// where it asks for a thing of another name, and where it says next to nothing.
	Strange float32
	// Instead is high where the prompt is the nearest lesson with a telling word
	// in the place of another: the share of words that are the same times the
	// lesser weight of the two. It is 0 for answers with more than fewLessons.
	Instead float32
	// Twin is the cosine of the nearest lesson to that of another candidate:
	// high where many things are asked for in one frame. It is 0 for answers
	// with more than fewLessons.
	Twin float32
	// Same is the share of words that the prompt and the nearest lesson have in
	// common, each for one (Dice, 1945).
	Same float32
	// What turns the meaning between the prompt and the nearest lesson, each
	// times the share of the answer's lessons of which it is so: Negated where
	// one of the two is negated, Opposite where a word stands for its opposite,
	// Other where both name one of a kind and not the same, Swapped where two
	// words change their roles, Asked where the question words differ.
	Negated, Opposite, Other, Swapped, Asked float32

	// Whole says that the prompt and the nearest lesson share every word that tells
	// anything: one of the two is the other without its wrapping.
	Whole bool

	guessed bool // Best is the most that it may be, and Lesson not known yet
}

// Neighbour is a lesson near the prompt.
type Neighbour struct {
	Lesson     uint32
	Similarity float32
}

// Found is what Search found for one query. Its slices are reused.
type Found struct {
	Candidates []Candidate // the most promising first, at most Detailed
	Near       []Neighbour // the nearest lessons, nearest first
	// Unknown is the weight of the words that no lesson knows, in shares of
	// all words of the prompt.
	Unknown float32
	// Plain is high where no word of the prompt tells anything, as in "what do we
	// do": then all that is like it is like it by chance.
	Plain float32
	// Alien says that the prompt, otherwise in words of common language, names
	// something that neither language nor any lesson knows, and that is no slip.
	Alien bool
}

// Searcher finds the nearest exemplars elsewhere than on the calling core. Top is kernel.Scanner's, and
// reports whether it did anything.
type Searcher interface {
	Top(rows *kernel.Rows, queries []kernel.Query, k int, hits [][]kernel.Hit) bool
}

// Scratch is the working memory of one caller of Search and Repeated.
type Scratch struct {
	// Beside, if not nil, is asked first.
	Beside Searcher

	scanner  kernel.Scanner
	queries  []kernel.Query
	hits     [][]kernel.Hit
	bitmaps  []kernel.Bitmap
	other    text.Form
	rival    text.Form
	slips    []uint64
	words    []wordWeight
	answers  []uint32
	mean     []float32
	bytes    []byte
	compared comparison
	aligner  text.Aligner
}

// Search fills found[i] for queries[i]; the vectors are scanned together.
func (s *Store) Search(queries []Query, found []Found, sc *Scratch) {
	sc.queries = sc.queries[:0]
	for len(sc.hits) < len(queries) {
		sc.hits, sc.bitmaps = append(sc.hits, nil), append(sc.bitmaps, nil)
	}
	for i := range queries {
		sc.queries = append(sc.queries, kernel.Query{Vector: queries[i].Vector, Allowed: s.allowed(&queries[i], i, sc)})
	}
	for i := range queries {
		sc.hits[i] = sc.hits[i][:0] // those of the prompt before
	}
	if s.rows.Len() > 0 {
		s.scan(sc, len(queries))
	}
	for i := range queries {
		q, f := &queries[i], &found[i]
		f.Candidates, f.Near = f.Candidates[:0], f.Near[:0]
		for _, h := range sc.hits[i] {
			n := s.lessons[h.Row]
			f.Near = append(f.Near, Neighbour{Lesson: n, Similarity: h.Score})
			if !q.NearOnly {
				s.vote(f, s.answerOf(n), n, h.Score)
			}
		}
		if q.NearOnly {
			continue
		}
		s.weigh(q, sc)
		s.byWord(q, f, sc)
		s.detail(q, f, sc)
	}
}

// coarseRows is the number of rows from which the 8-bit scan is the faster.
const coarseRows = 4096

func (s *Store) scan(sc *Scratch, n int) {
	if sc.Beside != nil && sc.Beside.Top(s.rows, sc.queries, Neighbours, sc.hits[:n]) {
		return
	}
	if s.rows.Len() < coarseRows {
		sc.scanner.TopManyExact(s.rows, sc.queries, Neighbours, sc.hits[:n])
		return
	}
	sc.scanner.TopMany(s.rows, sc.queries, Neighbours, sc.hits[:n])
}

// allowed is the bitmap of the rows that q may find.
func (s *Store) allowed(q *Query, i int, sc *Scratch) kernel.Bitmap {
	live := s.findable(q.Topic)
	if q.Topic != "" && live == nil {
		return noRows
	}
	if q.WithoutLesson == 0 && q.WithoutAnswer == 0 {
		return live
	}
	sc.bitmaps[i] = append(sc.bitmaps[i][:0], live...)
	b := sc.bitmaps[i]
	if n := q.WithoutLesson; n > 0 && s.rowOf[n-1] > 0 {
		s.forbid(b, n-1)
	}
	if a := q.WithoutAnswer; a > 0 && s.answers[a-1] != nil {
		for _, n := range s.answers[a-1].lessons {
			s.forbid(b, n)
		}
	}
	return b
}

// noRows allows nothing; it differs from nil, which allows all.
var noRows = kernel.Bitmap{}

func (s *Store) forbid(b kernel.Bitmap, lesson uint32) {
	if row := s.rowOf[lesson]; row > 0 && int(row-1)/64 < len(b) {
		b.Clear(int(row - 1))
	}
}

// vote adds a neighbour to the candidates.
func (s *Store) vote(f *Found, a, lesson uint32, score float32) {
	for i := range f.Candidates {
		if f.Candidates[i].Answer == a {
			f.Candidates[i].Votes++
			return
		}
	}
	f.Candidates = append(f.Candidates, Candidate{Answer: a, Lesson: lesson, Best: score, Votes: 1})
}

// byWord adds the answers that share telling words with the prompt.
func (s *Store) byWord(q *Query, f *Found, sc *Scratch) {
	slices.SortFunc(sc.words, func(a, b wordWeight) int { return a.df - b.df })
	added := 0
	for i := range sc.words {
		w := &sc.words[i]
		if w.df > maxWordAnswers {
			break
		}
		if w.df > 0 {
			added += s.addByWord(q, f, w.key, maxByWord-added, sc)
		}
		for _, near := range w.near[:w.nears] {
			if s.answersWithWord(near.key) <= maxWordAnswers {
				added += s.addByWord(q, f, near.key, maxByWord-added, sc)
			}
		}
	}
}

// addByWord adds up to limit answers that know a word and are no candidates yet.
func (s *Store) addByWord(q *Query, f *Found, key uint64, limit int, sc *Scratch) (added int) {
	if limit <= 0 {
		return 0
	}
	sc.answers = s.vocabulary.append(sc.answers[:0], key, 2*maxWordAnswers)
	for _, a := range sc.answers {
		if s.answers[a] == nil || a+1 == q.WithoutAnswer || slices.ContainsFunc(f.Candidates, func(c Candidate) bool { return c.Answer == a }) || !s.found(q, a) {
			continue
		}
		f.Candidates = append(f.Candidates, Candidate{Answer: a, Best: f.upperBound(), guessed: true})
		if added++; added == limit {
			break
		}
	}
	return added
}

// found reports whether a scan for q could find a lesson of answer a.
func (s *Store) found(q *Query, a uint32) bool {
	for _, n := range s.answers[a].lessons {
		if s.rowOf[n] > 0 && s.visible(q, n) {
			return true
		}
	}
	return false
}

// nearest looks for the nearest lesson of a candidate that words brought in.
func (s *Store) nearest(q *Query, c *Candidate) {
	first := true
	c.guessed = false
	for _, n := range s.answers[c.Answer].lessons {
		v := s.vector(n)
		if v == nil || !s.visible(q, n) {
			continue
		}
		if cos := kernel.Dot(v, q.Vector); first || cos > c.Best {
			c.Lesson, c.Best, first = n, cos, false
		}
	}
}

// detail completes the candidates.
func (s *Store) detail(q *Query, f *Found, sc *Scratch) {
	var total, unknown float32
	for _, w := range sc.words {
		total += w.weight
		if w.df <= 0 {
			unknown += w.weight
		}
	}
	if total == 0 {
		total = 1
	}
	f.Unknown, f.Alien, f.Plain = unknown/total, alien(q, sc), plain(q, sc)
	for i := range f.Candidates {
		c := &f.Candidates[i]
		c.Mean = s.mean(q, c, sc)
		c.Cover, c.Missing = s.cover(q, c.Answer, nil, total, sc)
	}
	s.choose(q, f, sc)
	sc.compared.reset(len(sc.words))
	for i := range f.Candidates {
		c := &f.Candidates[i]
		s.read(c.Lesson, q, sc)
		c.Cover, c.Missing = s.cover(q, c.Answer, &sc.compared.lesson, total, sc)
		c.Back = sc.compared.back()
		c.Core = s.core(q, c.Answer, sc)
		c.Lone = s.sparsity(c.Answer)
		s.sense(q, c, total, sc)
		s.contrast(q, c, sc)
	}
	s.findTwins(f)
}

// leastSaying is the weight by itself from which on a word says what is meant.
const leastSaying = 0.3

// plain is 1 where no word of the prompt has any weight by itself, and 0 where one
// says what is meant.
func plain(q *Query, sc *Scratch) float32 {
	most := float32(0)
	for i := range sc.words {
		most = max(most, q.Form.Says(sc.words[i].at))
	}
	return max(0, 1-most/leastSaying)
}

// scanError is more than the scan's 8-bit forms may be wrong by where they decide
// which rows are looked at closer.
const scanError = 0.02

// upperBound is the most that the best of a candidate that words brought in may be:
// the scan found none of its lessons, so that none is nearer than the last that it
// did find.
func (f *Found) upperBound() float32 {
	if len(f.Near) < Neighbours {
		return 1
	}
	return min(f.Near[Neighbours-1].Similarity+scanError, 1)
}

// choose keeps the Detailed most promising candidates, in order. The lessons of
// one that words brought in are looked at only when it would be next.
func (s *Store) choose(q *Query, f *Found, sc *Scratch) {
	c := f.Candidates
	for i := 0; i < min(len(c), Detailed); {
		best := i
		for j := i + 1; j < len(c); j++ {
			if x, y := rough(&c[j]), rough(&c[best]); x > y || x == y && c[j].Answer < c[best].Answer {
				best = j
			}
		}
		if c[best].guessed {
			s.nearest(q, &c[best])
			c[best].Mean = s.mean(q, &c[best], sc)
			continue
		}
		c[i], c[best] = c[best], c[i]
		i++
	}
	f.Candidates = c[:min(len(c), Detailed)]
}

// rough orders candidates before the details are known.
func rough(c *Candidate) float32 { return c.Best + c.Mean + c.Cover }

// mean is the cosine of the prompt to the mean of the answer's exemplars.
func (s *Store) mean(q *Query, c *Candidate, sc *Scratch) float32 {
	a := s.answers[c.Answer]
	sum, n, norm := a.sum, a.exemplars, a.norm
	if l := q.WithoutLesson; l > 0 && s.answerOf(l-1) == c.Answer {
		if v := s.vector(l - 1); v != nil {
			sc.mean = append(sc.mean[:0], sum...)
			kernel.Axpy(-1, v, sc.mean)
			sum, n, norm = sc.mean, n-1, kernel.Norm(sc.mean)
		}
	}
	if n < 2 || norm < 1e-6 || a.refusal {
		return c.Best
	}
	return kernel.Dot(sum, q.Vector) / norm
}

// cover weighs the words of the prompt that answer a knows. Near forms (slips,
// endings) are looked for in one lesson of it, if given.
func (s *Store) cover(q *Query, number uint32, lesson *text.Form, total float32, sc *Scratch) (cover, missing float32) {
	a := s.answers[number]
	self := 0
	if l := q.WithoutLesson; l > 0 && s.answerOf(l-1) == number {
		self = 1 // its own words would cover it
	}
	for _, w := range sc.words {
		match := float32(0)
		if a.knows(w.key, self) {
			match = 1
		} else {
			for _, near := range w.near[:w.nears] {
				if match < near.alike && a.knows(near.key, 0) {
					match = near.alike
				}
			}
			if match == 0 && lesson != nil {
				match = alike(q.Form.Spelling(w.at), w.df > 0, lesson)
			}
		}
		cover += w.weight * match
		missing = max(missing, w.weight*(1-match))
	}
	return cover / total, missing / total
}

// back weighs the words of the lesson at hand that the prompt holds.
func (c *comparison) back() float32 {
	var got, total float32
	for _, place := range c.places {
		w := &c.words[place]
		total += w.weight
		got += w.weight * w.held
	}
	if total == 0 {
		return 0
	}
	return got / total
}

// coreShare is the share of an answer's lessons from which on a word is one
// that they have in common.
const coreShare = 0.3

// core weighs the words that the lessons of an answer have in common, each by
// how much it tells and, squared, by the share of the lessons that hold it.
func (s *Store) core(q *Query, number uint32, sc *Scratch) float32 {
	a := s.answers[number]
	lessons, own := len(a.lessons), false
	if l := q.WithoutLesson; l > 0 && s.answerOf(l-1) == number {
		lessons, own = lessons-1, true
	}
	least := coreShare * float32(lessons)
	var got, total float32
	for i, key := range a.words {
		if float32(a.counts[i]) < least {
			continue
		}
		n, match := int(a.counts[i]), float32(0)
		for j := range sc.words {
			w := &sc.words[j]
			if w.key == key {
				match = 1
				if own {
					n-- // the lesson left out holds the words of the prompt
				}
				break
			}
			for _, near := range w.near[:w.nears] {
				if near.key == key {
					match = max(match, near.alike)
				}
			}
		}
		if float32(n) < least || n == 0 {
			continue
		}
		share := float32(n) / float32(lessons)
		weight := weightOf(s.Given(), s.answersWithWord(key), share*share)
		got += weight * match
		total += weight
	}
	if total == 0 {
		return 1
	}
	return got / total
}

// alike is how far a word of f may stand for w. For a word that is known by
// itself only another ending may.
func alike(w text.Spelling, known bool, f *text.Form) float32 {
	most := float32(0)
	for t := range f.Words() {
		if known && !text.SameStem(w.Word, f.Word(t)) {
			continue
		}
		most = max(most, text.Alike(w, f.Spelling(t)))
	}
	return most
}
