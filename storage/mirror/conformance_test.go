package mirror

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/storage/dir"
	"github.com/nexus-continuum/nexus/storage/storetest"
)

// opener gives folders that follow one folder each, which stands for a bucket.
func opener(t *testing.T) func(t *testing.T, root string, step func(string) error) storage.Store {
	base := t.TempDir()
	return func(t *testing.T, root string, step func(string) error) storage.Store {
		t.Helper()
		local, remote := openDir(t, filepath.Join(base, root, "here")), openDir(t, filepath.Join(base, root, "there"))
		return New(storetest.NewFaulty(local, step), storetest.NewFaulty(remote, step), Options{Timeout: time.Minute})
	}
}

func openDir(t *testing.T, folder string) *dir.Store {
	t.Helper()
	d, err := dir.Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func none(string) error { return nil }

func TestConformance(t *testing.T) {
	t.Parallel()
	open := opener(t)
	storetest.Run(t, func(t *testing.T, root string) storage.Store { return open(t, root, none) })
}

// What is promised of a store holds at every crash in folder or bucket, also
// while the queue works: a life syncs after every move of its head.
func TestCrashes(t *testing.T) {
	t.Parallel()
	folders, buckets := map[string]*memory{}, map[string]*memory{}
	storetest.Crashes(t, func(_ *testing.T, root string, step func(string) error) storage.Store {
		if folders[root] == nil {
			folders[root], buckets[root] = newMemory(), newMemory()
		}
		s := New(storetest.NewFaulty(folders[root], step), storetest.NewFaulty(buckets[root], step), Options{Timeout: time.Minute})
		return &syncing{Store: s}
	})
}

// syncing runs the queue after every save, where a live process runs it beside.
type syncing struct{ *Store }

func (s *syncing) Swap(ctx context.Context, key string, old storage.Version, body []byte) (storage.Version, error) {
	v, err := s.Store.Swap(ctx, key, old, body)
	if err == nil && key == headKey {
		_ = s.sync(ctx) // its failure is the queue's
	}
	return v, err
}
