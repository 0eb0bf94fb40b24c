package api

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/nexus-continuum/nexus/job"
)

// Backup is the result of a backup.
type Backup struct {
	File       string
	Bytes      int64
	Checkpoint string // empty: nothing was learned yet
	Datasets   int
	// LeftOut is how many damaged objects the backup does not contain.
	LeftOut int
}

// backupWait is how long a request waits for its backup. A longer backup continues.
const backupWait = 20 * time.Second

// backups writes one backup at a time in this process.
type backups struct {
	mu   sync.Mutex
	last backupState
}

// backupState is the body of GET and POST /api/backups.
type backupState struct {
	State      string    `json:"state"` // none, running, done or failed
	StartedAt  *job.Time `json:"started_at"`
	FinishedAt *job.Time `json:"finished_at"`
	File       *string   `json:"file"` // on the host of the server
	Bytes      int64     `json:"bytes"`
	Checkpoint *string   `json:"checkpoint"`
	Datasets   int       `json:"datasets"`
	LeftOut    int       `json:"left_out"`
	Detail     *string   `json:"detail"` // of a failure
}

// showBackup is GET /api/backups: the last backup that was requested from this process.
func (s *Server) showBackup(echo.Context) (backupState, error) {
	s.saved.mu.Lock()
	defer s.saved.mu.Unlock()
	return s.saved.now(), nil
}

func (b *backups) now() backupState {
	if b.last.State == "" {
		return backupState{State: "none"}
	}
	return b.last
}

// backUp is POST /api/backups. The backup continues when its caller leaves.
func (s *Server) backUp(c echo.Context) (reply, error) {
	if s.opt.Backup == nil {
		return reply{}, job.Errorf(job.CodeUnavailable, "this process writes no backups; run nexus backup FILE on the host of the data").After(time.Minute)
	}
	done, err := s.beginBackup(requestID(c))
	if err != nil {
		return reply{}, err
	}
	wait := time.NewTimer(backupWait)
	defer wait.Stop()
	select {
	case <-done:
	case <-wait.C:
	case <-c.Request().Context().Done():
		return reply{}, c.Request().Context().Err()
	}
	state, err := s.showBackup(c)
	switch {
	case err != nil:
		return reply{}, err
	case state.State == "running":
		return reply{status: http.StatusAccepted, body: state}, nil
	case state.State == "failed":
		return reply{}, job.Errorf(job.CodeUnavailable, "%s", *state.Detail).After(time.Minute)
	}
	return reply{status: http.StatusOK, body: state}, nil
}

func (s *Server) beginBackup(request string) (<-chan struct{}, error) {
	b := &s.saved
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.last.State == "running" {
		return nil, job.Errorf(job.CodeConflict, "a backup is being written since %s; wait for it", b.last.StartedAt.Format(time.RFC3339))
	}
	began := job.At(s.now())
	done := make(chan struct{})
	b.last = backupState{State: "running", StartedAt: began}
	s.life.Go(func(ctx context.Context) {
		defer close(done)
		made, err := s.opt.Backup(ctx)
		b.mu.Lock()
		defer b.mu.Unlock()
		b.last = backupState{State: "done", StartedAt: began, FinishedAt: job.At(s.now()), File: &made.File, Bytes: made.Bytes, Checkpoint: optional(made.Checkpoint), Datasets: made.Datasets, LeftOut: made.LeftOut}
		if err != nil {
			s.log.Error("a backup could not be written", "request_id", request, "error", err)
			why := "the backup could not be written; the log says why. The folder of NEXUS_BACKUP_DIR needs room and must be writable"
			b.last = backupState{State: "failed", StartedAt: began, FinishedAt: job.At(s.now()), Detail: &why}
		}
	})
	return done, nil
}
