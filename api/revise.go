package api

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"

	"github.com/nexus-continuum/nexus/api/book"
	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/storage"
)

// revision is the new form of an answer.
type revision struct {
	response *string // nil: its prompts are to be refused
	topic    string
	prompts  []string
}

// maxPhrasings limits the phrasings that one request may give an answer.
const maxPhrasings = 1000

func promptsOf(a book.Answer) []string {
	out := make([]string, len(a.Lessons))
	for i, l := range a.Lessons {
		out[i] = l.Prompt
	}
	return out
}

// responseIn reads a response; null means a taught refusal.
func responseIn(raw json.RawMessage) (*string, error) {
	if bytes.Equal(raw, []byte("null")) {
		return nil, nil //nolint:nilnil // no response is a value here
	}
	var text string
	if err := decodeValue("response", raw, &text); err != nil {
		return nil, err
	}
	if err := checkResponse(text); err != nil {
		return nil, err
	}
	return &text, nil
}

func topicIn(raw json.RawMessage) (string, error) {
	if bytes.Equal(raw, []byte("null")) {
		return "", job.Errorf(job.CodeInvalid, `"topic" must be a string, not null`).On("topic")
	}
	var topic string
	if err := decodeValue("topic", raw, &topic); err != nil {
		return "", err
	}
	if err := checkTopic(topic); err != nil {
		return "", err
	}
	return topic, nil
}

func promptsIn(raw json.RawMessage) ([]string, error) {
	var prompts []string
	if err := decodeValue("prompts", raw, &prompts); err != nil {
		return nil, err
	}
	if len(prompts) == 0 || len(prompts) > maxPhrasings {
		return nil, job.Errorf(job.CodeInvalid, "an answer needs from 1 to %d prompts; DELETE unlearns it", maxPhrasings).On("prompts")
	}
	for _, p := range prompts {
		if err := checkPrompt(p); err != nil {
			return nil, err
		}
	}
	return prompts, nil
}

// replaceAnswer is PUT /api/answers/{id}: the response, the topic and the whole
// set of phrasings.
func (s *Server) replaceAnswer(c echo.Context) (reply, error) {
	var (
		response, topic, prompts json.RawMessage
		hasResponse, hasPrompts  bool
	)
	err := jsonBody(c, field{name: "response", into: &response, set: &hasResponse}, field{name: "topic", into: &topic}, field{name: "prompts", into: &prompts, set: &hasPrompts})
	if err != nil {
		return reply{}, err
	}
	switch {
	case !hasResponse:
		return reply{}, job.Errorf(job.CodeInvalid, "the response is missing; null teaches a refusal").On("response")
	case !hasPrompts:
		return reply{}, job.Errorf(job.CodeInvalid, "the prompts are missing: PUT replaces them all; PATCH changes the response or the topic only").On("prompts")
	}
	var to revision
	if to.response, err = responseIn(response); err != nil {
		return reply{}, err
	}
	if topic != nil {
		if to.topic, err = topicIn(topic); err != nil {
			return reply{}, err
		}
	}
	if to.prompts, err = promptsIn(prompts); err != nil {
		return reply{}, err
	}
	ctx := c.Request().Context()
	old, err := s.book.Answer(ctx, c.Param("id"))
	if err != nil {
		return reply{}, err
	}
	return s.revise(ctx, c, old, to, when{})
}

// reviseLesson is PATCH and PUT /api/lessons/{id}. It changes only this phrasing.
func (s *Server) reviseLesson(c echo.Context) (reply, error) {
	var (
		prompt                           *string
		response, topic                  json.RawMessage
		hasPrompt, hasResponse, hasTopic bool
	)
	err := jsonBody(c, field{name: "prompt", into: &prompt, set: &hasPrompt}, field{name: "response", into: &response, set: &hasResponse}, field{name: "topic", into: &topic, set: &hasTopic})
	if err != nil {
		return reply{}, err
	}
	whole := c.Request().Method == http.MethodPut
	switch {
	case !hasPrompt && !hasResponse && !hasTopic:
		return reply{}, job.Errorf(job.CodeInvalid, `say what is to change: {"prompt": "…"}, {"response": "…"} or {"topic": "…"}`)
	case (hasPrompt || whole) && prompt == nil:
		return reply{}, job.Errorf(job.CodePromptEmpty, "the prompt is missing").On("prompt")
	case whole && !hasResponse:
		return reply{}, job.Errorf(job.CodeInvalid, "the response is missing; null teaches a refusal").On("response")
	}
	ctx := c.Request().Context()
	l, err := s.book.Lesson(ctx, c.Param("id"))
	if err != nil {
		return reply{}, err
	}
	of, err := s.book.Answer(ctx, l.ID)
	if err != nil {
		return reply{}, err
	}
	old := book.Answer{Response: l.Response, Topic: l.Topic, Phrasings: of.Phrasings, Lessons: []book.Phrasing{{ID: l.ID, Prompt: l.Prompt}}}
	to := revision{response: l.Response, topic: l.Topic, prompts: []string{l.Prompt}}
	if hasPrompt {
		if err := checkPrompt(*prompt); err != nil {
			return reply{}, err
		}
		to.prompts = []string{*prompt}
	}
	if hasResponse {
		if to.response, err = responseIn(response); err != nil {
			return reply{}, err
		}
	}
	switch {
	case hasTopic:
		if to.topic, err = topicIn(topic); err != nil {
			return reply{}, err
		}
	case whole:
		to.topic = ""
	}
	return s.revise(ctx, c, old, to, when{})
}

// answerHistory is GET /api/answers/{id}/history.
func (s *Server) answerHistory(c echo.Context) (book.History, error) {
	return s.book.History(c.Request().Context(), c.Param("id"))
}

// restoreAnswer is POST /api/answers/{id}/restore. The response and the topic become
// what they were after a change, and phrasings that were deleted since return.
// Phrasings that were added since stay.
func (s *Server) restoreAnswer(c echo.Context) (reply, error) {
	var change string
	if err := jsonBody(c, field{name: "change", into: &change}); err != nil {
		return reply{}, err
	}
	if change == "" {
		return reply{}, job.Errorf(job.CodeInvalid, "name the change to go back to; the history of the answer lists them").On("change")
	}
	ctx := c.Request().Context()
	was, now, err := s.book.At(ctx, c.Param("id"), change)
	if err != nil {
		return reply{}, err
	}
	to := revision{response: was[0].Response, topic: was[0].Topic, prompts: promptsOf(now)}
	for _, l := range was {
		if !slices.Contains(to.prompts, l.Prompt) {
			to.prompts = append(to.prompts, l.Prompt)
		}
	}
	return s.revise(ctx, c, now, to, when{})
}

// revise changes an answer and returns the job that does the last step. New phrasings
// are stored before others are unlearned, so that a failure in between leaves too much
// rather than too little.
func (s *Server) revise(ctx context.Context, c echo.Context, old book.Answer, to revision, w when) (reply, error) {
	if err := s.carryValidity(ctx, old, to, w); err != nil {
		return reply{}, err
	}
	var kept, added []storage.Lesson
	var gone []storage.Lesson
	has := make(map[string]bool, len(old.Lessons))
	for _, l := range old.Lessons {
		has[l.Prompt] = true
	}
	wanted := make(map[string]bool, len(to.prompts))
	for _, p := range to.prompts {
		if wanted[p] {
			continue
		}
		wanted[p] = true
		l := storage.Lesson{Prompt: p, Response: to.response, Topic: to.topic}
		if has[p] {
			kept = append(kept, l)
		} else {
			added = append(added, l)
		}
	}
	for _, l := range old.Lessons {
		if !wanted[l.Prompt] {
			gone = append(gone, storage.Lesson{Prompt: l.Prompt, Topic: old.Topic})
		}
	}
	owner := ownerOf(c)
	revised := storage.DatasetMeta{Op: storage.OpRevise, Owner: owner, Topic: to.topic}
	if to.topic != old.Topic {
		revised.From = &old.Topic
	}
	if sameResponse(to.response, old.Response) && revised.From == nil && len(added)+len(gone) > 0 {
		kept = nil // they stay as they are
	}
	steps := []struct {
		meta    storage.DatasetMeta
		lessons []storage.Lesson
	}{
		{revised, kept},
		{storage.DatasetMeta{Op: storage.OpTeach, Owner: owner, Topic: to.topic}, added},
		{storage.DatasetMeta{Op: storage.OpForget, Owner: owner, Topic: old.Topic}, gone},
	}
	var last job.Job
	for _, step := range steps {
		if len(step.lessons) == 0 {
			continue
		}
		j, err := s.operate(ctx, "store the lessons", step.meta, step.lessons...)
		if err != nil {
			return reply{}, err
		}
		last = j
	}
	c.Set(jobKey, last.ID)
	return accepted(s.awaitMemorised(ctx, c, last)), nil
}

func sameResponse(a, b *string) bool {
	return (a == nil) == (b == nil) && (a == nil || *a == *b)
}
