package memory

import (
	"fmt"
	"math/bits"
	"strings"

	"github.com/nexus-continuum/nexus/model/kernel"
	"github.com/nexus-continuum/nexus/model/wire"
)

// A store is written as runs of lessons and runs of vectors. Where the runs
// begin follows from their number alone: the largest power of two that fits,
// then the largest that fits the rest, and so on down to minPart. So a store
// that grew by a few lessons differs in its last few parts, and any lesson is
// written again O(log n) times in its life.
const minPart = 256

// Names of the parts.
const (
	prefixLessons = "lessons-"
	prefixVectors = "vectors-"
	partMemory    = "memory"
)

const formatVersion = 1

// runsOf splits n items.
func runsOf(n int) (ends []int) {
	at := 0
	for n-at >= 2*minPart {
		at += 1 << (bits.Len(uint(n-at)) - 1)
		ends = append(ends, at)
	}
	if at < n {
		ends = append(ends, n)
	}
	return ends
}

// Parts writes the store.
func (s *Store) Parts() []wire.Part {
	var parts []wire.Part
	from := 0
	for _, to := range runsOf(int(s.next)) {
		parts = append(parts, wire.Part{Name: fmt.Sprintf("%s%08d", prefixLessons, from), Data: s.lessonsPart(from, to)})
		from = to
	}
	from = 0
	for _, to := range runsOf(s.rows.Len()) {
		parts = append(parts, wire.Part{Name: fmt.Sprintf("%s%08d", prefixVectors, from), Data: s.vectorsPart(from, to)})
		from = to
	}
	var w wire.Writer
	w.Uint(formatVersion)
	w.Uint(uint64(s.dim))
	w.Uint(uint64(s.next))
	w.Uint(uint64(s.rows.Len()))
	w.Uint(uint64(s.gone)) // then their numbers
	for n := range s.next {
		if !s.alive(n) {
			w.Uint(uint64(n))
		}
	}
	return append(parts, wire.Part{Name: partMemory, Data: w.Bytes})
}

// lessonsPart writes lessons [from, to). Responses and topics are written once
// and then named by their place.
func (s *Store) lessonsPart(from, to int) []byte {
	var w wire.Writer
	w.Uint(uint64(to - from))
	topics, answers := map[string]int{}, map[reply]int{}
	for n := uint32(from); n < uint32(to); n++ {
		w.String(s.prompt(n))
		if i, ok := topics[s.topic(n)]; ok {
			w.Uint(uint64(i))
		} else {
			w.Uint(uint64(len(topics)))
			w.String(s.topic(n))
			topics[s.topic(n)] = len(topics)
		}
		a := s.responses[s.answerOf(n)]
		if i, ok := answers[a]; ok {
			w.Uint(uint64(i))
			continue
		}
		w.Uint(uint64(len(answers)))
		answers[a] = len(answers)
		if a.refusal {
			w.Uint(1)
			continue
		}
		w.Uint(0)
		w.String(a.text)
	}
	return w.Bytes
}

// vectorsPart writes rows [from, to).
func (s *Store) vectorsPart(from, to int) []byte {
	var w wire.Writer
	w.Uint(uint64(to - from))
	for row := from; row < to; row++ {
		w.Uint(uint64(s.lessons[row]))
		w.Floats(s.rows.Row(row))
	}
	return w.Bytes
}

// Open reads a store of vectors of dim numbers from the parts that Parts wrote,
// in their order; parts of other names are left alone. Any fault is an error.
func Open(dim int, parts []wire.Part) (*Store, error) {
	w := New(dim).edit()
	var dead []uint32
	found := false
	for _, p := range parts {
		if p.Name != partMemory {
			continue
		}
		r := wire.NewReader(p.Data)
		var err error
		if dead, err = w.readHead(r, dim); err != nil {
			return nil, fmt.Errorf("read part %s: %w", p.Name, err)
		}
		found = true
	}
	if !found {
		return nil, fmt.Errorf("%w: no part %q", wire.ErrCorrupt, partMemory)
	}
	gone := make(map[uint32]bool, len(dead))
	for _, n := range dead {
		gone[n] = true
	}
	for _, p := range parts {
		if strings.HasPrefix(p.Name, prefixLessons) {
			if err := w.readLessons(p.Data, gone); err != nil {
				return nil, fmt.Errorf("read part %s: %w", p.Name, err)
			}
		}
	}
	if int(w.store.next) != w.wantLessons {
		return nil, fmt.Errorf("%w: %d lessons where %d should be", wire.ErrCorrupt, w.store.next, w.wantLessons)
	}
	for _, p := range parts {
		if strings.HasPrefix(p.Name, prefixVectors) {
			if err := w.readVectors(p.Data); err != nil {
				return nil, fmt.Errorf("read part %s: %w", p.Name, err)
			}
		}
	}
	if len(w.store.lessons) != w.wantRows {
		return nil, fmt.Errorf("%w: %d vectors where %d should be", wire.ErrCorrupt, len(w.store.lessons), w.wantRows)
	}
	return w.opened(), nil
}

func (w *edit) readHead(r *wire.Reader, dim int) (dead []uint32, err error) {
	if v := r.Uint(1 << 32); r.Err() == nil && v != formatVersion {
		r.Fail("version %d, this program reads %d", v, formatVersion)
	}
	if d := r.Uint(1 << 20); r.Err() == nil && int(d) != dim {
		r.Fail("vectors of %d numbers, the weights make %d", d, dim)
	}
	w.wantLessons = int(r.Uint(1 << 31))
	w.wantRows = int(r.Uint(uint64(w.wantLessons) * 2))
	n := r.Count(1)
	if tooManyGone(n, w.wantLessons) {
		r.Fail("%d of %d lessons removed", n, w.wantLessons)
	}
	for range n {
		v := uint32(r.Uint(uint64(max(w.wantLessons, 1) - 1)))
		if len(dead) > 0 && v <= dead[len(dead)-1] {
			r.Fail("removed lessons out of order")
		}
		if r.Err() != nil {
			break
		}
		dead = append(dead, v)
	}
	return dead, r.Close()
}

func (w *edit) readLessons(data []byte, gone map[uint32]bool) error {
	r := wire.NewReader(data)
	n := r.Count(4)
	var topics []string
	var answers []reply
	for range n {
		l := Lesson{Prompt: r.String()}
		if i := int(r.Uint(uint64(len(topics)))); i == len(topics) {
			topics = append(topics, r.String())
			l.Topic = topics[i]
		} else {
			l.Topic = topics[i]
		}
		i := int(r.Uint(uint64(len(answers))))
		if i == len(answers) {
			a := reply{refusal: r.Uint(1) == 1}
			if !a.refusal {
				a.text = r.String()
			}
			answers = append(answers, a)
		}
		l.Response, l.Refusal = answers[i].text, answers[i].refusal
		if r.Err() != nil {
			break
		}
		if gone[w.store.next] {
			w.buried(l)
			continue
		}
		w.form.Read(l.Prompt)
		w.insert(w.key(l.Topic), l)
	}
	return r.Close()
}

func (w *edit) readVectors(data []byte) error {
	r := wire.NewReader(data)
	n := r.Count(4 * w.store.dim)
	for range n {
		number := uint32(r.Uint(uint64(max(int(w.store.next), 1) - 1)))
		v := r.Floats(w.store.dim)
		if r.Err() != nil {
			break
		}
		if norm := kernel.Norm(v); norm > 1.01 {
			r.Fail("a vector of length %g", norm)
			break
		}
		if !w.restore(number, v) {
			r.Fail("lesson %d has two vectors", number)
			break
		}
	}
	return r.Close()
}

// buried takes up a lesson that was removed, so that numbers stay as they are.
func (w *edit) buried(l Lesson) {
	n, _ := w.place(l)
	w.store.dead[n>>6] |= 1 << (n & 63)
	w.store.gone++
}

// restore takes up the vector of lesson n, which may have been removed since.
func (w *edit) restore(n uint32, v []float32) bool {
	if w.store.rowOf[n] != 0 {
		return false
	}
	if w.store.alive(n) {
		w.put(w.answer(w.answerOf(n)), n, v)
		return true
	}
	w.vectors = append(w.vectors, v...)
	w.store.lessons = append(w.store.lessons, n)
	return true
}

// opened ends reading.
func (w *edit) opened() *Store {
	for i, a := range w.store.answers {
		if len(a.lessons) == 0 {
			w.store.answers[i] = nil
			w.store.known--
		}
	}
	return w.done(nil)
}
