package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nexus-continuum/nexus/api/book"
	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/worker"
	"github.com/nexus-continuum/nexus/worker/trainer"
)

// knownTo gives the model that a worker of this process serves, for the lists of
// the API.
func knownTo(w *worker.Worker) func(context.Context) (book.Source, error) {
	return func(context.Context) (book.Source, error) {
		m, _ := w.Served()
		if m == nil {
			return nil, job.Errorf(job.CodeUnavailable, "no model is loaded yet; try again shortly").After(1e9)
		}
		return m, nil
	}
}

// follower opens the newest checkpoint where no worker is in the process. It
// loads only when lessons are asked for and the head has moved.
type follower struct {
	checkpoints *storage.Checkpoints
	datasets    *storage.Datasets
	validity    *storage.ValidityRecord
	config      model.Config

	mu         sync.Mutex
	model      *model.Model
	checkpoint string
	// shown is model without the answers that may not be given, from and until these
	// moments, by this version of their record.
	shown       *model.Model
	version     int64
	from, until time.Time
}

// known gives the model of the newest checkpoint, as it may answer now.
func (f *follower) known(ctx context.Context) (book.Source, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before := f.model
	m, err := f.refresh(ctx)
	if err != nil {
		return nil, err
	}
	all, version, err := f.validity.Read(ctx)
	if err != nil {
		return nil, fmt.Errorf("read when answers may be given: %w", err)
	}
	now := time.Now()
	if f.shown != nil && m == before && version == f.version && !now.Before(f.from) && (f.until.IsZero() || now.Before(f.until)) {
		return f.shown, nil
	}
	hide, until := all.Hidden(now)
	f.shown, f.version, f.from, f.until = m.Hiding(hide), version, now, until
	return f.shown, nil
}

// relieve lets the model go; it is loaded again when lessons are asked for.
func (f *follower) relieve(bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.model, f.shown, f.checkpoint = nil, nil, ""
}

func (f *follower) refresh(ctx context.Context) (*model.Model, error) {
	head, err := f.checkpoints.Head(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the head: %w", err)
	}
	if f.model != nil && head.Checkpoint == f.checkpoint {
		return f.model, nil
	}
	if head.Checkpoint == "" {
		f.model, err = model.New(f.config)
		return f.model, err
	}
	manifest, parts, err := f.checkpoints.Load(ctx, head.Checkpoint)
	if err != nil {
		return nil, fmt.Errorf("load checkpoint %s: %w", head.Checkpoint, err)
	}
	m, err := trainer.Open(f.config, manifest, parts)
	if err != nil {
		return nil, err
	}
	lineage, err := f.checkpoints.Lineage(ctx, manifest.ID)
	if err != nil {
		return nil, err
	}
	if m, _, err = trainer.Unlearned(ctx, m, lineage, f.datasets, nil); err != nil {
		return nil, err
	}
	f.model, f.checkpoint = m, head.Checkpoint
	return m, nil
}
