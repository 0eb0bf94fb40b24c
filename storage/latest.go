package storage

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// LoadLatest loads the checkpoint that the head names. If that checkpoint is damaged or
// gone, LoadLatest sets it aside, loads the newest complete checkpoint before it and
// moves the head to that. It takes a later checkpoint only if there is none before. It
// returns ErrNotFound if there is no checkpoint at all, which means a fresh start. Any
// other error says that the store could not be read now; then nothing is set aside.
func (c *Checkpoints) LoadLatest(ctx context.Context) (Manifest, []Part, error) {
	for range maxSwaps {
		head, version, err := c.currentHead(ctx)
		if err != nil {
			return Manifest{}, nil, err
		}
		ids, err := c.candidates(ctx, head.Checkpoint)
		if err != nil {
			return Manifest{}, nil, err
		}
		m, parts, err := c.loadFirst(ctx, ids)
		if err != nil {
			return Manifest{}, nil, err
		}
		if m.ID == head.Checkpoint && version != Absent {
			return m, parts, nil
		}
		_, err = c.moveHead(ctx, head, version, m.ID, HeadRecovered, 0)
		switch {
		case err == nil:
			c.opt.Log.Warn("the head was lost or names no whole checkpoint; an earlier one is served", "head", head.Checkpoint, "checkpoint", m.ID)
			return m, parts, nil
		case errors.Is(err, ErrConflict):
			// Another process repaired it or saved; read again.
		default:
			// Serving does not depend on moving the head.
			c.opt.Log.Warn("an earlier checkpoint is served; the head could not be moved to it", "head", head.Checkpoint, "checkpoint", m.ID, "error", err)
			return m, parts, nil
		}
	}
	return Manifest{}, nil, fmt.Errorf("load the latest checkpoint: the head moved %d times meanwhile: %w", maxSwaps, ErrConflict)
}

// candidates orders all checkpoints as LoadLatest tries them: the head's, those
// before it, newest first, and then those after it, nearest first.
func (c *Checkpoints) candidates(ctx context.Context, head string) ([]string, error) {
	ids, err := c.ids(ctx)
	if err != nil || head == "" {
		return ids, err
	}
	before := slices.IndexFunc(ids, func(id string) bool { return id < head })
	if before < 0 {
		before = len(ids)
	}
	after := slices.Clone(ids[:before])
	slices.Reverse(after)
	after = slices.DeleteFunc(after, func(id string) bool { return id == head })
	return slices.Concat([]string{head}, ids[before:], after), nil
}

func (c *Checkpoints) loadFirst(ctx context.Context, ids []string) (Manifest, []Part, error) {
	for _, id := range ids {
		m, parts, err := c.Load(ctx, id)
		if err == nil {
			return m, parts, nil
		}
		if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrNotFound) {
			return Manifest{}, nil, err
		}
	}
	return Manifest{}, nil, fmt.Errorf("load the latest checkpoint: %w", ErrNotFound)
}
