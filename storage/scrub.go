package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Repairer is a Store that keeps its objects in two places.
type Repairer interface {
	// Repair reads an object in both places and compares it with the digest that
	// VerifyObject checks. It writes the good bytes wherever they are damaged or
	// missing; fixed says whether that was needed. It returns ErrCorrupt if neither
	// place has good bytes, and ErrNotFound if neither has any.
	Repair(ctx context.Context, key string) (fixed bool, err error)
}

// repairObject repairs an object if the store can. In other stores the object is just read
// again.
func repairObject(ctx context.Context, s Store, key string) error {
	r, ok := s.(Repairer)
	if !ok {
		return nil
	}
	if _, err := r.Repair(ctx, key); err != nil && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("repair %s: %w", key, err)
	}
	return nil
}

// Scrubbed is the result of a Scrub.
type Scrubbed struct {
	// Checkpoints and Datasets are how many were read and are intact. Objects is how
	// many objects were read.
	Checkpoints, Datasets, Objects int
	// Repaired are the keys that were damaged or missing in one place and were restored
	// from the other. Damaged are the keys that are intact in no place.
	Repaired, Damaged []string
}

// Scrub reads every checkpoint and dataset and compares each with its digests. Damaged
// objects are repaired from the second place if the store has one. Otherwise they are
// set aside, as a load would do, so that the damage is noticed before the data is
// needed. A part that checkpoints share is read once.
func (c *Checkpoints) Scrub(ctx context.Context) (Scrubbed, error) {
	var done Scrubbed
	ids, err := c.ids(ctx)
	if err != nil {
		return done, err
	}
	state := make(map[string]error) // by key: nil is whole
	look := func(key string) error {
		if err, known := state[key]; known {
			return err
		}
		err := c.scrubObject(ctx, key, &done)
		if err == nil || errors.Is(err, ErrCorrupt) || errors.Is(err, ErrNotFound) {
			state[key] = err
		}
		return err
	}
	var whole []string
	for _, id := range ids {
		err := c.scrubCheckpoint(ctx, id, look)
		switch {
		case err == nil:
			whole = append(whole, id)
			done.Checkpoints++
		case !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrNotFound):
			return done, fmt.Errorf("scrub checkpoint %s: %w", id, err)
		}
	}
	if err := c.scrubDatasets(ctx, look, &done); err != nil {
		return done, err
	}
	if err := c.noteVerified(ctx, whole, ids); err != nil {
		return done, err
	}
	return done, nil
}

func (c *Checkpoints) scrubCheckpoint(ctx context.Context, id string, look func(string) error) error {
	key, err := manifestKey(id)
	if err != nil {
		return err
	}
	if err := look(key); err != nil && !errors.Is(err, ErrCorrupt) {
		return err
	}
	m, err := c.Manifest(ctx, id) // a damaged one is set aside here
	if err != nil {
		return err
	}
	for _, p := range m.Parts {
		if err := look(p.Stored.Key()); errors.Is(err, ErrCorrupt) || errors.Is(err, ErrNotFound) {
			return c.quarantine(ctx, id, p.Stored.Key(), fmt.Errorf("part %s (%s): %w: %w", p.Name, p.Stored.Key(), ErrCorrupt, err))
		} else if err != nil {
			return err
		}
	}
	return nil
}

func (c *Checkpoints) scrubDatasets(ctx context.Context, look func(string) error, done *Scrubbed) error {
	infos, err := c.store.List(ctx, DatasetsPrefix)
	if err != nil {
		return fmt.Errorf("list datasets: %w", err)
	}
	for _, i := range infos {
		if !isDataset(i.Key) {
			continue
		}
		segment := IsSegment(i.Key)
		err := look(i.Key)
		switch {
		case err == nil && segment:
			err = readObject(ctx, c.store, i.Key, func(r io.Reader) error {
				t, _, err := readSegmentTable(r, i.Key)
				if err == nil {
					done.Datasets += len(t.Datasets)
				}
				return err
			})
		case err == nil:
			done.Datasets++
		case errors.Is(err, ErrCorrupt) && segment:
			err = nil
			NewDatasets(c.store, DatasetOptions{Log: c.opt.Log}).takeApart(ctx, i.Key, ErrCorrupt)
		case errors.Is(err, ErrCorrupt):
			c.setAside(ctx, "dataset is damaged", err, i.Key)
			err = nil
		}
		if err != nil && !errors.Is(err, ErrNotFound) {
			return fmt.Errorf("scrub %s: %w", i.Key, err)
		}
	}
	return nil
}

// scrubObject reads one object. Only a second failed read counts as damage.
func (c *Checkpoints) scrubObject(ctx context.Context, key string, done *Scrubbed) error {
	done.Objects++
	if r, ok := c.store.(Repairer); ok {
		fixed, err := r.Repair(ctx, key)
		if fixed {
			done.Repaired = append(done.Repaired, key)
			c.opt.Log.Warn("a damaged or missing object was repaired from the other store", "object", key)
		}
		if errors.Is(err, ErrCorrupt) {
			done.Damaged = append(done.Damaged, key)
		}
		return err
	}
	err := c.readObject(ctx, key)
	if errors.Is(err, ErrCorrupt) {
		if err = c.readObject(ctx, key); errors.Is(err, ErrCorrupt) {
			done.Damaged = append(done.Damaged, key)
		}
	}
	return err
}

func (c *Checkpoints) readObject(ctx context.Context, key string) (err error) {
	object, err := c.store.Get(ctx, key)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, object.Close()) }()
	return VerifyObject(key, object)
}
