package model

import "github.com/nexus-continuum/nexus/model/memory"

// Entry is a lesson as a list shows it. Its id is made on demand, since that
// takes a digest.
type Entry struct {
	Topic    string
	Prompt   string
	Response string
	Refusal  bool
	// Answer numbers the response: lessons with the same number have the same one.
	Answer uint32
}

// ID is the id of the lesson.
func (e Entry) ID() string { return memory.LessonID(e.Topic, e.Prompt) }

// Entries calls yield for every lesson in the order of teaching, until it
// returns false.
func (m *Model) Entries(yield func(Entry) bool) {
	m.store.Each(0, func(n, answer uint32) bool {
		response, refusal := m.store.Response(answer)
		return yield(Entry{
			Topic: m.store.Topic(n), Prompt: m.store.Prompt(n), Response: response, Refusal: refusal, Answer: answer,
		})
	})
}
