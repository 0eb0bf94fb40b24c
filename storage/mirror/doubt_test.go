package mirror

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/storage"
)

// garbled flips a bit of the records that are read from a bucket, as a bad wire
// does; their versions are right.
type garbled struct {
	storage.Store
	on atomic.Bool
}

func (g *garbled) Read(ctx context.Context, key string) ([]byte, storage.Version, error) {
	b, v, err := g.Store.Read(ctx, key)
	if g.on.Load() && len(b) > 0 {
		b[len(b)/2] ^= 4
	}
	return b, v, err
}

// A record that comes damaged from the bucket does not replace a good one here.
func TestADamagedAnswerDoesNotReplaceAGoodRecord(t *testing.T) {
	t.Parallel()
	bucket := &garbled{Store: newMemory()}
	now := time.Now()
	h := newHost(t, newMemory(), bucket, func(o *Options) { o.Now = func() time.Time { return now } })
	if _, err := h.control.Update(t.Context(), func(c *storage.Control) { c.Paused = true }); err != nil {
		t.Fatal(err)
	}
	h.save("", 1, "a")
	h.must()
	before := h.head()
	bucket.on.Store(true)
	for range 3 {
		if err := h.sync(t.Context()); !errors.Is(err, storage.ErrCorrupt) {
			t.Errorf("a sync with damaged answers: %v", err)
		}
		now = now.Add(condemnAfter / 4)
	}
	if c, err := h.control.Read(t.Context()); err != nil || !c.Paused {
		t.Errorf("the control record is now %+v, %v", c, err)
	}
	if h.head() != before {
		t.Errorf("the head is now %s, was %s", h.head(), before)
	}
	bucket.on.Store(false)
	h.must()
	// What stays damaged is taken for what lies there.
	bucket.on.Store(true)
	_ = h.sync(t.Context())
	now = now.Add(condemnAfter)
	_ = h.sync(t.Context())
	if _, err := h.control.Read(t.Context()); !errors.Is(err, storage.ErrCorrupt) {
		t.Errorf("after %s of the same damage the control record reads %v, want ErrCorrupt", condemnAfter, err)
	}
}
