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
	ID        string    `json:"id"`
	Parent    *string   `json:"parent"`
	Head      bool      `json:"head"`
	CreatedAt *job.Time `json:"created_at"`
	Why       string    `json:"why"`
	Lessons   int       `json:"lessons"`
	Datasets  int       `json:"datasets"`
	// SizeBytes is the stored size, including parts shared with others. ModelBytes is
	// the same size unpacked.
	SizeBytes  int64           `json:"size_bytes"`
	ModelBytes int64           `json:"model_bytes"`
	Figures    json.RawMessage `json:"figures"`
	Aliases    []string        `json:"aliases"`
	// VerifiedAt is when the whole checkpoint was last read and found intact.
	VerifiedAt *job.Time `json:"verified_at"`
	// Failing is why it was taken back from service; null if it was not.
	Failing *string `json:"failing"`
	// Uploaded is null if there is no bucket.
	Uploaded *bool `json:"uploaded"`
}

type checkpointList struct {
	Checkpoints []checkpoint `json:"checkpoints"`
	Head        *string      `json:"head"`
	Champion    *string      `json:"champion"`
	Challenger  *string      `json:"challenger"`
	Shadow      *shadow      `json:"shadow"`
}

// listCheckpoints is GET /api/checkpoints.
func (s *Server) listCheckpoints(c echo.Context) (checkpointList, error) {
	ctx := c.Request().Context()
	list, head, err := s.readCheckpoints(ctx)
	if err != nil {
		return checkpointList{}, err
	}
	registry, err := s.checkpoints.Registry(ctx)
	if err != nil {
		return checkpointList{}, stored("read the registry", err)
	}
	return checkpointList{
		Checkpoints: list, Head: optional(head.Checkpoint), Champion: optional(head.Checkpoint),
		Challenger: optional(registry.Challenger), Shadow: shadowOf(s.status.view(ctx).cluster.Beats, registry.Challenger),
	}, nil
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
	registry, err := s.checkpoints.Registry(ctx)
	if err != nil {
		return nil, head, stored("read the registry", err)
	}
	var waiting map[string]bool
	if s.opt.Uploads != nil {
		if waiting, err = s.opt.Uploads.Waiting(ctx); err != nil {
			return nil, head, stored("read what waits for the bucket", err)
		}
	}
	list := make([]checkpoint, 0, len(manifests))
	for _, m := range manifests {
		c := checkpoint{
			ID: m.ID, Parent: optional(m.Parent), Head: m.ID == head.Checkpoint, CreatedAt: job.At(m.CreatedAt),
			Why: m.Meta.Why, Lessons: m.Meta.Lessons, Datasets: m.Datasets, SizeBytes: m.StoredBytes(), ModelBytes: m.Bytes(), Figures: m.Meta.Figures,
		}
		c.describe(registry, waiting)
		list = append(list, c)
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

// moveHead makes the cluster serve another stored checkpoint.
func (s *Server) moveHead(ctx context.Context, id string) (storage.Head, error) {
	id, err := s.resolve(ctx, id)
	if err != nil {
		return storage.Head{}, err
	}
	head, err := s.checkpoints.Promote(ctx, id)
	if err != nil {
		return head, checkpointFault("promote the checkpoint", id, err)
	}
	s.status.forget()
	if err := s.queue.Publish(ctx, job.ChannelCheckpoint, head.Checkpoint); err != nil {
		s.log.Warn("the new head could not be announced; workers see it at their next look", "error", err)
	}
	return head, nil
}

// checkpointFault returns the error for a checkpoint that is not available.
func checkpointFault(tried, id string, err error) error {
	switch {
	case errors.Is(err, storage.ErrNotFound) || errors.Is(err, storage.ErrBadKey):
		return job.Errorf(job.CodeNotFound, "there is no checkpoint %q; GET /api/checkpoints lists them", job.Clip(id, 80)).On("checkpoint")
	case errors.Is(err, storage.ErrCorrupt):
		return job.Errorf(job.CodeConflict, "checkpoint %s is damaged and was set aside; choose another", id).On("checkpoint").Because(err)
	}
	return stored(tried, err)
}
