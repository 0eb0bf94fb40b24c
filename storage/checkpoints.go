package storage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Options configure Checkpoints. The zero value is usable.
type Options struct {
	// MaxBytes limits the memory, in bytes, that loading one checkpoint may take; 0
	// means 8 GiB.
	MaxBytes int64
	// Grace is how old an unreferenced part must be before Prune deletes it; 0 means
	// one hour. It must be longer than any save takes.
	Grace time.Duration
	// Parallel is how many parts are written or read at once; 0 means 4.
	Parallel int
	Log      *slog.Logger
	Now      func() time.Time
}

// maxSwaps limits how often an operation is repeated because another writer was faster.
const maxSwaps = 32

// Checkpoints stores what was learned. A checkpoint is a manifest and the parts that it
// names. The head says which checkpoint is served. If a crash interrupts an operation,
// LoadLatest still finds a complete checkpoint. Checkpoints is safe for concurrent use,
// also by several processes.
type Checkpoints struct {
	store Store
	opt   Options

	mu    sync.Mutex
	known base // the last one saved or loaded by this process
}

// base is the checkpoint that a save builds on.
type base struct {
	manifest Manifest
	lineage  Lineage
}

// NewCheckpoints returns the checkpoints of a store.
func NewCheckpoints(store Store, opt Options) *Checkpoints {
	if opt.MaxBytes == 0 {
		opt.MaxBytes = 8 << 30
	}
	if opt.Grace == 0 {
		opt.Grace = time.Hour
	}
	if opt.Parallel == 0 {
		opt.Parallel = 4
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	return &Checkpoints{store: store, opt: opt}
}

// now is the time as records store it: UTC, without a monotonic part, so that it equals
// the value that is read back.
func (c *Checkpoints) now() time.Time { return c.opt.Now().UTC().Round(0) }

// ids lists the ids of all manifests, newest first.
func (c *Checkpoints) ids(ctx context.Context) ([]string, error) {
	infos, err := c.store.List(ctx, ManifestPrefix)
	if err != nil {
		return nil, fmt.Errorf("list checkpoints: %w", err)
	}
	var ids []string
	for _, i := range infos {
		if id, ok := manifestID(i.Key); ok {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	slices.Reverse(ids)
	return ids, nil
}

// List reads the manifests of all checkpoints, newest first. A damaged manifest is set
// aside, logged and left out.
func (c *Checkpoints) List(ctx context.Context) ([]Manifest, error) {
	ids, err := c.ids(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]Manifest, 0, len(ids))
	for _, id := range ids {
		m, err := c.Manifest(ctx, id)
		switch {
		case err == nil:
			out = append(out, m)
		case errors.Is(err, ErrCorrupt) || errors.Is(err, ErrNotFound):
			// Set aside by Manifest, or pruned since it was listed.
		default:
			return nil, err
		}
	}
	return out, nil
}

// Manifest reads the manifest of checkpoint id, without its parts. It returns
// ErrNotFound, or ErrCorrupt after it has set a damaged manifest aside.
func (c *Checkpoints) Manifest(ctx context.Context, id string) (Manifest, error) {
	key, err := manifestKey(id)
	if err != nil {
		return Manifest{}, err
	}
	m, err := c.tryManifest(ctx, key, id)
	if errors.Is(err, ErrCorrupt) {
		// It is read once more: a transmission error must not set good bytes aside, and
		// a store with a second place may have good bytes there.
		if err = repairObject(ctx, c.store, key); err == nil {
			m, err = c.tryManifest(ctx, key, id)
		}
		if errors.Is(err, ErrCorrupt) {
			c.setAside(ctx, "checkpoint "+id+" is damaged", err, key)
		}
	}
	if err != nil {
		return Manifest{}, fmt.Errorf("read checkpoint %s: %w", id, err)
	}
	return m, nil
}

func (c *Checkpoints) tryManifest(ctx context.Context, key, id string) (Manifest, error) {
	b, _, err := c.store.Read(ctx, key)
	if errors.Is(err, ErrTooLarge) {
		return Manifest{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if err != nil {
		return Manifest{}, err
	}
	return decodeManifest(b, id)
}

// Load reads and verifies checkpoint id. It returns ErrNotFound, ErrTooLarge (see
// Options.MaxBytes), or ErrCorrupt after it has set a damaged checkpoint aside.
func (c *Checkpoints) Load(ctx context.Context, id string) (Manifest, []Part, error) {
	m, parts, err := c.load(ctx, id, true)
	if err != nil {
		return Manifest{}, nil, err
	}
	var own []Part
	var lineage Lineage
	for _, p := range parts {
		if !isLineage(p.Name) {
			own = append(own, p)
			continue
		}
		if lineage, err = decodeLineage(lineage, p.Data); err != nil {
			return Manifest{}, nil, fmt.Errorf("load checkpoint %s: %w", id, err)
		}
	}
	c.remember(m, lineage)
	return m, own, nil
}

// Verify reads checkpoint id and checks every digest, in bounded memory. It returns the
// errors of Load.
func (c *Checkpoints) Verify(ctx context.Context, id string) error {
	_, err := c.verify(ctx, id)
	return err
}

func (c *Checkpoints) verify(ctx context.Context, id string) (Manifest, error) {
	m, _, err := c.load(ctx, id, false)
	return m, err
}

func (c *Checkpoints) load(ctx context.Context, id string, keep bool) (Manifest, []Part, error) {
	m, err := c.Manifest(ctx, id)
	if err != nil {
		return Manifest{}, nil, err
	}
	if n := m.Bytes(); keep && n > c.opt.MaxBytes {
		return Manifest{}, nil, fmt.Errorf("load checkpoint %s: it needs %d bytes of memory, the limit is %d: %w", id, n, c.opt.MaxBytes, ErrTooLarge)
	}
	parts, bad, err := c.readParts(ctx, m.Parts, keep)
	if errors.Is(err, ErrCorrupt) {
		err = c.quarantine(ctx, id, bad, err)
	}
	if err != nil {
		return Manifest{}, nil, fmt.Errorf("load checkpoint %s: %w", id, err)
	}
	return m, parts, nil
}

// readParts reads all parts, several at once. On an error, bad is the key of the faulty
// object.
func (c *Checkpoints) readParts(ctx context.Context, refs []PartRef, keep bool) (parts []Part, bad string, err error) {
	parts = make([]Part, len(refs))
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(c.opt.Parallel)
	for i, ref := range refs {
		group.Go(func() error {
			data, err := readPart(ctx, c.store, ref, keep)
			if err != nil {
				mu.Lock()
				defer mu.Unlock()
				if bad == "" && errors.Is(err, ErrCorrupt) {
					bad = ref.Stored.Key()
				}
				return err
			}
			parts[i] = Part{Name: ref.Name, Data: data}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, bad, err
	}
	return parts, "", nil
}

// quarantine sets aside a checkpoint with a damaged part. If its manifest has
// disappeared meanwhile, the checkpoint was pruned during the read, and nothing is
// wrong.
func (c *Checkpoints) quarantine(ctx context.Context, id, part string, why error) error {
	key, err := manifestKey(id)
	if err != nil {
		return err
	}
	if _, err := c.store.Stat(ctx, key); err != nil {
		return err
	}
	// The part is moved first. If the manifest went first and a crash came between, the
	// damaged part would stay where the next save trusts it.
	c.setAside(ctx, "checkpoint "+id+" is damaged", why, part, key)
	return why
}

// setAside moves damaged objects under corrupted/ and logs it in one line. A store that
// cannot be written keeps the objects; the line says that too.
func (c *Checkpoints) setAside(ctx context.Context, what string, why error, keys ...string) {
	var moved []string
	for _, key := range keys {
		err := c.store.Move(ctx, key, Corrupted+key)
		if err != nil && !errors.Is(err, ErrNotFound) {
			c.opt.Log.Error(what+"; it could not be set aside", "why", why, "object", key, "error", err)
			return
		}
		if err == nil {
			moved = append(moved, Corrupted+key)
		}
	}
	c.opt.Log.Error(what+"; set aside", "why", why, "moved_to", moved)
}

func (c *Checkpoints) remember(m Manifest, l Lineage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known = base{manifest: m, lineage: l}
}

// baseOf returns manifest and lineage of checkpoint id. It uses memory if this process
// saved or loaded that checkpoint last.
func (c *Checkpoints) baseOf(ctx context.Context, id string) (base, error) {
	c.mu.Lock()
	known := c.known
	c.mu.Unlock()
	if known.manifest.ID == id {
		return known, nil
	}
	m, err := c.Manifest(ctx, id)
	if err != nil {
		return base{}, err
	}
	var refs []PartRef
	for _, p := range m.Parts {
		if isLineage(p.Name) {
			refs = append(refs, p)
		}
	}
	parts, bad, err := c.readParts(ctx, refs, true)
	if errors.Is(err, ErrCorrupt) {
		err = c.quarantine(ctx, id, bad, err)
	}
	var lineage Lineage
	for _, p := range parts {
		if err == nil {
			lineage, err = decodeLineage(lineage, p.Data)
		}
	}
	if err != nil {
		return base{}, fmt.Errorf("read the lineage of checkpoint %s: %w", id, err)
	}
	return base{manifest: m, lineage: lineage}, nil
}

// Lineage returns the ids of the datasets that checkpoint id learned from, in order.
func (c *Checkpoints) Lineage(ctx context.Context, id string) (Lineage, error) {
	b, err := c.baseOf(ctx, id)
	return slices.Clone(b.lineage), err
}
