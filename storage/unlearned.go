package storage

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Unlearned holds the unlearn operations that a restore must not undo.
type Unlearned struct {
	kept []keptObject
}

type keptObject struct {
	key   string
	spool *spool
}

// UnlearnedSince reads the unlearn operations from the given places that backup does
// not hold, so that what was unlearned after the backup stays unlearned when it is
// restored. A place that shares no dataset with the backup belongs to another
// deployment and is left out. The result must be closed.
func UnlearnedSince(ctx context.Context, backup Store, places ...Store) (*Unlearned, error) {
	held, err := NewDatasets(ReadOnly(backup), DatasetOptions{}).IDs(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the datasets of the backup: %w", err)
	}
	u := &Unlearned{}
	for _, place := range places {
		if err := u.collect(ctx, held, ReadOnly(place)); err != nil {
			return nil, errors.Join(fmt.Errorf("look for what was unlearned since the backup: %w", err), u.Close())
		}
	}
	return u, nil
}

func (u *Unlearned) collect(ctx context.Context, held []string, place Store) error {
	datasets := NewDatasets(place, DatasetOptions{})
	ids, err := datasets.IDs(ctx)
	if err != nil {
		return err
	}
	there := Lineage(held)
	since := there.Missing(ids)
	var forgets []string
	for _, id := range since {
		op, err := datasets.Op(ctx, id)
		switch {
		case errors.Is(err, ErrNotFound), errors.Is(err, ErrCorrupt):
		case err != nil:
			return err
		case op == OpForget:
			forgets = append(forgets, id)
		}
	}
	// An interrupted restore leaves a store with unlearn operations only, because it
	// writes them first.
	if len(since) == len(ids) && len(forgets) < len(ids) {
		return nil
	}
	for _, id := range forgets {
		if err := u.keep(ctx, place, id); err != nil {
			return err
		}
	}
	return nil
}

func (u *Unlearned) keep(ctx context.Context, place Store, id string) error {
	key, err := datasetKey(id)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(u.kept, func(k keptObject) bool { return k.key == key }) {
		return nil
	}
	s := &spool{}
	u.kept = append(u.kept, keptObject{key, s})
	if err := copyTo(ctx, place, key, s); err != nil {
		return err
	}
	return verifyDataset(s.section(), id)
}

// Len returns the number of operations.
func (u *Unlearned) Len() int {
	if u == nil {
		return 0
	}
	return len(u.kept)
}

// write stores the operations.
func (u *Unlearned) write(ctx context.Context, to Store) error {
	if u == nil {
		return nil
	}
	for _, k := range u.kept {
		if err := to.Put(ctx, k.key, k.spool.section()); err != nil {
			return err
		}
	}
	return nil
}

// Close frees the operations.
func (u *Unlearned) Close() error {
	var err error
	for _, k := range u.kept {
		err = errors.Join(err, k.spool.Close())
	}
	return err
}
