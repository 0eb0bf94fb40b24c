package storage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/errgroup"
)

// CopyTo stores checkpoint id in another store: first the missing parts, then the
// manifest. It does not move the head there. A repeated call after an interruption
// copies only the parts that are still missing. A part whose bytes do not match its
// digest is not copied: CopyTo returns ErrCorrupt.
func (c *Checkpoints) CopyTo(ctx context.Context, to *Checkpoints, id string) error {
	m, err := c.Manifest(ctx, id)
	if err != nil {
		return err
	}
	// The parts are listed together, because a round trip may take half a second.
	var there map[string]Info
	var guarded map[string]bool
	complete := false
	group, each := errgroup.WithContext(ctx)
	group.Go(func() error {
		_, err := to.Manifest(each, id)
		if complete = err == nil; complete || errors.Is(err, ErrNotFound) || errors.Is(err, ErrCorrupt) {
			return nil
		}
		return err
	})
	group.Go(func() (err error) { there, err = to.storedParts(each); return err })
	group.Go(func() error { guarded = to.partsOf(each, m.Parent); return nil })
	if err := group.Wait(); err != nil || complete {
		return err // a manifest that is there protects its parts
	}
	if err := c.copyParts(ctx, to, m, there, guarded, to.opt.Grace/2); err != nil {
		return fmt.Errorf("copy checkpoint %s: %w", id, err)
	}
	if err := to.putManifest(ctx, m); err != nil {
		return fmt.Errorf("copy checkpoint %s: %w", id, err)
	}
	// From here the manifest protects its parts. An old part may have been deleted
	// before that.
	if there, err = to.storedParts(ctx); err == nil {
		err = c.copyParts(ctx, to, m, there, nil, -1)
	}
	if err != nil {
		return fmt.Errorf("copy checkpoint %s: %w", id, err)
	}
	return nil
}

// storedParts lists the parts that are stored, by key.
func (c *Checkpoints) storedParts(ctx context.Context) (map[string]Info, error) {
	infos, err := c.store.List(ctx, PartsPrefix)
	if err != nil {
		return nil, fmt.Errorf("list parts: %w", err)
	}
	out := make(map[string]Info, len(infos))
	for _, i := range infos {
		out[i.Key] = i
	}
	return out, nil
}

// partsOf returns the keys of the parts that checkpoint id protects; empty if the
// manifest cannot be read.
func (c *Checkpoints) partsOf(ctx context.Context, id string) map[string]bool {
	out := map[string]bool{}
	if id == "" {
		return out
	}
	if m, err := c.Manifest(ctx, id); err == nil {
		for _, p := range m.Parts {
			out[p.Stored.Key()] = true
		}
	}
	return out
}

// copyParts stores the missing parts of m. It also stores again any part that is
// present, unprotected and older than young, so that Prune does not delete it for its
// age. A negative young stands for any age.
func (c *Checkpoints) copyParts(ctx context.Context, to *Checkpoints, m Manifest, there map[string]Info, guarded map[string]bool, young time.Duration) error {
	newest := to.now()
	for _, i := range there {
		if i.ModTime.After(newest) {
			newest = i.ModTime // by the clock of the store
		}
	}
	present := make(map[string]int64, len(there))
	for _, i := range there {
		if young < 0 || guarded[i.Key] || newest.Sub(i.ModTime) < young {
			present[i.Key] = i.Size
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(c.opt.Parallel)
	asked := make(map[string]bool)
	for _, p := range m.Parts {
		key := p.Stored.Key()
		if size, ok := present[key]; ok && size == p.Stored.Size || asked[key] {
			continue
		}
		asked[key] = true
		group.Go(func() error { return copyPart(ctx, c.store, to.store, p.Stored) })
	}
	return group.Wait()
}

func copyPart(ctx context.Context, from, to Store, ref StoredRef) error {
	err := tryCopy(ctx, from, to, ref)
	if errors.Is(err, ErrCorrupt) {
		// It is copied once more: a transmission error must not set good bytes aside.
		if err = repairObject(ctx, from, ref.Key()); err == nil {
			err = tryCopy(ctx, from, to, ref)
		}
	}
	if err != nil {
		return fmt.Errorf("part %s: %w", ref.SHA256, err)
	}
	return nil
}

func tryCopy(ctx context.Context, from, to Store, ref StoredRef) (err error) {
	object, err := from.Get(ctx, ref.Key())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, object.Close()) }()
	var s spool
	defer func() { err = errors.Join(err, s.Close()) }()
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(&s, sum), io.LimitReader(object, ref.Size+1))
	if err != nil {
		return fmt.Errorf("read it: %w", err)
	}
	if n != ref.Size || hex.EncodeToString(sum.Sum(nil)) != ref.SHA256 {
		return fmt.Errorf("%w: its bytes do not have its digest", ErrCorrupt)
	}
	return to.Put(ctx, ref.Key(), io.NewSectionReader(&s, 0, n))
}
