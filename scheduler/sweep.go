package scheduler

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/queue"
	"github.com/nexus-continuum/nexus/storage"
)

// sweep finds the datasets that no checkpoint's lineage names and makes sure that each
// has a job. Acknowledged lessons are therefore learned even if Redis loses its data,
// or if a damaged checkpoint takes the lineage back.
func (s *Scheduler) sweep(ctx context.Context) error {
	s.young = false
	ids, err := s.opt.Datasets.IDs(ctx)
	if err != nil || len(ids) == 0 {
		return err
	}
	known, err := s.known(ctx)
	if err != nil {
		return err
	}
	pending := known.Missing(ids)
	for id := range s.again {
		if !slices.Contains(pending, id) {
			delete(s.again, id)
		}
	}
	found := 0
	for _, id := range pending {
		made, err := s.see(ctx, id)
		if err != nil {
			return err
		}
		if made {
			found++
		}
	}
	if found > 0 {
		s.opt.Queue.Repaired(ctx, queue.RepairDataset, found)
		s.opt.Log.Warn("lessons were stored that no job was going to learn; jobs are made for them", "datasets", found)
	}
	return nil
}

// known is the lineage of the head and, after a rollback, also that of the checkpoints
// that were abandoned. Lessons that an operator took back are therefore not taught
// again.
func (s *Scheduler) known(ctx context.Context) (storage.Lineage, error) {
	head, err := s.opt.Checkpoints.Head(ctx)
	if err != nil || head.Checkpoint == "" {
		return nil, err
	}
	known, err := s.opt.Checkpoints.Lineage(ctx, head.Checkpoint)
	if errors.Is(err, storage.ErrNotFound) || errors.Is(err, storage.ErrCorrupt) {
		return s.knownBefore(ctx) // set aside, perhaps by hand
	}
	if err != nil || head.Why != storage.HeadPromoted {
		return known, err
	}
	all, err := s.opt.Checkpoints.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, m := range all {
		if m.ID <= head.Checkpoint || !m.CreatedAt.Before(head.MovedAt) {
			continue
		}
		left, err := s.opt.Checkpoints.Lineage(ctx, m.ID)
		if err != nil {
			return nil, err
		}
		known = append(known, left...)
	}
	return known, nil
}

// knownBefore is the lineage of the newest intact checkpoint, which is served if the
// head's is gone. It is empty if there is none.
func (s *Scheduler) knownBefore(ctx context.Context) (storage.Lineage, error) {
	all, err := s.opt.Checkpoints.List(ctx)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b storage.Manifest) int { return strings.Compare(b.ID, a.ID) })
	for _, m := range all {
		known, err := s.opt.Checkpoints.Lineage(ctx, m.ID)
		if err == nil || !errors.Is(err, storage.ErrNotFound) && !errors.Is(err, storage.ErrCorrupt) {
			return known, err
		}
	}
	return nil, nil
}

// see handles one pending dataset. The job that brings a dataset has the dataset's id.
// A lost job therefore comes back under the id that the caller knows, and two sweepers
// make only one job.
func (s *Scheduler) see(ctx context.Context, id string) (made bool, err error) {
	at, err := job.IDTime(id)
	if err != nil {
		return false, nil //nolint:nilerr // an id without a time is none of ours
	}
	if s.opt.Now().Sub(at) < s.opt.Young {
		s.young = true
		return false, nil
	}
	name := id
	if later, ok := s.again[id]; ok {
		name = later
	}
	j, err := s.opt.Queue.Job(ctx, name)
	switch {
	case err != nil && job.AsError(err).Code == job.CodeNotFound:
		return true, s.submit(ctx, id, name)
	case err != nil:
		return false, err
	}
	switch j.State {
	case job.StateCanceled:
		if j.Error != nil && j.Error.Code == job.CodeDeleted {
			return false, nil // an operator's hand: the lessons stay, as the job's error says
		}
		// The caller canceled it before any of it was learned.
		s.opt.Log.Info("a canceled upload is deleted", "dataset", id)
		return false, s.opt.Datasets.Delete(ctx, id)
	case job.StateSucceeded:
		// It was learned, and its checkpoint is damaged or gone; or it was learned
		// after the lineage was read.
		known, err := s.known(ctx)
		if err != nil || len(known.Missing([]string{id})) == 0 {
			return false, err
		}
		s.again[id] = job.NewID()
		return true, s.submit(ctx, id, s.again[id])
	case job.StateQueued, job.StateRunning:
		// The job has yet to run.
	case job.StateFailed:
		// The caller was informed. The dataset is kept and tried again when the record of
		// the job expires.
	}
	return false, nil
}

func (s *Scheduler) submit(ctx context.Context, dataset, name string) error {
	ds, err := s.opt.Datasets.Stat(ctx, dataset)
	if errors.Is(err, storage.ErrCorrupt) || errors.Is(err, storage.ErrNotFound) {
		return nil // set aside and logged by the storage; nothing is left to learn
	}
	if err != nil {
		return err
	}
	_, err = s.opt.Queue.Submit(ctx, job.Spec{
		ID: name, Kind: job.KindTrain, Lane: job.LaneTrain, Owner: ds.Owner, Topic: ds.Topic, Dataset: dataset,
		Skipped: ds.Faults, CreatedAt: s.opt.Now().UTC(),
	})
	return err
}
