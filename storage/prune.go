package storage

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Retention says which checkpoints Prune keeps in addition to the head, which always
// stays. A checkpoint is kept if any rule selects it.
type Retention struct {
	// Newest is how many of the newest checkpoints are kept; at least 1.
	Newest int
	// Daily and Weekly are the number of days and ISO weeks (UTC) for which one
	// checkpoint is kept, the newest of each. Only days and weeks that have a
	// checkpoint count.
	Daily, Weekly int
	// Protect are the ids of further checkpoints to keep.
	Protect []string
}

// Pruned says what a Prune removed.
type Pruned struct {
	Checkpoints []string
	Parts       int
	Bytes       int64
}

// Prune first deletes the parts that no checkpoint names and that are older than the
// grace period. Then it deletes the checkpoints that keep does not select. Their parts
// stay until the next Prune, so that a process that loads or promotes one of them now
// still finds them.
func (c *Checkpoints) Prune(ctx context.Context, keep Retention) (Pruned, error) {
	var done Pruned
	if keep.Newest < 1 {
		return done, fmt.Errorf("prune checkpoints: at least the newest must be kept, not %d", keep.Newest)
	}
	if err := c.collect(ctx, &done); err != nil {
		return done, fmt.Errorf("collect unreferenced parts: %w", err)
	}
	manifests, err := c.List(ctx)
	if err != nil {
		return done, err
	}
	kept := keep.choose(manifests)
	for _, m := range manifests {
		if kept[m.ID] {
			continue
		}
		// The head is read again each time, because a promotion may have happened in
		// between.
		head, _, err := c.currentHead(ctx)
		if err != nil {
			return done, err
		}
		if m.ID == head.Checkpoint {
			continue
		}
		key, err := manifestKey(m.ID)
		if err != nil {
			return done, err
		}
		if err := c.store.Delete(ctx, key); err != nil {
			return done, fmt.Errorf("delete checkpoint %s: %w", m.ID, err)
		}
		// A promotion may also have happened between that read and the deletion.
		if head, _, err = c.currentHead(ctx); err == nil && m.ID == head.Checkpoint {
			err = c.restore(ctx, m)
		}
		if err != nil {
			return done, fmt.Errorf("look whether checkpoint %s was promoted while it was deleted: %w", m.ID, err)
		}
		if m.ID != head.Checkpoint {
			done.Checkpoints = append(done.Checkpoints, m.ID)
		}
	}
	return done, nil
}

// choose returns the ids to keep; manifests are newest first.
func (r Retention) choose(manifests []Manifest) map[string]bool {
	kept := make(map[string]bool)
	for _, id := range r.Protect {
		kept[id] = true
	}
	for _, m := range manifests[:min(r.Newest, len(manifests))] {
		kept[m.ID] = true
	}
	r.spread(manifests, r.Daily, kept, func(t time.Time) string { return t.Format(time.DateOnly) })
	r.spread(manifests, r.Weekly, kept, func(t time.Time) string {
		year, week := t.ISOWeek()
		return fmt.Sprint(year, week)
	})
	return kept
}

// spread keeps the newest checkpoint of each of the last n periods that have one.
func (Retention) spread(manifests []Manifest, n int, kept map[string]bool, period func(time.Time) string) {
	seen := make(map[string]bool)
	for _, m := range manifests {
		p := period(m.CreatedAt.UTC())
		if len(seen) == n || seen[p] {
			continue
		}
		seen[p] = true
		kept[m.ID] = true
	}
}

// collect deletes old parts that no manifest names.
func (c *Checkpoints) collect(ctx context.Context, done *Pruned) error {
	// Parts are listed before manifests are read. If a save ends in between, its
	// manifest is seen.
	parts, err := c.store.List(ctx, PartsPrefix)
	if err != nil {
		return err
	}
	manifests, err := c.List(ctx)
	if err != nil {
		return err
	}
	named := make(map[string]bool)
	for _, m := range manifests {
		for _, p := range m.Parts {
			named[p.Stored.Key()] = true
		}
	}
	// Age is measured on the clock of the store, which wrote the times. A part from the
	// future (a restored folder, a clock set back) must not make the other parts look
	// old.
	newest := time.Time{}
	for _, p := range parts {
		if p.ModTime.After(newest) {
			newest = p.ModTime
		}
	}
	if now := c.now(); now.Before(newest) {
		newest = now
	}
	for _, p := range parts {
		if named[p.Key] || newest.Sub(p.ModTime) < c.opt.Grace {
			continue
		}
		// It is checked once more just before the deletion, because a save may have
		// written the same bytes again.
		info, err := c.store.Stat(ctx, p.Key)
		if errors.Is(err, ErrNotFound) || err == nil && !info.ModTime.Equal(p.ModTime) {
			continue
		}
		if err != nil {
			return err
		}
		if err := c.store.Delete(ctx, p.Key); err != nil {
			return err
		}
		done.Parts++
		done.Bytes += p.Size
	}
	return nil
}
