package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/storage"
)

// checkpoint is one line of GET /api/checkpoints.
type checkpoint struct {
	ID        string          `json:"id"`
	Parent    *string         `json:"parent"`
	Head      bool            `json:"head"`
	CreatedAt *job.Time       `json:"created_at"`
	Why       string          `json:"why"`
	Lessons   int             `json:"lessons"`
	Datasets  int             `json:"datasets"`
	SizeBytes int64           `json:"size_bytes"`
	Figures   json.RawMessage `json:"figures"`
}

type checkpointList struct {
	Checkpoints []checkpoint `json:"checkpoints"`
	Head        *string      `json:"head"`
}

// listCheckpoints is GET /api/checkpoints.
func (s *Server) listCheckpoints(c echo.Context) (checkpointList, error) {
	list, head, err := s.readCheckpoints(c.Request().Context())
	if err != nil {
		return checkpointList{}, err
	}
	return checkpointList{Checkpoints: list, Head: optional(head.Checkpoint)}, nil
}

func (s *Server) readCheckpoints(ctx context.Context) ([]checkpoint, storage.Head, error) {
	head, err := s.checkpoints.Head(ctx)
	if err != nil {
		return nil, head, stored("read the head", err)
	}
	manifests, err := s.checkpoints.List(ctx)
	if err != nil {
		return nil, head, stored("list the checkpoints", err)
	}
	list := make([]checkpoint, 0, len(manifests))
	for _, m := range manifests {
		list = append(list, checkpoint{
			ID: m.ID, Parent: optional(m.Parent), Head: m.ID == head.Checkpoint, CreatedAt: job.At(m.CreatedAt),
			Why: m.Meta.Why, Lessons: m.Meta.Lessons, Datasets: m.Datasets, SizeBytes: m.StoredBytes(), Figures: m.Meta.Figures,
		})
	}
	return list, head, nil
}

// promote is POST /api/checkpoints/{id}/promote.
func (s *Server) promote(c echo.Context) (reply, error) {
	head, err := s.moveHead(c.Request().Context(), c.Param("id"))
	if err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusOK, body: controlled{Status: "promoted", Checkpoint: head.Checkpoint}}, nil
}

// moveHead makes the cluster serve another kept checkpoint.
func (s *Server) moveHead(ctx context.Context, id string) (storage.Head, error) {
	head, err := s.checkpoints.Promote(ctx, id)
	switch {
	case errors.Is(err, storage.ErrNotFound) || errors.Is(err, storage.ErrBadKey):
		return head, job.Errorf(job.CodeNotFound, "there is no checkpoint %q; GET /api/checkpoints lists them", clip(id, 80)).On("checkpoint")
	case errors.Is(err, storage.ErrCorrupt):
		return head, job.Errorf(job.CodeConflict, "checkpoint %s is damaged and was set aside; choose another", id).On("checkpoint").Because(err)
	case err != nil:
		return head, stored("promote the checkpoint", err)
	}
	s.status.forget()
	if err := s.queue.Publish(ctx, channelCheckpoint, head.Checkpoint); err != nil {
		s.log.Warn("the new head could not be announced; workers see it at their next look", "error", err)
	}
	return head, nil
}
