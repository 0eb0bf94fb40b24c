package memory

import (
	"slices"

	"github.com/nexus-continuum/nexus/model/kernel"
)

// minRun is the shortest run of lessons that is worth keeping by itself.
const minRun = 32

// done ends an edit.
func (w *edit) done(encode Encode) *Store {
	s := &w.store
	w.refill(encode)
	for n := range w.fresh {
		if a := s.answers[n]; a != nil {
			a.norm = kernel.Norm(a.sum)
		}
	}
	if len(w.block.prompts) > 0 {
		s.blocks = appendBlock(w.old.blocks, &w.block)
	}
	s.index, s.vocabulary = w.old.index.with(w.pairs), w.old.vocabulary.with(w.known)
	s.rows = w.old.rows.Append(w.vectors)
	s.allow(w.old.rows.Len())
	if tooManyGone(s.gone, int(s.next)) {
		return s.rebuild(func(Lesson) bool { return true }, encode)
	}
	// A copy: a pointer into the edit would keep it, with it the older store, and so all
	// stores that ever were.
	out := *s
	return &out
}

// tooManyGone tells when removed lessons are worth clearing away.
func tooManyGone(gone, all int) bool { return gone > 64 && gone*4 > all }

// refill gives vectors to answers that lost theirs but not all their lessons.
func (w *edit) refill(encode Encode) {
	slices.Sort(w.bare)
	for _, number := range slices.Compact(w.bare) {
		if a := w.answer(number); a != nil && a.exemplars == 0 {
			a = w.own(number)
			for _, n := range a.lessons[:min(len(a.lessons), a.bound())] {
				w.exemplar(a, n, encode)
			}
		}
	}
}

// appendBlock adds b, joining runs that are less than twice as long as what
// follows them.
func appendBlock(blocks []*block, b *block) []*block {
	out := slices.Clone(blocks)
	for len(out) > 0 {
		last, n := out[len(out)-1], len(b.prompts)
		if n >= minRun && len(last.prompts) >= 2*n {
			break
		}
		b = &block{
			first:   last.first,
			prompts: slices.Concat(last.prompts, b.prompts),
			topics:  slices.Concat(last.topics, b.topics),
			answers: slices.Concat(last.answers, b.answers),
		}
		out = out[:len(out)-1]
	}
	return append(out, b)
}

// allow renews the bitmaps of the rows that may be found: those of live
// lessons, and of them those of each topic. Rows below from are old and, but
// for removals, stand in the bitmaps already.
func (s *Store) allow(from int) {
	n := s.rows.Len()
	live := grown(s.live, n)
	topics := make(map[string]kernel.Bitmap, len(s.topics))
	for t := range s.topics {
		topics[t] = s.within[t]
	}
	owned := map[string]bool{}
	own := func(t string) kernel.Bitmap {
		if !owned[t] {
			topics[t], owned[t] = grown(topics[t], n), true
		}
		return topics[t]
	}
	for row := from; row < n; row++ {
		if number := s.lessons[row]; s.alive(number) {
			live.Set(row)
			own(s.topic(number)).Set(row)
		}
	}
	for _, row := range s.lost {
		live.Clear(row)
		if t := s.topic(s.lessons[row]); s.topics[t] > 0 && row < from {
			own(t).Clear(row)
		}
	}
	s.live, s.within, s.lost = live, topics, nil
}

// grown is a copy of b with room for n rows.
func grown(b kernel.Bitmap, n int) kernel.Bitmap {
	out := kernel.NewBitmap(n)
	copy(out, b)
	return out
}

// rebuild numbers the lessons that pass anew and makes all that hangs on
// numbers again. Vectors are carried over; lessons are encoded only where an
// answer has fewer exemplars than it may have.
func (s *Store) rebuild(keep func(Lesson) bool, encode Encode) *Store {
	w := New(s.dim).edit()
	s.Each(0, func(n, _ uint32) bool {
		l := s.Lesson(n)
		if !keep(l) {
			return true
		}
		w.form.Read(l.Prompt)
		key, _ := idKey(l.ID)
		number, reply := w.insert(key, l)
		if v := s.vector(n); v != nil {
			w.put(w.answer(reply), number, v)
		}
		return true
	})
	for _, a := range w.store.answers {
		for _, n := range a.lessons {
			if a.exemplars >= a.bound() {
				break
			}
			if w.store.rowOf[n] == 0 {
				w.exemplar(a, n, encode)
			}
		}
	}
	return w.done(encode)
}
