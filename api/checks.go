package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/storage"
)

// Checks stores prompts with the answers that they should get; *storage.Checks
// implements it.
type Checks interface {
	List(ctx context.Context) ([]storage.Check, error)
	Update(ctx context.Context, change func([]storage.Check) ([]storage.Check, error)) ([]storage.Check, error)
}

// maxChecks limits the number of checks, because all of them are asked after each
// change.
const maxChecks = 500

type check struct {
	ID        string    `json:"id"`
	Topic     string    `json:"topic"`
	Prompt    string    `json:"prompt"`
	Expected  *string   `json:"expected"` // null: it should be refused
	CreatedAt *job.Time `json:"created_at"`
}

type checkList struct {
	Checks []check `json:"checks"`
}

// listChecks is GET /api/checks.
func (s *Server) listChecks(c echo.Context) (checkList, error) {
	all, err := s.opt.Checks.List(c.Request().Context())
	if err != nil {
		return checkList{}, stored("read the checks", err)
	}
	return checksOf(all, c.QueryParam("topic")), nil
}

func checksOf(all []storage.Check, topic string) checkList {
	out := checkList{Checks: []check{}}
	for _, one := range all {
		if topic == "" || one.Topic == topic {
			out.Checks = append(out.Checks, check{one.ID, one.Topic, one.Prompt, one.Expected, job.At(one.CreatedAt)})
		}
	}
	return out
}

// addChecks is POST /api/checks. It replaces a check with the same topic and prompt.
func (s *Server) addChecks(c echo.Context) (reply, error) {
	var list []json.RawMessage
	if err := jsonBody(c, field{name: "checks", into: &list}); err != nil {
		return reply{}, err
	}
	if len(list) == 0 {
		return reply{}, job.Errorf(job.CodeInvalid, `there is no check in the body; send {"checks": [{"prompt": "…", "expected": "…"}]}`).On("checks")
	}
	added := make([]storage.Check, len(list))
	for i, raw := range list {
		one, err := decodeCheck(raw)
		if err != nil {
			return reply{}, err
		}
		one.CreatedAt = s.now().UTC()
		added[i] = one
	}
	ctx := c.Request().Context()
	all, err := s.opt.Checks.Update(ctx, func(old []storage.Check) ([]storage.Check, error) {
		for _, one := range added {
			old = slices.DeleteFunc(old, func(c storage.Check) bool { return c.ID == one.ID })
			old = append(old, one)
		}
		if len(old) > maxChecks {
			return nil, job.Errorf(job.CodeConflict, "there would be %d checks; at most %d are kept", len(old), maxChecks)
		}
		return old, nil
	})
	if err != nil {
		return reply{}, checkFault(err)
	}
	// A later run is compared with these results.
	if _, err := s.runChecks(ctx, runEdited); err != nil {
		s.log.Debug("the checks could not be run after they were changed", "error", err)
	}
	return reply{status: http.StatusOK, body: checksOf(all, "")}, nil
}

func decodeCheck(raw []byte) (storage.Check, error) {
	var (
		c           storage.Check
		hasExpected bool
	)
	err := decodeObject(raw, field{name: "prompt", into: &c.Prompt}, field{name: "expected", into: &c.Expected, set: &hasExpected}, field{name: "topic", into: &c.Topic})
	if err != nil {
		return c, err
	}
	if err := checkPrompt(c.Prompt); err != nil {
		return c, err
	}
	if !hasExpected {
		return c, job.Errorf(job.CodeInvalid, "the expected answer is missing; null expects a refusal").On("expected")
	}
	if c.Expected != nil {
		if err := checkText("expected", *c.Expected); err != nil {
			return c, err
		}
	}
	if err := checkTopic(c.Topic); err != nil {
		return c, err
	}
	c.ID = model.LessonID(c.Topic, c.Prompt)
	return c, nil
}

// dropCheck is DELETE /api/checks/{id}.
func (s *Server) dropCheck(c echo.Context) (dropped, error) {
	id := c.Param("id")
	_, err := s.opt.Checks.Update(c.Request().Context(), func(old []storage.Check) ([]storage.Check, error) {
		left := slices.DeleteFunc(slices.Clone(old), func(c storage.Check) bool { return c.ID == id })
		if len(left) == len(old) {
			return nil, job.Errorf(job.CodeNotFound, "no check has the id %q; GET /api/checks lists them", job.Clip(id, 80))
		}
		return left, nil
	})
	return dropped{Status: "deleted", ID: id}, checkFault(err)
}

func checkFault(err error) error {
	if _, ok := errors.AsType[*job.Error](err); ok || err == nil {
		return err
	}
	if errors.Is(err, storage.ErrTooLarge) {
		return job.Errorf(job.CodeTooLarge, "there is no room for so many checks; delete some")
	}
	return stored("store the checks", err)
}
