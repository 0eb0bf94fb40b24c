package storage

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Head says which checkpoint is served. Two heads that compare equal with == mean that
// nothing moved in between.
type Head struct {
	// Checkpoint is the id of the served checkpoint; empty while nothing was ever
	// saved.
	Checkpoint string `json:"checkpoint"`
	// Seq counts the moves of the head.
	Seq int64 `json:"seq"`
	// Fence is the greatest fencing token of any save.
	Fence int64 `json:"fence"`
	// Why is HeadSaved, HeadPromoted or HeadRecovered.
	Why     string    `json:"why"`
	MovedAt time.Time `json:"moved_at"`
}

// Reasons for a move of the head: the trainer saved; an operator went back to an
// earlier checkpoint; a damaged or failing checkpoint was abandoned.
const (
	HeadSaved     = "save"
	HeadPromoted  = "promote"
	HeadRecovered = "recover"
)

// Head returns the present head. It reads one small record, which is cheap enough to
// poll. The zero Head means that there is none. It returns ErrCorrupt if the record is
// damaged; LoadLatest and Save repair it.
func (c *Checkpoints) Head(ctx context.Context) (Head, error) {
	h, _, err := c.readHead(ctx)
	if errors.Is(err, ErrNotFound) {
		return Head{}, nil
	}
	return h, err
}

func (c *Checkpoints) readHead(ctx context.Context) (Head, Version, error) {
	b, version, err := c.store.Read(ctx, HeadKey)
	if err != nil {
		return Head{}, Absent, fmt.Errorf("read the head: %w", err)
	}
	h, err := decodeHead(b)
	if err != nil {
		return Head{}, version, fmt.Errorf("read the head: %w", err)
	}
	return h, version, nil
}

func decodeHead(b []byte) (Head, error) {
	var h Head
	if err := unseal(b, kindHead, &h); err != nil {
		return Head{}, err
	}
	if err := checkID(h.Checkpoint); err != nil {
		return Head{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return h, nil
}

// currentHead is readHead for callers that will move the head. It sets a damaged record
// aside. Where there is no record, it uses the newest manifest, so that a lost head
// loses nothing.
func (c *Checkpoints) currentHead(ctx context.Context) (Head, Version, error) {
	h, version, err := c.readHead(ctx)
	if errors.Is(err, ErrCorrupt) || errors.Is(err, ErrTooLarge) {
		if h, version, err = c.readHead(ctx); errors.Is(err, ErrCorrupt) || errors.Is(err, ErrTooLarge) {
			c.setAside(ctx, "the head record is damaged", err, HeadKey)
			h, version, err = c.readHead(ctx)
		}
	}
	if !errors.Is(err, ErrNotFound) {
		return h, version, err
	}
	ids, err := c.ids(ctx)
	if err != nil {
		return Head{}, Absent, err
	}
	for _, id := range ids {
		m, err := c.Manifest(ctx, id)
		if err == nil {
			return Head{Checkpoint: id, Fence: m.Meta.Fence}, Absent, nil
		}
		if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrNotFound) {
			return Head{}, Absent, err
		}
	}
	return Head{}, Absent, nil
}

// moveHead swaps the head and returns the new one. It returns ErrConflict if the head
// has moved since version was read.
func (c *Checkpoints) moveHead(ctx context.Context, from Head, version Version, id, why string, fence int64) (Head, error) {
	next := Head{
		Checkpoint: id, Seq: from.Seq + 1, Fence: max(from.Fence, fence),
		Why: why, MovedAt: c.now(),
	}
	b, err := seal(kindHead, next)
	if err != nil {
		return Head{}, err
	}
	if _, err := c.store.Swap(ctx, HeadKey, version, b); err != nil {
		// A client that repeats a request after a lost reply is blocked by its own
		// first try, so the head itself is read.
		if now, _, again := c.readHead(ctx); again == nil && now.Checkpoint == id && now.Seq == next.Seq && now.Fence == next.Fence {
			return now, nil
		}
		return Head{}, fmt.Errorf("move the head to %s: %w", id, err)
	}
	return next, nil
}

// Promote verifies every part of the stored checkpoint id and then moves the head to
// it. A trainer that saves onto the former head then gets ErrConflict and must load
// this checkpoint. It returns ErrNotFound or ErrCorrupt if the checkpoint cannot be
// used.
func (c *Checkpoints) Promote(ctx context.Context, id string) (Head, error) {
	m, err := c.verify(ctx, id)
	if err != nil {
		return Head{}, err
	}
	for range maxSwaps {
		h, version, err := c.currentHead(ctx)
		if err != nil {
			return Head{}, err
		}
		if h.Checkpoint == id && version != Absent {
			return h, nil
		}
		h, err = c.moveHead(ctx, h, version, id, HeadPromoted, 0)
		if errors.Is(err, ErrConflict) {
			continue
		}
		if err != nil {
			return Head{}, err
		}
		if err := c.restore(ctx, m); err != nil {
			return h, err
		}
		err = c.register(ctx, func(r *Registry) {
			r.Verified[id] = c.now()
			delete(r.Failing, id) // whoever promotes it wants to see it tried again
		})
		if err != nil {
			c.opt.Log.Warn("that a checkpoint was verified could not be noted", "checkpoint", id, "error", err)
		}
		return h, nil
	}
	return Head{}, fmt.Errorf("promote checkpoint %s: the head moved %d times meanwhile: %w", id, maxSwaps, ErrConflict)
}

// Rollback moves the head from the checkpoint failing, which is intact but fails in
// service, to the stored checkpoint good. It verifies good first and records why. If
// the head names another checkpoint by now, it stays and moved is false. Lessons that
// only failing had learned count as not learned, because nobody chose to take them
// back. It returns ErrNotFound or ErrCorrupt if good cannot be used.
func (c *Checkpoints) Rollback(ctx context.Context, failing, good, why string) (moved bool, err error) {
	if _, err := c.verify(ctx, good); err != nil {
		return false, err
	}
	for range maxSwaps {
		h, version, err := c.currentHead(ctx)
		if err != nil || h.Checkpoint != failing {
			return false, err
		}
		_, err = c.moveHead(ctx, h, version, good, HeadRecovered, 0)
		if errors.Is(err, ErrConflict) {
			continue
		}
		if err != nil {
			return false, err
		}
		err = c.register(ctx, func(r *Registry) {
			if r.Failing == nil {
				r.Failing = map[string]Failing{}
			}
			r.Failing[failing] = Failing{At: c.now(), Why: why}
		})
		if err != nil {
			c.opt.Log.Warn("why a checkpoint was taken back could not be noted", "checkpoint", failing, "error", err)
		}
		return true, nil
	}
	return false, fmt.Errorf("take checkpoint %s back: the head moved %d times meanwhile: %w", failing, maxSwaps, ErrConflict)
}

// restore writes a manifest again after a concurrent Prune has deleted it. Its parts
// are still there, because Prune deletes them one run later.
func (c *Checkpoints) restore(ctx context.Context, m Manifest) error {
	key, err := manifestKey(m.ID)
	if err != nil {
		return err
	}
	if _, err := c.store.Stat(ctx, key); !errors.Is(err, ErrNotFound) {
		return err
	}
	return c.putManifest(ctx, m)
}

// putManifest writes a manifest unless it is there.
func (c *Checkpoints) putManifest(ctx context.Context, m Manifest) error {
	b, err := encodeManifest(m)
	if err != nil {
		return err
	}
	key, err := manifestKey(m.ID)
	if err != nil {
		return err
	}
	if _, err := c.store.Swap(ctx, key, Absent, b); err != nil && !errors.Is(err, ErrConflict) {
		return fmt.Errorf("keep checkpoint %s: %w", m.ID, err)
	}
	return nil
}
