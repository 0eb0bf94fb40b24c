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

// CopyTo stores checkpoint id in another store: first the parts that are not
// there, then the manifest. It does not move the head there. Cut off and called
// again it goes on with the parts that are missing. A part whose bytes do not
// have the digest that is its name is not copied: ErrCorrupt.
func (c *Checkpoints) CopyTo(ctx context.Context, to *Checkpoints, id string) error {
	m, err := c.Manifest(ctx, id)
	if err != nil {
		return err
	}
	if _, err := to.Manifest(ctx, id); err == nil {
		return nil // it protects its parts
	} else if !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrCorrupt) {
		return err
	}
	if err := c.copyParts(ctx, to, m, to.opt.Grace/2); err != nil {
		return fmt.Errorf("copy checkpoint %s: %w", id, err)
	}
	if err := to.restore(ctx, m); err != nil {
		return fmt.Errorf("copy checkpoint %s: %w", id, err)
	}
	// From here the manifest protects its parts; one that was old may have been
	// collected before it did.
	if err := c.copyParts(ctx, to, m, -1); err != nil {
		return fmt.Errorf("copy checkpoint %s: %w", id, err)
	}
	return nil
}

// copyParts stores the parts of m that are not in to. One that lies there
// unprotected and is older than young is stored again, so that its age does not
// let a Prune take it; young below 0 is any age.
func (c *Checkpoints) copyParts(ctx context.Context, to *Checkpoints, m Manifest, young time.Duration) error {
	there, err := to.store.List(ctx, PartsPrefix)
	if err != nil {
		return fmt.Errorf("list parts: %w", err)
	}
	guarded := make(map[string]bool)
	if m.Parent != "" && young >= 0 {
		if parent, err := to.Manifest(ctx, m.Parent); err == nil {
			for _, p := range parent.Parts {
				guarded[p.Stored.Key()] = true
			}
		}
	}
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
		// Once more: a fault of the wire must not condemn good bytes.
		if err = mend(ctx, from, ref.Key()); err == nil {
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
