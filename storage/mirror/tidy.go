package mirror

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nexus-continuum/nexus/storage"
)

// tidy lists the bucket, drops here what was pruned or deleted there, and keeps
// the folder within its bound.
func (s *Store) tidy(ctx context.Context) error {
	// What is here is listed before the bucket: whatever has no mark by then was
	// uploaded, and is missing in the later list only if it was deleted.
	here, err := s.local.List(ctx, "")
	if err != nil {
		return err
	}
	began := s.opt.Now()
	there, err := s.remote.List(ctx, "")
	if err != nil {
		return err
	}
	index := make(map[string]storage.Info, len(there))
	for _, i := range there {
		index[i.Key] = i
	}
	if err := s.findSegments(ctx, here, index); err != nil {
		return err
	}
	if base, err := read(ctx, s.local, synced+headKey); err != nil || !base.absent() && index[headKey].Key == "" {
		return err // emptied: the next comparison of the head finds out
	}
	s.mu.Lock()
	for key, i := range s.index {
		if _, ok := index[key]; !ok && !i.ModTime.Before(began) {
			index[key] = i // uploaded while the list was read
		}
	}
	s.index, s.listed = maps.Clone(index), began // this one is read below without the lock
	s.mu.Unlock()

	marks := make(map[string]bool)
	for _, i := range here {
		if key, ok := strings.CutPrefix(i.Key, outbox); ok {
			marks[key] = true
		}
	}
	head, err := s.here.Head(ctx)
	if err != nil && !errors.Is(err, storage.ErrCorrupt) {
		return err
	}
	var kept []storage.Info
	var gone []string // checkpoints that were pruned in the bucket
	segments := slices.DeleteFunc(slices.Collect(maps.Keys(index)), func(key string) bool { return !storage.IsSegment(key) })
	datasets := storage.NewDatasets(s.local, storage.DatasetOptions{Log: s.opt.Log})
	for _, i := range here {
		_, inBucket := index[i.Key]
		switch {
		case isManifest(i.Key) && !marks[i.Key] && !inBucket && manifestID(i.Key) == head.Checkpoint:
			// It was pruned there in the moment in which it was promoted.
			if err := s.mark(ctx, i.Key); err != nil {
				return err
			}
			s.Kick()
			kept = append(kept, i)
		case isManifest(i.Key) && !marks[i.Key] && !inBucket:
			gone = append(gone, manifestID(i.Key))
		case strings.HasPrefix(i.Key, datasetsPrefix) && !marks[i.Key] && !inBucket:
			if err := s.dropDataset(ctx, i.Key, segments, datasets); err != nil {
				return err
			}
		default:
			kept = append(kept, i)
		}
	}
	return s.shrink(ctx, kept, marks, gone)
}

// findSegments adds the segments to index that were stored while it was read: a
// dataset that index lacks may have been moved into one.
func (s *Store) findSegments(ctx context.Context, here []storage.Info, index map[string]storage.Info) error {
	missing := false
	look := func(key string) {
		_, ok := index[key]
		missing = missing || !ok && strings.HasPrefix(key, datasetsPrefix)
	}
	for _, i := range here {
		look(i.Key)
	}
	s.mu.Lock()
	for key := range s.index {
		look(key)
	}
	s.mu.Unlock()
	if !missing {
		return nil
	}
	there, err := s.remote.List(ctx, datasetsPrefix)
	if err != nil {
		return err
	}
	for _, i := range there {
		if storage.IsSegment(i.Key) {
			index[i.Key] = i
		}
	}
	return nil
}

// dropDataset looks after a dataset that is not in the bucket any more; segments are
// the keys of those that are.
func (s *Store) dropDataset(ctx context.Context, key string, segments []string, here *storage.Datasets) error {
	id := strings.TrimPrefix(key, datasetsPrefix)
	for _, segment := range segments {
		if !storage.Covers(segment, id) {
			continue
		}
		// Put together with others there. The folder needs the segment before it lets
		// its copy go, so that it can be used without the bucket.
		_, err := s.local.Stat(ctx, segment)
		if errors.Is(err, storage.ErrNotFound) {
			err = transfer(ctx, s.remote, s.local, segment)
		}
		if err != nil {
			return fmt.Errorf("fetch segment %s: %w", segment, err)
		}
	}
	held, err := here.HeldIn(ctx, segments, id)
	if err != nil {
		return err
	}
	if held {
		return s.local.Delete(ctx, key)
	}
	// Deleted there, as a canceled upload is. A wrong hand may have done it too; so
	// this copy is put where nothing learns from it.
	s.opt.Log.Warn("a dataset was deleted in the bucket; the copy here is set aside", "dataset", key)
	return s.local.Move(ctx, key, storage.Corrupted+key)
}

// relist learns of the datasets that are in the bucket now.
func (s *Store) relist(ctx context.Context) error {
	there, err := s.remote.List(ctx, datasetsPrefix)
	if err != nil {
		return fmt.Errorf("list the datasets in the bucket: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, i := range there {
		s.index[i.Key] = i
	}
	return nil
}

// shrink drops the given checkpoints and, while the folder is larger than its
// bound, what the bucket has too: datasets first, then the oldest checkpoints.
func (s *Store) shrink(ctx context.Context, here []storage.Info, marks map[string]bool, gone []string) error {
	manifests, err := s.here.List(ctx)
	if err != nil {
		return err
	}
	head, err := s.here.Head(ctx)
	if err != nil && !errors.Is(err, storage.ErrCorrupt) {
		return err
	}
	var size int64
	for _, i := range here {
		size += i.Size
	}
	over := func() bool { return s.opt.CacheBytes > 0 && size > s.opt.CacheBytes }
	for _, i := range here {
		if over() && strings.HasPrefix(i.Key, datasetsPrefix) && !marks[i.Key] && s.opt.Now().Sub(i.ModTime) > s.opt.Grace {
			if err := s.local.Delete(ctx, i.Key); err != nil {
				return err
			}
			size -= i.Size
		}
	}
	// How many checkpoints name a part: dropping the last frees it.
	named := make(map[string]int)
	for _, m := range manifests {
		for _, p := range m.Parts {
			named[p.Stored.SHA256]++
		}
	}
	var protect []string
	slices.SortFunc(manifests, func(a, b storage.Manifest) int { return cmp.Compare(a.ID, b.ID) })
	dropped := 0
	for _, m := range manifests {
		key := manifestPrefix + m.ID + manifestSuffix
		drop := slices.Contains(gone, m.ID) || over() && !marks[key]
		if m.ID == head.Checkpoint || !drop {
			protect = append(protect, m.ID)
			continue
		}
		dropped++
		for _, p := range m.Parts {
			if named[p.Stored.SHA256]--; named[p.Stored.SHA256] == 0 {
				size -= p.Stored.Size
			}
		}
	}
	// Prune collects parts before it drops checkpoints, and keeps young ones; so
	// what is dropped now gives its room back after the grace period.
	if len(manifests) > 0 {
		if _, err := s.here.Prune(ctx, storage.Retention{Newest: 1, Protect: protect}); err != nil {
			return fmt.Errorf("keep the folder within its bound: %w", err)
		}
	}
	if dropped > 0 {
		s.opt.Log.Debug("checkpoints that the bucket has were dropped here", "checkpoints", dropped)
	}
	return nil
}
