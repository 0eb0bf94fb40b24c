package api

import (
	"context"
	"errors"
	"io"

	"github.com/labstack/echo/v4"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/storage"
)

// retryJob is POST /api/jobs/{id}/retry. It makes a new job with the work of a failed
// or canceled train job.
func (s *Server) retryJob(c echo.Context) (reply, error) {
	old, err := s.ownJob(c)
	if err != nil {
		return reply{}, err
	}
	switch {
	case old.State != job.StateFailed && old.State != job.StateCanceled:
		return reply{}, job.Errorf(job.CodeConflict, "the job is %s; only a failed or canceled one can be tried again", old.State)
	case old.Kind == job.KindInteract:
		return reply{}, job.Errorf(job.CodeConflict, "the prompt of an ended job is not kept; ask it again with POST /api/interact or POST /api/jobs")
	case !may(c, ScopeTeach):
		return reply{}, lacks(identityOf(c), ScopeTeach)
	}
	ctx := c.Request().Context()
	// Lessons are taught again, as of now, under a new id.
	ds, err := s.copyDataset(ctx, old.ID, ownerOf(c))
	if err == nil {
		j, err := s.train(ctx, ds, hook{})
		if err != nil {
			return reply{}, err
		}
		c.Set(jobKey, j.ID)
		return accepted(s.awaitMemorised(ctx, c, j)), nil
	}
	if !errors.Is(err, storage.ErrNotFound) {
		return reply{}, stored("read the lessons of the job", err)
	}
	return s.submitTrain(c, job.Spec{ID: newID(c), Owner: ownerOf(c), Kind: job.KindTrain, Topic: old.Topic, CreatedAt: s.now().UTC()})
}

// copyDataset stores a copy of dataset id. It returns storage.ErrNotFound if there is
// none.
func (s *Server) copyDataset(ctx context.Context, id, owner string) (storage.Dataset, error) {
	r, err := s.datasets.Open(ctx, id)
	if err != nil {
		return storage.Dataset{}, err //nolint:wrapcheck // the caller tells the kinds apart
	}
	defer r.Close()
	meta := r.DatasetMeta
	meta.Owner = owner
	w, err := s.datasets.Create(ctx, meta)
	if err != nil {
		return storage.Dataset{}, err //nolint:wrapcheck // as above
	}
	defer w.Abort()
	for {
		l, err := r.Next()
		if errors.Is(err, io.EOF) {
			return w.Commit(ctx) //nolint:wrapcheck // as above
		}
		if err != nil {
			return storage.Dataset{}, err //nolint:wrapcheck // as above
		}
		if err := w.Add(l); err != nil {
			return storage.Dataset{}, err //nolint:wrapcheck // as above
		}
	}
}
