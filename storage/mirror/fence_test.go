package mirror

import (
	"errors"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/storage"
)

// A trainer that was replaced by one on another host does not save, although its
// own folder has not heard of the other's saves yet.
func TestAReplacedTrainerOnAnotherHostDoesNotSave(t *testing.T) {
	t.Parallel()
	bucket := newMemory()
	slow := func(o *Options) { o.Every = time.Hour }
	a, b := newHost(t, newMemory(), bucket, slow), newHost(t, newMemory(), bucket, slow)
	a.must()
	root := a.save("", 1, "root")
	a.must()
	b.must()
	now := b.save(root, 2, "root", "b")
	b.must()

	if _, err := a.checkpoints.Save(t.Context(), root, nil, storage.Meta{Fence: 1}); !errors.Is(err, storage.ErrFenced) {
		t.Errorf("the save of the former trainer = %v, want ErrFenced", err)
	}
	if all, err := a.checkpoints.List(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("the former trainer left %d checkpoints, %v; want 1", len(all), err)
	}
	a.must()
	if a.head() != now {
		t.Errorf("the former trainer's host has the head %s, want %s", a.head(), now)
	}
}

// While the bucket is away the trainer goes on saving.
func TestATrainerSavesWhileTheBucketIsAway(t *testing.T) {
	t.Parallel()
	out := &outage{}
	h := newHost(t, newMemory(), out.before(newMemory()), nil)
	h.must()
	root := h.save("", 1, "root")
	h.must()
	out.down.Store(true)
	h.save(root, 1, "root", "more")
}
