package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/storage"
)

const (
	// logLag is how long the log of interactions may lag behind the answers, and
	// logLook how often it is read meanwhile.
	logLag  = 2 * time.Second
	logLook = 100 * time.Millisecond
)

type judged struct {
	Status        string   `json:"status"`
	InteractionID string   `json:"interaction_id"`
	Recalibrates  bool     `json:"recalibrates"`
	Job           *job.Job `json:"job"`
}

// feedback is POST /api/interactions/{id}/feedback.
func (s *Server) feedback(c echo.Context) (reply, error) {
	var (
		correct, hasCorrect bool
		response            *string
	)
	if err := jsonBody(c, field{name: "correct", into: &correct, set: &hasCorrect}, field{name: "response", into: &response}); err != nil {
		return reply{}, err
	}
	if !hasCorrect {
		return reply{}, job.Errorf(job.CodeInvalid, "say whether the answer was right: correct is true or false").On("correct")
	}
	if response != nil {
		if correct {
			return reply{}, job.Errorf(job.CodeInvalid, "a response belongs to a wrong answer only").On("response")
		}
		if err := checkResponse(*response); err != nil {
			return reply{}, err
		}
	}
	ctx := c.Request().Context()
	it, err := s.interaction(ctx, c.Param("id"))
	if err == nil && !owns(c, it.Owner) {
		err = job.Errorf(job.CodeNotFound, "no interaction %q is in the log; it holds the most recent ones only", c.Param("id"))
	}
	if err != nil {
		return reply{}, err
	}
	out := judged{Status: "recorded", InteractionID: it.ID}
	r := reply{status: http.StatusOK}
	if response != nil {
		j, err := s.correct(ctx, it, *response, ownerOf(c))
		if err != nil {
			return reply{}, err
		}
		c.Set(jobKey, j.ID)
		r = accepted(j)
		out.Job = &j
	}
	if it.Prompt != "" {
		if err := s.judge(ctx, it, correct, response, ownerOf(c)); err != nil {
			return reply{}, err
		}
		out.Recalibrates = true
		switch {
		case correct:
			err = s.interactions.Settle(ctx, onlyOwner(c), it)
		case it.Responded && response == nil: // else the right answer is on its way
			err = s.interactions.MarkWrong(ctx, it)
		}
		if err != nil {
			return reply{}, err
		}
	}
	r.body = out
	return r, nil
}

// correct stores the right answer as a lesson.
func (s *Server) correct(ctx context.Context, it job.Interaction, response, owner string) (job.Job, error) {
	if it.Prompt == "" {
		return job.Job{}, job.Errorf(job.CodeConflict, "the text of this prompt was not kept, so it cannot be taught from here; send the lesson to POST /api/lessons")
	}
	return s.operate(ctx, "store the lesson", storage.DatasetMeta{Op: storage.OpTeach, Owner: owner, Topic: it.Topic},
		storage.Lesson{Prompt: it.Prompt, Response: &response, Topic: it.Topic})
}

// judge stores a judgement about an interaction, for the refusal threshold. right is
// the correct answer, if it was given. The trainer learns from judgements as from
// lessons: in order, and also after a crash.
func (s *Server) judge(ctx context.Context, it job.Interaction, correct bool, right *string, owner string) error {
	l := storage.Lesson{Prompt: it.Prompt, Topic: it.Topic, Judgement: &storage.Judgement{
		Interaction: it.ID, Correct: correct, Right: right, Confidence: it.Confidence, Reason: it.Reason, Lessons: it.Lessons,
	}}
	if it.Responded {
		l.Response = &it.Response
	}
	_, err := s.operate(ctx, "store the judgement", storage.DatasetMeta{Op: storage.OpJudge, Owner: owner, Topic: it.Topic}, l)
	return err
}

// interaction finds a logged interaction. It waits for one that was answered a moment
// ago, because the log is written in batches.
func (s *Server) interaction(ctx context.Context, id string) (job.Interaction, error) {
	look := time.NewTicker(logLook)
	defer look.Stop()
	for {
		it, err := s.interactions.Find(ctx, id)
		if e, ok := errors.AsType[*job.Error](err); !ok || e.Code != job.CodeNotFound {
			return it, err
		}
		made, bad := job.IDTime(id)
		if age := s.now().Sub(made); bad != nil || age > logLag || age < -logLag { // of the future: nobody made it here
			return it, err
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return it, err
		}
	}
}
