package book

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/storage"
)

// What a change did to an answer.
const (
	Taught    = "taught"    // phrasings were taught
	Revised   = "revised"   // the response changed
	Moved     = "moved"     // the topic changed
	Unlearned = "unlearned" // phrasings were deleted
)

// Change is one entry in the history of an answer.
type Change struct {
	ID   string    `json:"id"`
	At   *job.Time `json:"at"`
	Who  string    `json:"who"` // name of the key that asked for it; empty where none was needed
	What string    `json:"what"`
	// Response and Topic are what the phrasings had after it. A change that
	// unlearned has none.
	Response *string `json:"response"`
	Refusal  bool    `json:"refusal"`
	Topic    string  `json:"topic"`
	// Phrasings is how many the change touched, Prompts the first of them.
	Phrasings int      `json:"phrasings"`
	Prompts   []string `json:"prompts"`

	meta    storage.DatasetMeta
	touched []storage.Lesson
}

// History is what happened to an answer, newest first.
type History struct {
	Changes []Change `json:"changes"`
	// Complete is false where there is more than the list shows.
	Complete bool `json:"complete"`

	answer Answer // as it is now; empty if it is gone
}

const (
	// listedChanges bounds a history, listedPrompts the prompts of a change.
	listedChanges = 100
	listedPrompts = 20
)

// History tells what happened to an answer, also to one that was deleted; id is
// that of any of its phrasings. job.CodeNotFound.
func (b *Book) History(ctx context.Context, id string) (History, error) {
	now, err := b.Answer(ctx, id)
	if e, ok := errors.AsType[*job.Error](err); err != nil && (!ok || e.Code != job.CodeNotFound) {
		return History{}, err
	}
	h := History{Changes: []Change{}, Complete: true, answer: now}
	if b.times.datasets == nil {
		return h, err
	}
	ids := []string{id}
	for _, l := range now.Lessons {
		ids = append(ids, l.ID)
	}
	f := follower{book: b, lessons: map[string]bool{}, seen: map[string]bool{}}
	f.add(ctx, now.Topic, ids...)
	for len(h.Changes) < listedChanges {
		next := f.pop()
		if next == "" {
			break
		}
		c, ok, err := f.read(ctx, next)
		if err != nil {
			return History{}, err
		}
		if ok {
			h.Changes = append(h.Changes, c)
		}
	}
	h.Complete = !f.behind && len(f.waiting) == 0
	if len(h.Changes) == 0 && err != nil {
		return History{}, err
	}
	return h, nil
}

// follower goes back in the log from what an answer is now. A phrasing that came
// from another topic had another id there, which it follows too.
type follower struct {
	book    *Book
	lessons map[string]bool // ids of the phrasings
	waiting []string        // datasets to read
	seen    map[string]bool
	behind  bool // not every dataset was looked at yet
}

func (f *follower) add(ctx context.Context, topic string, ids ...string) {
	for _, id := range ids {
		f.lessons[id] = true
	}
	found, all := f.book.times.touching(ctx, topic, ids...)
	f.behind = f.behind || !all
	for _, ds := range found {
		if !f.seen[ds] {
			f.seen[ds] = true
			f.waiting = append(f.waiting, ds)
		}
	}
}

// pop takes the newest dataset that waits.
func (f *follower) pop() string {
	if len(f.waiting) == 0 {
		return ""
	}
	slices.Sort(f.waiting)
	last := len(f.waiting) - 1
	id := f.waiting[last]
	f.waiting = f.waiting[:last]
	return id
}

// read tells what a dataset did to the answer; ok is false where it did nothing.
func (f *follower) read(ctx context.Context, id string) (c Change, ok bool, err error) {
	r, err := f.book.times.datasets.Open(ctx, id)
	if errors.Is(err, storage.ErrNotFound) || errors.Is(err, storage.ErrCorrupt) {
		return Change{}, false, nil
	}
	if err != nil {
		return Change{}, false, job.Errorf(job.CodeUnavailable, "the history cannot be read just now; try again").Because(err)
	}
	defer r.Close()
	made, err := job.IDTime(id)
	if err != nil {
		return Change{}, false, nil //nolint:nilerr // not a dataset of ours
	}
	c = Change{ID: id, At: at(made), Who: r.Owner, What: Taught, Topic: r.Topic, Prompts: []string{}, meta: r.DatasetMeta}
	if c.touched, err = f.lessonsOf(r); err != nil {
		return Change{}, false, err
	}
	switch {
	case r.Op == storage.OpForget:
		c.What = Unlearned
		f.add(ctx, r.Topic, ids(r.Topic, c.touched)...)
	case r.From != nil:
		c.What = Moved
		f.add(ctx, *r.From, ids(*r.From, c.touched)...)
	case r.Op == storage.OpRevise:
		c.What = Revised
	}
	for _, l := range c.touched[:min(len(c.touched), listedPrompts)] {
		c.Prompts = append(c.Prompts, l.Prompt)
	}
	c.Phrasings = len(c.touched)
	if len(c.touched) > 0 && c.What != Unlearned {
		first := c.touched[0]
		c.Response, c.Refusal, c.Topic = first.Response, first.Response == nil, first.Topic
	}
	wholeTopic := r.Op == storage.OpForget && r.Lessons == 0 && len(r.LessonIDs) == 0
	named := slices.ContainsFunc(r.LessonIDs, func(id string) bool { return f.lessons[id] })
	if named {
		c.Phrasings = max(c.Phrasings, 1)
	}
	return c, wholeTopic || named || len(c.touched) > 0, nil
}

// lessonsOf gathers what a dataset holds of the answer, with the topic written
// out.
func (f *follower) lessonsOf(r *storage.DatasetReader) (touched []storage.Lesson, err error) {
	var all []storage.Lesson
	for {
		l, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, job.Errorf(job.CodeUnavailable, "the history cannot be read just now; try again").Because(err)
		}
		l.Topic = topicOf(r.DatasetMeta, l)
		if r.Op == storage.OpForget {
			all = append(all, l)
		}
		if f.lessons[model.LessonID(l.Topic, l.Prompt)] {
			touched = append(touched, l)
		}
	}
	if len(touched) > 0 && r.Op == storage.OpForget {
		return all, nil // an answer was deleted with all its phrasings
	}
	return touched, nil
}

func ids(topic string, lessons []storage.Lesson) []string {
	out := make([]string, len(lessons))
	for i, l := range lessons {
		out[i] = model.LessonID(topic, l.Prompt)
	}
	return out
}

// At is an answer as it was after a change: the lessons that gave its response.
// job.CodeNotFound: no such change; job.CodeConflict: the change unlearned it.
func (b *Book) At(ctx context.Context, id, change string) (was []storage.Lesson, now Answer, err error) {
	h, err := b.History(ctx, id)
	if err != nil {
		return nil, Answer{}, err
	}
	i := slices.IndexFunc(h.Changes, func(c Change) bool { return c.ID == change })
	if i < 0 {
		return nil, Answer{}, job.Errorf(job.CodeNotFound, "this answer has no change %q; GET /api/answers/{id}/history lists them", job.Clip(change, 80)).On("change")
	}
	if h.Changes[i].What == Unlearned {
		return nil, Answer{}, job.Errorf(job.CodeConflict, "this change unlearned the answer; choose an earlier one").On("change")
	}
	state := map[string]storage.Lesson{}
	for j := len(h.Changes) - 1; j >= i; j-- {
		h.Changes[j].apply(state)
	}
	first := h.Changes[i].touched[0]
	for _, l := range state {
		if l.Topic == first.Topic && same(l.Response, first.Response) {
			was = append(was, l)
		}
	}
	slices.SortFunc(was, func(a, b storage.Lesson) int { return strings.Compare(a.Prompt, b.Prompt) })
	return was, h.answer, nil
}

// apply does to lessons by id what the change did.
func (c *Change) apply(state map[string]storage.Lesson) {
	for _, id := range c.meta.LessonIDs {
		delete(state, id)
	}
	if c.What == Unlearned && len(c.touched) == 0 && len(c.meta.LessonIDs) == 0 {
		maps.DeleteFunc(state, func(_ string, l storage.Lesson) bool { return l.Topic == c.meta.Topic })
	}
	for _, l := range c.touched {
		if c.meta.From != nil {
			delete(state, model.LessonID(*c.meta.From, l.Prompt))
		}
		id := model.LessonID(l.Topic, l.Prompt)
		if delete(state, id); c.What != Unlearned {
			state[id] = l
		}
	}
}

func same(a, b *string) bool { return (a == nil) == (b == nil) && (a == nil || *a == *b) }
