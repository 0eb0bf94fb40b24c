package memory

import (
	"slices"

	"github.com/nexus-continuum/nexus/model/kernel"
	"github.com/nexus-continuum/nexus/model/text"
)

// Encode writes the unit vector of a prompt into dst.
type Encode func(dst []float32, prompt string)

// Added tells what became of the lessons given to Add.
type Added struct {
	Added int // new, or with another response than before
	Known int // taught before in the very same way
	// Replaced lists lessons whose older response gave way.
	Replaced []Replaced
	// Elsewhere pairs lessons with one of another topic that answers the same
	// prompt otherwise. Both stay.
	Elsewhere []Replaced
}

// Replaced is a prompt that was taught a second response.
type Replaced struct {
	Older, Newer Lesson
}

// Add returns a store that knows lessons too. The same prompt in the same topic
// with another response replaces the older lesson. Only what is new is encoded.
func (s *Store) Add(lessons []Lesson, encode Encode) (*Store, Added) {
	w := s.edit()
	var report Added
	for _, l := range lessons {
		w.form.Read(l.Prompt)
		key := w.key(l.Topic)
		if old, ok := w.find(key, l); ok {
			a := w.answer(w.answerOf(old))
			if a.response == l.Response && a.refusal == l.Refusal {
				report.Known++
				continue
			}
			older := w.lesson(old)
			w.remove(old)
			l.ID = older.ID
			report.Replaced = append(report.Replaced, Replaced{Older: older, Newer: l})
			w.form.Read(l.Prompt)
		}
		report.Added++
		if older, ok := w.elsewhere(l); ok {
			report.Elsewhere = append(report.Elsewhere, Replaced{Older: older, Newer: l})
		}
		w.prompts[w.form.Hash()] = w.store.next
		w.add(key, l, encode)
	}
	return w.done(encode), report
}

// Remove returns a store without the lessons that match, and their number.
// Nothing of them is left in it.
func (s *Store) Remove(match func(Lesson) bool, encode Encode) (*Store, int) {
	n := 0
	out := s.rebuild(func(l Lesson) bool {
		if match(l) {
			n++
			return false
		}
		return true
	}, encode)
	if n == 0 {
		return s, 0
	}
	return out, n
}

// edit is a store in the making. Everything in it that is shared with the old
// one is copied before it is changed.
type edit struct {
	old     *Store
	store   Store
	form    text.Form
	other   text.Form
	bytes   []byte
	block   block
	vectors []float32 // of the new rows
	pairs   []pair
	known   []pair            // words that answers came to know
	fresh   map[uint32]bool   // answers copied already
	ids     map[uint64]uint32 // lessons of this edit by id key
	prompts map[uint64]uint32 // the newest lessons of this edit by the hash of their form
	replies map[uint64]uint32 // answers of this edit by answer key
	words   map[uint64]bool   // words that this edit made known
	bare    []uint32          // answers that lost vectors

	wantLessons, wantRows int // what the head of stored parts promises
}

func (s *Store) edit() *edit {
	w := &edit{old: s, store: *s, fresh: map[uint32]bool{}, ids: map[uint64]uint32{}, prompts: map[uint64]uint32{}, replies: map[uint64]uint32{}, words: map[uint64]bool{}}
	w.store.veil = nil
	w.store.answers = slices.Clone(s.answers)
	w.store.responses = slices.Clone(s.responses)
	w.store.dead = slices.Clone(s.dead)
	w.store.lessons, w.store.rowOf = slices.Clone(s.lessons), slices.Clone(s.rowOf)
	w.store.topics = make(map[string]int, len(s.topics)+1)
	for t, n := range s.topics {
		w.store.topics[t] = n
	}
	w.block.first = s.next
	return w
}

// The lessons of this edit are in w.block, older ones in the blocks of w.old.

func (w *edit) prompt(n uint32) string {
	if n >= w.block.first {
		return w.block.prompts[n-w.block.first]
	}
	return w.old.prompt(n)
}

func (w *edit) topic(n uint32) string {
	if n >= w.block.first {
		return w.block.topics[n-w.block.first]
	}
	return w.old.topic(n)
}

func (w *edit) answerOf(n uint32) uint32 {
	if n >= w.block.first {
		return w.block.answers[n-w.block.first]
	}
	return w.old.answerOf(n)
}

func (w *edit) lesson(n uint32) Lesson {
	a := w.answer(w.answerOf(n))
	return Lesson{ID: LessonID(w.topic(n), w.prompt(n)), Prompt: w.prompt(n), Topic: w.topic(n), Response: a.response, Refusal: a.refusal}
}

func (w *edit) answer(a uint32) *answer { return w.store.answers[a] }

// own returns a copy of answer a that may be changed.
func (w *edit) own(n uint32) *answer {
	if w.fresh[n] {
		return w.store.answers[n]
	}
	a := *w.store.answers[n]
	a.lessons, a.words, a.counts, a.sum = slices.Clone(a.lessons), slices.Clone(a.words), slices.Clone(a.counts), slices.Clone(a.sum)
	w.fresh[n], w.store.answers[n] = true, &a
	return &a
}

// key is the index key of the lesson whose form w.form holds.
func (w *edit) key(topic string) uint64 {
	if cap(w.bytes) == 0 {
		w.bytes = make([]byte, 0, 1<<10)
	}
	return idKeyOf(digest(w.bytes, topic, &w.form))
}

func idKeyOf(id [16]byte) uint64 {
	var k uint64
	for i := 7; i >= 0; i-- {
		k = k<<8 | uint64(id[i])
	}
	return k
}

// sameForm reports whether lesson n has the form in w.form.
func (w *edit) sameForm(n uint32) bool {
	w.other.Read(w.prompt(n))
	return w.other.SameWords(&w.form)
}

// find looks for the live lesson with the topic and form of l.
func (w *edit) find(key uint64, l Lesson) (number uint32, ok bool) {
	same := func(n uint32) bool {
		return w.store.alive(n) && w.topic(n) == l.Topic && w.sameForm(n)
	}
	if n, there := w.ids[key]; there && same(n) {
		return n, true
	}
	w.old.index.newest(keyed(kindID, key), func(n uint32) bool {
		if same(n) {
			number, ok = n, true
		}
		return !ok
	})
	return number, ok
}

// reply returns the number of the answer that l gives, making it if need be.
func (w *edit) reply(l Lesson) uint32 {
	key := answerKey(l.Response, l.Refusal)
	same := func(n uint32) bool {
		a := w.store.answers[n]
		return a != nil && a.refusal == l.Refusal && a.response == l.Response
	}
	if n, ok := w.replies[key]; ok && same(n) {
		return n
	}
	found, ok := uint32(0), false
	w.old.index.newest(keyed(kindAnswer, key), func(n uint32) bool {
		if same(n) {
			found, ok = n, true
		}
		return !ok
	})
	if ok {
		return found
	}
	n := uint32(len(w.store.answers))
	w.store.answers = append(w.store.answers, &answer{response: l.Response, refusal: l.Refusal, sum: make([]float32, w.store.dim)})
	w.store.responses = append(w.store.responses, reply{l.Response, l.Refusal})
	w.store.known++
	w.fresh[n], w.replies[key] = true, n
	w.pairs = append(w.pairs, pair{keyed(kindAnswer, key), n})
	return n
}

// insert appends lesson l, whose form w.form holds, without a vector.
func (w *edit) insert(key uint64, l Lesson) (n, reply uint32) {
	n, reply = w.place(l)
	w.store.topics[l.Topic]++
	w.ids[key] = n
	w.pairs = append(w.pairs,
		pair{keyed(kindID, key), n},
		pair{keyed(kindPrompt, w.form.Hash()), n},
		pair{keyed(kindBag, w.form.Bag()), n},
		pair{keyed(kindJoined, w.form.Joined()), n})
	a := w.own(reply)
	a.lessons = append(a.lessons, n)
	w.learnWords(a, n, reply)
	return n, reply
}

// place gives lesson l a number and an answer.
func (w *edit) place(l Lesson) (n, reply uint32) {
	n, reply = w.store.next, w.reply(l)
	w.store.next++
	if len(w.store.dead)*64 < int(w.store.next) {
		w.store.dead = append(w.store.dead, 0)
	}
	w.store.rowOf = append(w.store.rowOf, 0)
	w.block.prompts = append(w.block.prompts, l.Prompt)
	w.block.topics = append(w.block.topics, l.Topic)
	w.block.answers = append(w.block.answers, reply)
	return n, reply
}

// add appends lesson l with its vector, as long as its answer wants one.
func (w *edit) add(key uint64, l Lesson, encode Encode) {
	n, reply := w.insert(key, l)
	if a := w.own(reply); a.exemplars < 2*a.bound() {
		w.exemplar(a, n, encode)
	}
}

// exemplar encodes lesson n and makes it an exemplar of its answer a.
func (w *edit) exemplar(a *answer, n uint32, encode Encode) {
	v := make([]float32, w.store.dim)
	encode(v, w.prompt(n))
	w.put(a, n, v)
}

// put makes v the vector of lesson n.
func (w *edit) put(a *answer, n uint32, v []float32) {
	w.vectors = append(w.vectors, v...)
	w.store.lessons = append(w.store.lessons, n)
	w.store.rowOf[n] = uint32(len(w.store.lessons))
	a.exemplars++
	kernel.Axpy(1, v, a.sum)
}

// learnWords counts the words of w.form for answer a and makes them known.
func (w *edit) learnWords(a *answer, lesson, reply uint32) {
	for t := range w.form.Words() {
		key := w.form.Key(t)
		if repeated(&w.form, t) {
			continue
		}
		i, known := slices.BinarySearch(a.words, key)
		if known {
			a.counts[i]++
			continue
		}
		a.words, a.counts = slices.Insert(a.words, i, key), slices.Insert(a.counts, i, 1)
		if !w.words[key] && w.old.vocabulary.count(key) == 0 {
			w.words[key] = true
			for _, h := range text.Deletions(nil, w.form.Word(t)) {
				w.pairs = append(w.pairs, pair{keyed(kindSlip, h), lesson})
			}
		}
		w.known = append(w.known, pair{key, reply})
	}
}

// repeated reports whether word t of f stands before t too.
func repeated(f *text.Form, t int) bool {
	for u := range t {
		if f.Key(u) == f.Key(t) {
			return true
		}
	}
	return false
}

// remove takes lesson n out.
func (w *edit) remove(n uint32) {
	w.store.dead[n>>6] |= 1 << (n & 63)
	w.store.gone++
	topic := w.topic(n)
	if w.store.topics[topic]--; w.store.topics[topic] == 0 {
		delete(w.store.topics, topic)
	}
	number := w.answerOf(n)
	a := w.own(number)
	if i, ok := slices.BinarySearch(a.lessons, n); ok {
		a.lessons = slices.Delete(a.lessons, i, i+1)
	}
	w.form.Read(w.prompt(n))
	for t := range w.form.Words() {
		if i, ok := slices.BinarySearch(a.words, w.form.Key(t)); ok && !repeated(&w.form, t) {
			if a.counts[i]--; a.counts[i] == 0 {
				a.words, a.counts = slices.Delete(a.words, i, i+1), slices.Delete(a.counts, i, i+1)
			}
		}
	}
	if row := w.store.rowOf[n]; row > 0 {
		kernel.Axpy(-1, w.vector(int(row-1)), a.sum)
		a.exemplars--
		w.store.rowOf[n] = 0
		w.store.lost = append(w.store.lost, int(row-1))
	}
	w.bare = append(w.bare, number)
	if len(a.lessons) == 0 {
		w.store.answers[number] = nil
		w.store.known--
		delete(w.fresh, number)
	}
}

// vector returns row i, which may be one of this edit.
func (w *edit) vector(i int) []float32 {
	if n := w.old.rows.Len(); i >= n {
		return w.vectors[(i-n)*w.store.dim : (i-n+1)*w.store.dim]
	}
	return w.old.rows.Row(i)
}
