package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/nexus-continuum/nexus/job"
)

// Compaction says which datasets Compact combines.
type Compaction struct {
	// Learned is the lineage of the served checkpoint; only its datasets are combined.
	Learned Lineage
	// Age is how old a dataset must be. The jobs of younger datasets may still change.
	Age time.Duration
	// Least is how many datasets a new segment must hold; 0 means 256.
	Least int
}

// Compacted says what a Compact did.
type Compacted struct {
	Segments, Datasets int
}

// Compact combines small datasets into segments: many small objects become one, and no
// dataset changes. Unlearnings stay single, so that a version of the program without
// segments still sees each of them. A single object is deleted only after its dataset
// was read back from the segment. After a crash, some datasets are in both places; the
// next Compact deletes the single ones.
func (d *Datasets) Compact(ctx context.Context, c Compaction) (done Compacted, err error) {
	if c.Least == 0 {
		c.Least = 256
	}
	single, segments, err := d.objects(ctx)
	if err != nil {
		return done, err
	}
	single, err = d.endMoves(ctx, single, keysOf(segments))
	if err != nil {
		return done, fmt.Errorf("delete what segments hold: %w", err)
	}
	group := &segmentBuilder{}
	for _, i := range d.small(c, single) {
		id, _ := datasetID(i.Key)
		switch err := d.addTo(ctx, group, id, i.Key); {
		case errors.Is(err, ErrNotFound), errors.Is(err, ErrCorrupt):
			continue // deleted since it was listed, or set aside
		case err != nil:
			return done, fmt.Errorf("put datasets together: %w", err)
		}
		if group.full() {
			if err := d.storeSegment(ctx, group, &done); err != nil {
				return done, err
			}
			group = &segmentBuilder{}
		}
	}
	if len(group.entries) >= c.Least {
		err = d.storeSegment(ctx, group, &done)
	}
	return done, err
}

// small selects the datasets that may go into segments.
func (d *Datasets) small(c Compaction, single []Info) []Info {
	learned := make(map[string]bool, len(c.Learned))
	for _, id := range c.Learned {
		learned[id] = true
	}
	var out []Info
	for _, i := range single {
		id, _ := datasetID(i.Key)
		made, err := job.IDTime(id)
		if err != nil || !learned[id] || i.Size > segmentDataset || d.opt.Now().Sub(made) < c.Age {
			continue
		}
		if op, ok := d.ops.Load(id); ok && op == OpForget {
			continue
		}
		out = append(out, i)
	}
	return out
}

// segmentBuilder gathers datasets for one segment.
type segmentBuilder struct {
	entries []segmentEntry
	payload bytes.Buffer
}

func (b *segmentBuilder) full() bool {
	return len(b.entries) == segmentMost || b.payload.Len() > segmentBytes-segmentDataset
}

// addTo reads a single dataset into b, unless it is an unlearning. It returns the
// errors of Open.
func (d *Datasets) addTo(ctx context.Context, b *segmentBuilder, id, key string) error {
	var object bytes.Buffer
	err := readObject(ctx, d.store, key, func(r io.Reader) error {
		_, err := io.Copy(&object, io.LimitReader(r, segmentDataset+1))
		return err
	})
	if err != nil {
		return err
	}
	ds, _, err := readHeader(bytes.NewReader(object.Bytes()), id)
	if err == nil && ds.Op != OpForget {
		err = verifyDataset(bytes.NewReader(object.Bytes()), id)
	}
	if err != nil {
		// Opening it finds out whether that was a transmission error.
		r, err := d.Open(ctx, id)
		if err != nil {
			return err
		}
		return r.Close()
	}
	d.ops.Store(id, ds.Op)
	if ds.Op == OpForget {
		return nil
	}
	b.entries = append(b.entries, segmentEntry{ID: id, Op: ds.Op, Size: int64(object.Len())})
	b.payload.Write(object.Bytes())
	return nil
}

// storeSegment stores one segment, reads it back, and deletes its datasets as single
// objects.
func (d *Datasets) storeSegment(ctx context.Context, b *segmentBuilder, done *Compacted) error {
	body, err := encodeSegment(b.entries, b.payload.Bytes())
	if err != nil {
		return err
	}
	key := segmentKey(b.entries[0].ID, b.entries[len(b.entries)-1].ID)
	if err := d.store.Put(ctx, key, Body(body)); err != nil {
		return fmt.Errorf("store segment %s: %w", key, err)
	}
	var stored []byte
	err = readObject(ctx, d.store, key, func(r io.Reader) (err error) {
		stored, err = io.ReadAll(io.LimitReader(r, int64(len(body))+1))
		return err
	})
	if err == nil && !bytes.Equal(stored, body) {
		err = fmt.Errorf("%w: other bytes are read back than were written", ErrCorrupt)
	}
	if err != nil {
		return fmt.Errorf("read segment %s back: %w", key, err)
	}
	d.forgetSegment(key)
	done.Segments++
	for _, e := range b.entries {
		single, err := datasetKey(e.ID)
		if err == nil {
			err = d.store.Delete(ctx, single)
		}
		if err != nil {
			return fmt.Errorf("delete dataset %s, which is in %s: %w", e.ID, key, err)
		}
		done.Datasets++
	}
	return nil
}

// endMoves deletes the single datasets that an intact segment holds, which an
// interrupted Compact leaves behind. It returns the others.
func (d *Datasets) endMoves(ctx context.Context, single []Info, segments []string) ([]Info, error) {
	var rest []Info
	for _, i := range single {
		id, _ := datasetID(i.Key)
		held, err := d.HeldIn(ctx, segments, id)
		if err != nil {
			return nil, err
		}
		if !held {
			rest = append(rest, i)
			continue
		}
		if err := d.store.Delete(ctx, i.Key); err != nil {
			return nil, err
		}
	}
	return rest, nil
}

// HeldIn reports whether one of the given segments (by key) holds dataset id intact.
func (d *Datasets) HeldIn(ctx context.Context, segments []string, id string) (bool, error) {
	for _, key := range segments {
		if !Covers(key, id) {
			continue
		}
		b, err := d.fromSegment(ctx, key, id)
		switch {
		case err == nil && verifyDataset(bytes.NewReader(b), id) == nil:
			return true, nil
		case err == nil, errors.Is(err, ErrNotFound), errors.Is(err, ErrCorrupt):
		default:
			return false, err
		}
	}
	return false, nil
}

func keysOf(infos []Info) []string {
	keys := make([]string, len(infos))
	for i, info := range infos {
		keys[i] = info.Key
	}
	return keys
}
