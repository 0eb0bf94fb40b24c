// Package memory holds what was taught: every lesson, the vectors by which
// near prompts are found, and the indexes by which repeated ones are. A Store
// is immutable; adding and removing give a new one that shares nearly all of
// the old, so that readers never wait.
package memory

import (
	"sort"

	"github.com/nexus-continuum/nexus/model/kernel"
	"github.com/nexus-continuum/nexus/model/text"
)

// MaxExemplars is how many vectors an answer keeps after Recode; until then it
// may gather twice as many. Lessons beyond keep their exact repeats.
const MaxExemplars = 128

// refusalFactor widens that bound for taught refusals, which are one answer to
// prompts of many kinds.
const refusalFactor = 16

// Store is an immutable memory of lessons.
type Store struct {
	dim        int
	blocks     []*block                 // runs of lessons, numbers ascending without gaps
	rows       *kernel.Rows             // vectors of the exemplars
	lessons    []uint32                 // by row: the lesson
	rowOf      []uint32                 // by lesson: 1 + its row, 0 without one
	live       kernel.Bitmap            // rows of live lessons
	within     map[string]kernel.Bitmap // and of those the rows of each topic
	lost       []int                    // rows whose lessons the running edit removed
	answers    []*answer                // by answer number; nil where all its lessons are gone
	responses  []reply                  // by answer number, also of answers whose lessons are gone
	index      index
	vocabulary index    // word → answers that know it
	dead       []uint64 // bit set of lesson numbers that are gone
	gone       int      // number of bits set
	next       uint32   // number of the next lesson
	known      int      // answers that are not nil
	topics     map[string]int
	veil       *veil // nil: nothing is hidden
}

// block is an immutable run of lessons.
type block struct {
	first   uint32
	prompts []string
	topics  []string
	answers []uint32
}

// reply is what an answer says.
type reply struct {
	text    string
	refusal bool
}

// answer is one response and what leads to it.
type answer struct {
	response  string
	refusal   bool
	lessons   []uint32 // live lesson numbers, ascending
	words     []uint64 // keys of the words of its lessons, ascending
	counts    []uint32 // how many of the lessons hold each word
	sum       []float32
	norm      float32 // of sum; not kept while an edit runs
	exemplars int
}

// New makes an empty store for vectors of dim numbers.
func New(dim int) *Store {
	return &Store{dim: dim, rows: kernel.NewRows(dim), topics: map[string]int{}}
}

// Dim is the length of the vectors.
func (s *Store) Dim() int { return s.dim }

// Len is the number of lessons.
func (s *Store) Len() int { return int(s.next) - s.gone }

// Answers is the number of distinct answers; all taught refusals are one.
func (s *Store) Answers() int { return s.known }

// Exemplars is the number of vectors.
func (s *Store) Exemplars() int {
	n := 0
	for _, a := range s.answers {
		if a != nil {
			n += a.exemplars
		}
	}
	return n
}

// Rows are the vectors of the exemplars.
func (s *Store) Rows() *kernel.Rows { return s.rows }

// Topics gives the number of lessons of each topic. It must not be changed.
func (s *Store) Topics() map[string]int { return s.topics }

func (s *Store) alive(n uint32) bool { return s.dead[n>>6]&(1<<(n&63)) == 0 }

// at finds the block of lesson n and the place in it.
func (s *Store) at(n uint32) (*block, int) {
	i := sort.Search(len(s.blocks), func(i int) bool { return s.blocks[i].first > n }) - 1
	b := s.blocks[i]
	return b, int(n - b.first)
}

func (s *Store) prompt(n uint32) string   { b, i := s.at(n); return b.prompts[i] }
func (s *Store) topic(n uint32) string    { b, i := s.at(n); return b.topics[i] }
func (s *Store) answerOf(n uint32) uint32 { b, i := s.at(n); return b.answers[i] }

// Lesson returns lesson number n.
func (s *Store) Lesson(n uint32) Lesson {
	b, i := s.at(n)
	l := Lesson{Prompt: b.prompts[i], Topic: b.topics[i], ID: LessonID(b.topics[i], b.prompts[i])}
	if a := s.answers[b.answers[i]]; a != nil {
		l.Response, l.Refusal = a.response, a.refusal
	}
	return l
}

// Find returns the number of the lesson with that id.
func (s *Store) Find(id string) (number uint32, ok bool) {
	key, ok := idKey(id)
	if !ok {
		return 0, false
	}
	ok = false
	s.index.newest(keyed(kindID, key), func(n uint32) bool {
		if s.alive(n) && LessonID(s.topic(n), s.prompt(n)) == id {
			number, ok = n, true
		}
		return !ok
	})
	return number, ok
}

// Each calls yield for the live lessons numbered from on, in the order of
// teaching, until it returns false.
func (s *Store) Each(from uint32, yield func(number, answer uint32) bool) {
	for _, b := range s.blocks {
		if b.first+uint32(len(b.prompts)) <= from {
			continue
		}
		for i, a := range b.answers {
			if n := b.first + uint32(i); n >= from && s.alive(n) && !yield(n, a) {
				return
			}
		}
	}
}

// Prompt returns the prompt of lesson n.
func (s *Store) Prompt(n uint32) string { return s.prompt(n) }

// Topic returns the topic of lesson n.
func (s *Store) Topic(n uint32) string { return s.topic(n) }

// Answer returns the number of the answer of lesson n.
func (s *Store) Answer(n uint32) uint32 { return s.answerOf(n) }

// Response returns answer a.
func (s *Store) Response(a uint32) (response string, refusal bool) {
	return s.answers[a].response, s.answers[a].refusal
}

// Of returns the live lessons of answer a, ascending. It must not be changed.
func (s *Store) Of(a uint32) []uint32 {
	if s.answers[a] == nil {
		return nil
	}
	return s.answers[a].lessons
}

// Vector returns the vector of lesson n, nil if it is no exemplar. It must not be
// changed.
func (s *Store) Vector(n uint32) []float32 { return s.vector(n) }

// vector returns the vector of lesson n, nil if it is no exemplar.
func (s *Store) vector(n uint32) []float32 {
	if row := s.rowOf[n]; row > 0 {
		return s.rows.Row(int(row - 1))
	}
	return nil
}

// bound is how many exemplars answer a may keep.
func (a *answer) bound() int {
	if a.refusal {
		return refusalFactor * MaxExemplars
	}
	return MaxExemplars
}

// place is where a word stands among those of the answer's lessons.
func (a *answer) place(word uint64) (i int, ok bool) {
	i = lowerBound(a.words, word)
	return i, i < len(a.words) && a.words[i] == word
}

// count is how many lessons of the answer hold the word.
func (a *answer) count(word uint64) int {
	if i, ok := a.place(word); ok {
		return int(a.counts[i])
	}
	return 0
}

// knows reports whether more than beyond lessons of the answer hold the word.
// Words that none holds are not kept, so that mostly no count is looked up.
func (a *answer) knows(word uint64, beyond int) bool {
	i, ok := a.place(word)
	return ok && (beyond == 0 || int(a.counts[i]) > beyond)
}

// answerKey is the index key of a response.
func answerKey(response string, refusal bool) uint64 {
	if refusal {
		return 1
	}
	return text.Hash(response)
}
