package model

import (
	"slices"

	"github.com/nexus-continuum/nexus/model/memory"
)

// Contradiction is a prompt that was taught a second response; the newer one
// counts from then on.
type Contradiction struct {
	LessonID string
	Prompt   string
	Older    string
	Newer    string
	// OtherTopic is set where the older response belongs to another topic: then
	// both stay.
	OtherTopic *string
}

// Memorised tells what became of taught lessons.
type Memorised struct {
	Added          int // new, or with another response than before
	Known          int // taught before in the very same way
	Contradictions []Contradiction
}

// Memorise returns a model that knows lessons too and answers them at once. It
// takes no gradient step; its cost grows with the new lessons.
func (m *Model) Memorise(lessons []Lesson) (*Model, Memorised) {
	s := m.get()
	defer m.put(s)
	store, added := m.store.Add(lessons, s.encode(m))
	out := Memorised{Added: added.Added, Known: added.Known}
	for _, r := range added.Replaced {
		out.Contradictions = append(out.Contradictions, Contradiction{LessonID: r.Newer.ID, Prompt: r.Newer.Prompt, Older: r.Older.Response, Newer: r.Newer.Response})
	}
	for _, r := range added.Elsewhere {
		out.Contradictions = append(out.Contradictions, Contradiction{
			LessonID: LessonID(r.Newer.Topic, r.Newer.Prompt), Prompt: r.Newer.Prompt, Older: r.Older.Response, Newer: r.Newer.Response, OtherTopic: &r.Older.Topic,
		})
	}
	next := m.with(store)
	next.disputes = m.disputes.withoutRetaught(lessons)
	return next, out
}

// Unlearn returns a model without the lessons that match, and their number. It
// never gives one of them as an answer or a source again.
func (m *Model) Unlearn(match func(Lesson) bool) (*Model, int) {
	s := m.get()
	defer m.put(s)
	store, n := m.store.Remove(match, s.encode(m))
	next := m.with(store)
	next.disputes, next.view = m.disputes.kept(store), m.view.kept(store)
	return next, n
}

// Lessons lists up to limit lessons of a topic (all topics if empty), the
// oldest first, from cursor on; empty is the start. next is the cursor of what
// follows, empty at the end. A lesson unlearned in between may end a list
// early or show one twice, since cursors are places.
func (m *Model) Lessons(topic, cursor string, limit int) (lessons []Lesson, next string) {
	from, ok := memory.ParseCursor(cursor)
	if !ok || limit < 1 {
		return nil, ""
	}
	m.store.Each(from, func(n, _ uint32) bool {
		if topic != "" && m.store.Topic(n) != topic {
			return true
		}
		if len(lessons) == limit {
			next = memory.Cursor(n)
			return false
		}
		lessons = append(lessons, m.store.Lesson(n))
		return true
	})
	return lessons, next
}

// Lesson finds a lesson by its id.
func (m *Model) Lesson(id string) (Lesson, bool) {
	n, ok := m.store.Find(id)
	if !ok {
		return Lesson{}, false
	}
	return m.store.Lesson(n), true
}

// Topics lists the topics taught, in order of name.
func (m *Model) Topics() []string {
	var out []string
	for t := range m.store.Topics() {
		out = append(out, t)
	}
	slices.Sort(out)
	return out
}
