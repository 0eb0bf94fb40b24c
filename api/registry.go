package api

import (
	"context"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/telemetry/heartbeat"
)

// Aliases for the id of a checkpoint.
const (
	aliasChampion   = "champion"   // the head
	aliasChallenger = "challenger" // answers in the shadow
)

// shadow compares the challenger with the champion.
type shadow struct {
	Prompts    int64         `json:"prompts"`
	Agreed     int64         `json:"agreed"`
	Failed     int64         `json:"failed"`
	LeftOut    int64         `json:"left_out"`
	Champion   shadowFigures `json:"champion"`
	Challenger shadowFigures `json:"challenger"`
}

type shadowFigures struct {
	Answered          int64   `json:"answered"`
	Refused           int64   `json:"refused"`
	AverageConfidence float64 `json:"average_confidence"`
	AverageComputeMS  float64 `json:"average_compute_ms"`
}

func shadowOf(beats []heartbeat.Beat, challenger string) *shadow {
	if challenger == "" {
		return nil
	}
	s := heartbeat.SumShadows(beats, challenger)
	return &shadow{
		Prompts: s.Prompts, Agreed: s.Agreed, Failed: s.Failed, LeftOut: s.LeftOut,
		Champion: shadowFiguresOf(s.Champion), Challenger: shadowFiguresOf(s.Challenger),
	}
}

func shadowFiguresOf(f heartbeat.ShadowFigures) shadowFigures {
	n := float64(max(f.Answered+f.Refused, 1))
	return shadowFigures{
		Answered: f.Answered, Refused: f.Refused, AverageConfidence: round(f.Confidence / n), AverageComputeMS: round(f.ComputeMS / n),
	}
}

// challenge is POST /api/checkpoints/{id}/challenge.
func (s *Server) challenge(c echo.Context) (reply, error) {
	id, err := s.resolve(c.Request().Context(), c.Param("id"))
	if err != nil {
		return reply{}, err
	}
	if err := s.setChallenger(c.Request().Context(), id); err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusOK, body: controlled{Status: "challenging", Checkpoint: id}}, nil
}

// unchallenge is DELETE /api/checkpoints/challenger.
func (s *Server) unchallenge(c echo.Context) (reply, error) {
	if err := s.setChallenger(c.Request().Context(), ""); err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusOK, body: controlled{Status: "unchallenged"}}, nil
}

func (s *Server) setChallenger(ctx context.Context, id string) error {
	if err := s.checkpoints.SetChallenger(ctx, id); err != nil {
		return checkpointFault("name the challenger", id, err)
	}
	s.status.forget()
	return nil
}

// resolve replaces an alias with its id.
func (s *Server) resolve(ctx context.Context, id string) (string, error) {
	switch id {
	case "":
		return "", job.Errorf(job.CodeNotFound, "no checkpoint is named; GET /api/checkpoints lists them").On("checkpoint")
	case aliasChampion:
		head, err := s.checkpoints.Head(ctx)
		if err != nil {
			return "", stored("read the head", err)
		}
		if head.Checkpoint == "" {
			return "", job.Errorf(job.CodeNotFound, "there is no champion: nothing was learned yet").On("checkpoint")
		}
		return head.Checkpoint, nil
	case aliasChallenger:
		r, err := s.checkpoints.Registry(ctx)
		if err != nil {
			return "", stored("read the registry", err)
		}
		if r.Challenger == "" {
			return "", job.Errorf(job.CodeNotFound, "there is no challenger; POST /api/checkpoints/{id}/challenge names one").On("checkpoint")
		}
		return r.Challenger, nil
	}
	return id, nil
}

// describe adds to a checkpoint what is known about it outside its manifest.
func (c *checkpoint) describe(r storage.Registry, waiting map[string]bool) {
	c.Aliases = []string{}
	if c.Head {
		c.Aliases = append(c.Aliases, aliasChampion)
	}
	if c.ID == r.Challenger {
		c.Aliases = append(c.Aliases, aliasChallenger)
	}
	if at, ok := r.Verified[c.ID]; ok {
		c.VerifiedAt = job.At(at)
	}
	if f, ok := r.Failing[c.ID]; ok {
		c.Failing = &f.Why
	}
	if waiting != nil {
		uploaded := !waiting[c.ID]
		c.Uploaded = &uploaded
	}
}
