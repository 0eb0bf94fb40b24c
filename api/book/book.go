// Package book shows what is known as people browse it: lessons, answers with
// their phrasings, and topics, with a full-text search and stable pages.
package book

import (
	"context"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/model"
)

// Source is what is known at one moment; *model.Model is one.
type Source interface {
	Entries(yield func(model.Entry) bool)
	Lesson(id string) (model.Lesson, bool)
	Ask(queries []model.Query) []model.Verdict
	Outlook(topic string) job.Outlook
	Collisions(topic string) []model.Collision
	Risk(target float64, targets []float64) model.Risk
	Info() model.Info
}

// Book lists what a source knows.
type Book struct {
	source func(context.Context) (Source, error)
	times  *times
}

// New makes a book. source gives what is known now; datasets tell when it was
// taught, and may be nil.
func New(source func(context.Context) (Source, error), datasets Datasets) *Book {
	return &Book{source: source, times: newTimes(datasets)}
}

// Query chooses what a list shows.
type Query struct {
	Topic  string // empty: every topic
	Q      string // words that must all occur
	Cursor string // of the page before
	Limit  int
	// SinglePhrasing shows only answers with one phrasing; NeverHit, which tells how
	// often a lesson answered, only those that were never given.
	SinglePhrasing bool
	NeverHit       func(lesson string) int64
	// Only picks answers by topic and response; nil shows all.
	Only func(topic string, response *string) bool
}

// Lesson is one taught phrasing.
type Lesson struct {
	ID       string  `json:"id"`
	Topic    string  `json:"topic"`
	Prompt   string  `json:"prompt"`
	Response *string `json:"response"` // nil: a taught refusal
	Validity
}

func shown(l model.Lesson) Lesson {
	out := Lesson{ID: l.ID, Topic: l.Topic, Prompt: l.Prompt}
	if !l.Refusal {
		out.Response = &l.Response
	}
	return out
}

// lookEvery is how many entries are looked at between two looks at the context.
const lookEvery = 4096

// entries goes over what the source knows until yield returns false or ctx ends.
func (b *Book) entries(ctx context.Context, yield func(model.Entry) bool) error {
	s, err := b.source(ctx)
	if err != nil {
		return err
	}
	n := 0
	s.Entries(func(e model.Entry) bool {
		if n++; n%lookEvery == 0 && ctx.Err() != nil {
			return false
		}
		return yield(e)
	})
	return ctx.Err()
}

// Lessons lists lessons by topic and prompt. The order does not change when
// others are taught or unlearned, so no page skips or repeats one.
func (b *Book) Lessons(ctx context.Context, q Query) (lessons []Lesson, next string, err error) {
	p, err := newPage[model.Entry](q)
	if err != nil {
		return nil, "", err
	}
	words := newWords(q.Q)
	err = b.entries(ctx, func(e model.Entry) bool {
		if q.Topic != "" && e.Topic != q.Topic {
			return true
		}
		if words.any() {
			words.reset()
			words.look(e.Prompt)
			words.look(e.Response)
			if !words.all() {
				return true
			}
		}
		p.offer(e.Topic, e.Prompt, e.ID, e)
		return true
	})
	if err != nil {
		return nil, "", err
	}
	items, next := p.done()
	lessons = make([]Lesson, len(items))
	for i, it := range items {
		lessons[i] = shown(model.Lesson{ID: it.id, Topic: it.item.Topic, Prompt: it.item.Prompt, Response: it.item.Response, Refusal: it.item.Refusal})
	}
	return lessons, next, nil
}

// Lesson finds a lesson by its id; job.CodeNotFound.
func (b *Book) Lesson(ctx context.Context, id string) (Lesson, error) {
	s, err := b.source(ctx)
	if err != nil {
		return Lesson{}, err
	}
	l, ok := s.Lesson(id)
	if !ok {
		return Lesson{}, job.Errorf(job.CodeNotFound, "no lesson has the id %q; GET /api/lessons lists them", job.Clip(id, 80))
	}
	return shown(l), nil
}

// Each calls yield for every lesson of a topic, or of all, as they were at one
// moment and in the order of teaching. It ends with the error of yield.
func (b *Book) Each(ctx context.Context, topic string, yield func(Lesson) error) error {
	var failed error
	err := b.entries(ctx, func(e model.Entry) bool {
		if topic != "" && e.Topic != topic {
			return true
		}
		failed = yield(shown(model.Lesson{Topic: e.Topic, Prompt: e.Prompt, Response: e.Response, Refusal: e.Refusal}))
		return failed == nil
	})
	if failed != nil {
		return failed
	}
	return err
}

// Refuses reports whether anything taught is a refusal.
func (b *Book) Refuses(ctx context.Context, topic string) (refuses bool, err error) {
	err = b.entries(ctx, func(e model.Entry) bool {
		refuses = e.Refusal && (topic == "" || e.Topic == topic)
		return !refuses
	})
	return refuses, err
}
