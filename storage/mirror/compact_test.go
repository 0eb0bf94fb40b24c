package mirror

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/nexus-continuum/nexus/storage"
)

// Datasets are put together in the bucket, and every folder follows: none is set
// aside, and each can be used without the bucket.
func TestFoldersFollowACompaction(t *testing.T) {
	t.Parallel()
	bucket := newMemory()
	a, b := newHost(t, newMemory(), bucket, nil), newHost(t, newMemory(), bucket, nil)
	var learned []string
	for i := range 5 {
		learned = append(learned, a.teach(fmt.Sprint("lesson ", i)))
	}
	last := a.teach("not learned yet")
	a.must()
	b.must()
	if _, _, err := b.datasets.Lessons(t.Context(), learned[0]); err != nil {
		t.Fatal(err)
	}
	done, err := a.BucketDatasets().Compact(t.Context(), storage.Compaction{Learned: learned, Least: 2})
	if err != nil || done.Datasets != 5 {
		t.Fatalf("%+v, %v", done, err)
	}
	for name, h := range map[string]*host{"taught": a, "other": b} {
		h.must()
		aside, err := h.local.List(t.Context(), storage.Corrupted)
		if err != nil || len(aside) > 0 {
			t.Errorf("%s: set aside: %v, %v", name, aside, err)
		}
	}
	if single, err := a.local.List(t.Context(), datasetsPrefix); err != nil || len(single) != 2 {
		t.Errorf("the folder holds %v, %v; want one segment and one dataset", single, err)
	}
	clear(bucket.objects)
	datasets := storage.NewDatasets(a.local, storage.DatasetOptions{})
	for _, id := range append(learned, last) {
		if _, lessons, err := datasets.Lessons(t.Context(), id); err != nil || len(lessons) != 1 {
			t.Errorf("without the bucket: dataset %s: %v, %v", id, lessons, err)
		}
	}
	if ids, err := datasets.IDs(t.Context()); err != nil || len(ids) != 6 {
		t.Errorf("without the bucket %d datasets are listed, %v", len(ids), err)
	}
}

// slowList is a bucket whose listing misses what changes while it is read.
type slowList struct {
	storage.Store
	between func()
}

func (s *slowList) List(ctx context.Context, prefix string) ([]storage.Info, error) {
	first, err := s.Store.List(ctx, prefix)
	if do := s.between; do != nil && err == nil {
		s.between = nil
		do()
		later, err := s.Store.List(ctx, prefix)
		if err != nil {
			return nil, err
		}
		// The first half was read before, the second after.
		first, later = first[:len(first)/2], later[len(later)/2:]
		return slices.Concat(slices.DeleteFunc(first, func(i storage.Info) bool { return storage.IsSegment(i.Key) }),
			slices.DeleteFunc(later, func(i storage.Info) bool { return storage.IsSegment(i.Key) })), nil
	}
	return first, err
}

func TestAListingDuringACompactionSetsNothingAside(t *testing.T) {
	t.Parallel()
	bucket := newMemory()
	slow := &slowList{Store: bucket}
	a := newHost(t, newMemory(), slow, nil)
	var learned []string
	for i := range 6 {
		learned = append(learned, a.teach(fmt.Sprint("lesson ", i)))
	}
	a.must()
	slow.between = func() {
		if _, err := storage.NewDatasets(bucket, storage.DatasetOptions{}).Compact(t.Context(), storage.Compaction{Learned: learned, Least: 2}); err != nil {
			t.Error(err)
		}
	}
	a.must()
	if aside, err := a.local.List(t.Context(), storage.Corrupted); err != nil || len(aside) > 0 {
		t.Errorf("set aside: %v, %v", aside, err)
	}
	if ids, err := a.datasets.IDs(t.Context()); err != nil || len(ids) != 6 {
		t.Errorf("%d datasets are listed, %v", len(ids), err)
	}
}
