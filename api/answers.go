package api

import (
	"encoding/json"

	"github.com/labstack/echo/v4"

	"github.com/nexus-continuum/nexus/api/book"
	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/storage"
)

type answerPage struct {
	Answers []book.Answer `json:"answers"`
	Next    *string       `json:"next_cursor"`
}

// listAnswers is GET /api/answers.
func (s *Server) listAnswers(c echo.Context) (answerPage, error) {
	q, err := browsed(c)
	if err != nil {
		return answerPage{}, err
	}
	answers, next, err := s.book.Answers(c.Request().Context(), q)
	return answerPage{Answers: some(answers), Next: optional(next)}, err
}

// oneAnswer is GET /api/answers/{id}.
func (s *Server) oneAnswer(c echo.Context) (book.Answer, error) {
	return s.book.Answer(c.Request().Context(), c.Param("id"))
}

// reviseAnswer is PATCH /api/answers/{id}: every phrasing gets the new response,
// or moves to the new topic, in one train job.
func (s *Server) reviseAnswer(c echo.Context) (reply, error) {
	var (
		response, topic       json.RawMessage
		hasResponse, hasTopic bool
	)
	err := jsonBody(c, field{name: "response", into: &response, set: &hasResponse}, field{name: "topic", into: &topic, set: &hasTopic})
	if err != nil {
		return reply{}, err
	}
	if !hasResponse && !hasTopic {
		return reply{}, job.Errorf(job.CodeInvalid, `say what is to change: {"response": "…"}, {"topic": "…"} or both`)
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
	return s.revise(ctx, c, old, to)
}

// forgetAnswer is DELETE /api/answers/{id}: all its phrasings are unlearned.
func (s *Server) forgetAnswer(c echo.Context) (reply, error) {
	ctx := c.Request().Context()
	a, err := s.book.Answer(ctx, c.Param("id"))
	if err != nil {
		return reply{}, err
	}
	// Named by their prompts: the header of a dataset has no room for many ids.
	w, err := s.datasets.Create(ctx, storage.DatasetMeta{Op: storage.OpForget, Owner: ownerOf(c), Topic: a.Topic})
	if err != nil {
		return reply{}, stored("store what is to be forgotten", err)
	}
	defer w.Abort()
	for _, l := range a.Lessons {
		if err := w.Add(storage.Lesson{Prompt: l.Prompt, Topic: a.Topic}); err != nil {
			return reply{}, stored("store what is to be forgotten", err)
		}
	}
	return s.learn(ctx, c, w, hook{})
}
