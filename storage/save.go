package storage

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"
)

// Save stores a checkpoint and moves the head to it. If Save returns nil, the
// checkpoint is durable. After an error the head may or may not have moved (LoadLatest
// tells), and everything saved before is unchanged.
//
// parent is the id of the checkpoint that the saver built on, "" for the first. It must
// still be the head; otherwise Save returns ErrConflict, so that concurrent writers
// cannot overwrite each other's work. Save returns ErrFenced if meta.Fence is below the
// head's. meta.Learned is appended to the lineage. Parts that the parent has are not
// written again.
func (c *Checkpoints) Save(ctx context.Context, parent string, parts []Part, meta Meta) (Manifest, error) {
	m, err := c.save(ctx, parent, parts, meta)
	if err != nil {
		return Manifest{}, fmt.Errorf("save a checkpoint onto %q: %w", parent, err)
	}
	return m, nil
}

func (c *Checkpoints) save(ctx context.Context, parent string, parts []Part, meta Meta) (Manifest, error) {
	head, version, err := c.currentHead(ctx)
	if err != nil {
		return Manifest{}, err
	}
	if meta.Fence < head.Fence {
		return Manifest{}, fmt.Errorf("token %d, the head has %d: %w", meta.Fence, head.Fence, ErrFenced)
	}
	// An empty store accepts any parent. Its folder was cleared under a running
	// trainer, whose memory then holds the only copy.
	if head.Checkpoint != parent && head.Checkpoint != "" {
		// A head that names the last checkpoint does not block a save either, after
		// that checkpoint was set aside by the storage or by hand.
		left, err := c.ids(ctx)
		if err != nil {
			return Manifest{}, err
		}
		if parent != "" || len(left) > 0 {
			return Manifest{}, fmt.Errorf("the head is %s: %w", head.Checkpoint, ErrConflict)
		}
	}
	var from base
	if parent != "" {
		if from, err = c.baseOf(ctx, parent); err != nil {
			return Manifest{}, err
		}
	}
	lineage, err := from.lineage.with(meta.Learned)
	if err != nil {
		return Manifest{}, err
	}
	given := make([]piece, len(parts))
	for i, p := range parts {
		if isLineage(p.Name) {
			return Manifest{}, fmt.Errorf("part name %q is reserved: %w", p.Name, ErrBadKey)
		}
		given[i] = piece{Part: p}
	}
	m, err := c.write(ctx, from.manifest, parent, slices.Concat(given, lineage.pieces(from)), len(lineage), meta)
	if err != nil {
		return Manifest{}, err
	}
	if _, err := c.moveHead(ctx, head, version, m.ID, HeadSaved, meta.Fence); err != nil {
		if errors.Is(err, ErrConflict) || errors.Is(err, ErrFenced) {
			c.removeManifest(ctx, m.ID)
		}
		return Manifest{}, err
	}
	c.remember(m, lineage)
	return m, nil
}

// write stores parts and then the manifest that names them.
func (c *Checkpoints) write(ctx context.Context, from Manifest, parent string, parts []piece, datasets int, meta Meta) (Manifest, error) {
	ids, err := c.ids(ctx)
	if err != nil {
		return Manifest{}, err
	}
	newest := parent
	if len(ids) > 0 {
		newest = max(newest, ids[0])
	}
	m := Manifest{ID: newID(newest), Parent: parent, CreatedAt: c.now(), Datasets: datasets, Meta: meta}
	if m.Parts, err = c.storeParts(ctx, from.Parts, parts); err != nil {
		return Manifest{}, err
	}
	b, err := encodeManifest(m)
	if err != nil {
		return Manifest{}, err
	}
	key, err := manifestKey(m.ID)
	if err != nil {
		return Manifest{}, err
	}
	if _, err := c.store.Swap(ctx, key, Absent, b); err != nil {
		// The key is ours alone, so a conflict means our own first try, whose reply was
		// lost.
		if there, again := c.tryManifest(ctx, key, m.ID); !errors.Is(err, ErrConflict) || again != nil || there.Parent != parent {
			return Manifest{}, fmt.Errorf("write manifest %s: %w", m.ID, err)
		}
	}
	// From here the manifest protects its parts. A part of the parent may have been
	// deleted before that.
	present, err := c.present(ctx)
	if err != nil {
		return Manifest{}, err
	}
	for _, p := range m.Parts {
		if size, ok := present[p.Stored.Key()]; !ok || size != p.Stored.Size {
			if _, err := c.storeParts(ctx, m.Parts, parts); err != nil {
				return Manifest{}, err
			}
			break
		}
	}
	return m, nil
}

// removeManifest removes the manifest of a save that lost the race for the head.
func (c *Checkpoints) removeManifest(ctx context.Context, id string) {
	key, err := manifestKey(id)
	if err == nil {
		err = c.store.Delete(ctx, key)
	}
	if err != nil {
		c.opt.Log.Warn("a checkpoint that lost the race for the head could not be removed", "checkpoint", id, "error", err)
	}
}

// present lists the stored parts with their sizes.
func (c *Checkpoints) present(ctx context.Context) (map[string]int64, error) {
	infos, err := c.store.List(ctx, PartsPrefix)
	if err != nil {
		return nil, fmt.Errorf("list parts: %w", err)
	}
	sizes := make(map[string]int64, len(infos))
	for _, i := range infos {
		sizes[i.Key] = i.Size
	}
	return sizes, nil
}

// storeParts writes the parts that are not among the given ones, several at once. A
// part that is in the store but that no protecting manifest names is written again;
// otherwise Prune could delete it for its age.
func (c *Checkpoints) storeParts(ctx context.Context, have []PartRef, parts []piece) ([]PartRef, error) {
	if len(parts) > MaxParts {
		return nil, fmt.Errorf("%d parts: %w", len(parts), ErrTooLarge)
	}
	present, err := c.present(ctx)
	if err != nil {
		return nil, err
	}
	stored := make(map[string]StoredRef, len(have))
	for _, p := range have {
		if size, ok := present[p.Stored.Key()]; ok && size == p.Stored.Size {
			stored[p.SHA256] = p.Stored
		}
	}
	refs := make([]PartRef, len(parts))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(c.opt.Parallel)
	for i, p := range parts {
		group.Go(func() error {
			if len(p.Data) > MaxPartBytes {
				return fmt.Errorf("part %s of %d bytes: %w", p.Name, len(p.Data), ErrTooLarge)
			}
			if p.known != nil {
				if ref, ok := stored[p.known.SHA256]; ok && ref == p.known.Stored {
					refs[i] = *p.known
					return nil
				}
				p.Data = p.again()
			}
			refs[i] = PartRef{Name: p.Name, SHA256: digest(p.Data), Size: int64(len(p.Data))}
			if ref, ok := stored[refs[i].SHA256]; ok {
				refs[i].Stored = ref
				return nil
			}
			var err error
			refs[i].Stored, err = c.storePart(ctx, refs[i].SHA256, p.Part)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return refs, nil
}

func (c *Checkpoints) storePart(ctx context.Context, sum string, p Part) (StoredRef, error) {
	b, encoding, err := encodePart(p.Data)
	if err != nil {
		return StoredRef{}, fmt.Errorf("part %s: %w", p.Name, err)
	}
	if encoding != encodingPlain {
		sum = digest(b)
	}
	ref := StoredRef{SHA256: sum, Size: int64(len(b)), Encoding: encoding}
	if err := c.store.Put(ctx, ref.Key(), Body(b)); err != nil {
		return StoredRef{}, fmt.Errorf("write part %s: %w", p.Name, err)
	}
	return ref, nil
}
