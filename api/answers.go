package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/nexus-continuum/nexus/api/book"
	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/storage"
)

type answerPage struct {
	Answers []book.Answer `json:"answers"`
	Next    *string       `json:"next_cursor"`
}

// Filters of a list of answers.
const (
	showSinglePhrasing = "single_phrasing"
	showNeverHit       = "never_hit"
)

// listAnswers is GET /api/answers.
func (s *Server) listAnswers(c echo.Context) (answerPage, error) {
	q, err := browsed(c, "show", "state")
	if err != nil {
		return answerPage{}, err
	}
	if q.Only, err = s.inState(c); err != nil {
		return answerPage{}, err
	}
	ctx := c.Request().Context()
	switch show := c.QueryParam("show"); show {
	case "":
	case showSinglePhrasing:
		q.SinglePhrasing = true
	case showNeverHit:
		if q.NeverHit, err = s.hitsOfLessons(ctx); err != nil {
			return answerPage{}, err
		}
	default:
		return answerPage{}, job.Errorf(job.CodeInvalid, "show is %q; it may be %s or %s", job.Clip(show, 40), showSinglePhrasing, showNeverHit).On("show")
	}
	answers, next, err := s.book.Answers(ctx, q)
	if err != nil {
		return answerPage{}, err
	}
	return answerPage{Answers: some(answers), Next: optional(next)}, s.complete(ctx, answers)
}

// oneAnswer is GET /api/answers/{id}.
func (s *Server) oneAnswer(c echo.Context) (book.Answer, error) {
	ctx := c.Request().Context()
	a, err := s.book.Answer(ctx, c.Param("id"))
	if err != nil {
		return a, err
	}
	one := []book.Answer{a}
	err = s.complete(ctx, one)
	return one[0], err
}

// complete adds to answers what the model does not know about them.
func (s *Server) complete(ctx context.Context, answers []book.Answer) error {
	if err := s.stampValidity(ctx, answers); err != nil {
		return err
	}
	return s.countHits(ctx, answers)
}

// hitsOfLessons returns a function that says how often a lesson answered.
func (s *Server) hitsOfLessons(ctx context.Context) (func(lesson string) int64, error) {
	hits, err := s.interactions.Hits(ctx)
	return func(lesson string) int64 { return hits[lesson].Count }, err
}

// countHits sets for each answer how often it was given.
func (s *Server) countHits(ctx context.Context, answers []book.Answer) error {
	lessons := make([][]string, len(answers))
	for i := range answers {
		lessons[i] = answers[i].PhrasingIDs()
	}
	hits, err := s.interactions.HitsOf(ctx, lessons...)
	if err != nil {
		return err
	}
	for i, h := range hits {
		answers[i].Hits = h.Count
		if h.LastAt > 0 {
			answers[i].LastHitAt = job.At(time.UnixMilli(h.LastAt))
		}
	}
	return nil
}

// reviseAnswer is PATCH /api/answers/{id}. Every phrasing gets the new response, or
// moves to the new topic, in one train job. The time in which the answer may be given
// changes at once; if nothing else changes, the reply is the answer.
func (s *Server) reviseAnswer(c echo.Context) (reply, error) {
	var (
		response, topic       json.RawMessage
		hasResponse, hasTopic bool
		times                 whenFields
	)
	err := jsonBody(c, append(times.fields(), field{name: "response", into: &response, set: &hasResponse}, field{name: "topic", into: &topic, set: &hasTopic})...)
	if err != nil {
		return reply{}, err
	}
	w, err := times.when()
	if err != nil {
		return reply{}, err
	}
	if !hasResponse && !hasTopic && !w.isSet() {
		return reply{}, job.Errorf(job.CodeInvalid, `say what is to change: {"response": "…"}, {"topic": "…"}, {"draft": true}, {"valid_from": "…"} or {"valid_until": "…"}`)
	}
	ctx := c.Request().Context()
	old, err := s.book.Answer(ctx, c.Param("id"))
	if err != nil {
		return reply{}, err
	}
	to := revision{response: old.Response, topic: old.Topic, prompts: promptsOf(old)}
	if hasResponse {
		if to.response, err = responseIn(response); err != nil {
			return reply{}, err
		}
	}
	if hasTopic {
		if to.topic, err = topicIn(topic); err != nil {
			return reply{}, err
		}
	}
	if !hasResponse && !hasTopic {
		if err := s.carryValidity(ctx, old, to, w); err != nil {
			return reply{}, err
		}
		now, err := s.oneAnswer(c)
		return reply{status: http.StatusOK, body: now}, err
	}
	return s.revise(ctx, c, old, to, w)
}

// forgetAnswer is DELETE /api/answers/{id}. It unlearns all phrasings of the answer.
func (s *Server) forgetAnswer(c echo.Context) (reply, error) {
	ctx := c.Request().Context()
	a, err := s.book.Answer(ctx, c.Param("id"))
	if err != nil {
		return reply{}, err
	}
	deleted := storage.KeyOf(a.Topic, a.Response)
	if err := s.withhold(ctx, func(key storage.AnswerKey) bool { return key == deleted }); err != nil {
		return reply{}, err
	}
	// They are named by their prompts, because the header of a dataset has no room for
	// many ids.
	gone := make([]storage.Lesson, len(a.Lessons))
	for i, l := range a.Lessons {
		gone[i] = storage.Lesson{Prompt: l.Prompt, Topic: a.Topic}
	}
	return s.forget(ctx, c, storage.DatasetMeta{Topic: a.Topic}, gone...)
}
