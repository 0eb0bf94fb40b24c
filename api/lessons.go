package api

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/nexus-continuum/nexus/api/book"
	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/storage"
)

const (
	defaultPage = 50
	maxPage     = 500
)

// optional is text that may be missing: null in JSON. Every list ends its cursor in
// this way.
func optional(next string) *string {
	if next == "" {
		return nil
	}
	return &next
}

// some returns items, or an empty list instead of null.
func some[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}

// limitOf reads ?limit=.
func limitOf(c echo.Context) (int, error) {
	v := c.QueryParam("limit")
	if v == "" {
		return defaultPage, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > maxPage {
		return 0, job.Errorf(job.CodeInvalid, "limit is %q; it must be a number from 1 to %d", job.Clip(v, 40), maxPage).On("limit")
	}
	return n, nil
}

type lessonPage struct {
	Lessons []book.Lesson `json:"lessons"`
	Next    *string       `json:"next_cursor"`
}

// browsed reads the query parameters of a list of lessons or answers.
func browsed(c echo.Context, more ...string) (book.Query, error) {
	if err := onlyQuery(c, append([]string{"topic", "q", "cursor", "limit"}, more...)...); err != nil {
		return book.Query{}, err
	}
	limit, err := limitOf(c)
	if err != nil {
		return book.Query{}, err
	}
	q := book.Query{Topic: c.QueryParam("topic"), Q: c.QueryParam("q"), Cursor: c.QueryParam("cursor"), Limit: limit}
	if len(q.Q) > maxSearch {
		return book.Query{}, job.Errorf(job.CodeInvalid, "q is longer than %d bytes; search for fewer words", maxSearch).On("q")
	}
	return q, nil
}

// maxSearch limits the text to search for, in bytes.
const maxSearch = 1000

// onlyQuery refuses unknown query parameters, because a misspelt filter would show
// everything.
func onlyQuery(c echo.Context, known ...string) error {
	for name := range c.QueryParams() {
		if !slices.Contains(known, name) {
			return job.Errorf(job.CodeInvalid, "unknown query parameter %q; known: %s", job.Clip(name, 80), strings.Join(known, ", ")).On(job.Clip(name, 80))
		}
	}
	return nil
}

// listLessons is GET /api/lessons.
func (s *Server) listLessons(c echo.Context) (lessonPage, error) {
	q, err := browsed(c)
	if err != nil {
		return lessonPage{}, err
	}
	ctx := c.Request().Context()
	lessons, next, err := s.book.Lessons(ctx, q)
	if err != nil {
		return lessonPage{}, err
	}
	all, err := s.validities(ctx)
	now := s.now()
	for i := range lessons {
		l := &lessons[i]
		l.Validity = shownValidity(all[storage.KeyOf(l.Topic, l.Response)], now)
	}
	return lessonPage{Lessons: some(lessons), Next: optional(next)}, err
}

// oneLesson is GET /api/lessons/{id}.
func (s *Server) oneLesson(c echo.Context) (book.Lesson, error) {
	ctx := c.Request().Context()
	l, err := s.book.Lesson(ctx, c.Param("id"))
	if err != nil {
		return l, err
	}
	all, err := s.validities(ctx)
	l.Validity = shownValidity(all[storage.KeyOf(l.Topic, l.Response)], s.now())
	return l, err
}

// forgetLesson is DELETE /api/lessons/{id}.
func (s *Server) forgetLesson(c echo.Context) (reply, error) {
	ctx := c.Request().Context()
	l, err := s.book.Lesson(ctx, c.Param("id"))
	if err != nil {
		return reply{}, err
	}
	a, err := s.book.Answer(ctx, l.ID)
	if err != nil {
		return reply{}, err
	}
	if a.Phrasings == 1 {
		last := storage.KeyOf(l.Topic, l.Response)
		if err := s.withhold(ctx, func(key storage.AnswerKey) bool { return key == last }); err != nil {
			return reply{}, err
		}
	}
	return s.forget(ctx, c, storage.DatasetMeta{LessonIDs: []string{l.ID}})
}

// forgetTopic is DELETE /api/lessons?topic=.
func (s *Server) forgetTopic(c echo.Context) (reply, error) {
	topic := c.QueryParam("topic")
	if topic == "" {
		return reply{}, job.Errorf(job.CodeInvalid, "name the topic to forget: DELETE /api/lessons?topic=…").On("topic")
	}
	if err := checkTopic(topic); err != nil {
		return reply{}, err
	}
	ctx := c.Request().Context()
	// A topic without any lessons is most likely misspelt.
	known, _, err := s.book.Lessons(ctx, book.Query{Topic: topic, Limit: 1})
	if err != nil {
		return reply{}, err
	}
	if len(known) == 0 {
		return reply{}, job.Errorf(job.CodeNotFound, "no lesson of the topic %q is known", topic).On("topic")
	}
	if err := s.withhold(ctx, func(key storage.AnswerKey) bool { return key.Topic == topic }); err != nil {
		return reply{}, err
	}
	return s.forget(ctx, c, storage.DatasetMeta{Topic: topic})
}

// forget stores the lessons to unlearn and makes the job that unlearns them.
func (s *Server) forget(ctx context.Context, c echo.Context, meta storage.DatasetMeta, lessons ...storage.Lesson) (reply, error) {
	meta.Op, meta.Owner = storage.OpForget, ownerOf(c)
	w, err := s.writeDataset(ctx, "store what is to be forgotten", meta, lessons...)
	if err != nil {
		return reply{}, err
	}
	defer w.Abort()
	return s.learn(ctx, c, w, hook{})
}
