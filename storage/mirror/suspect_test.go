package mirror

import (
	"context"
	"errors"
	"fmt"
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
		now = now.Add(quarantineAfter / 4)
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
	now = now.Add(quarantineAfter)
	_ = h.sync(t.Context())
	if _, err := h.control.Read(t.Context()); !errors.Is(err, storage.ErrCorrupt) {
		t.Errorf("after %s of the same damage the control record reads %v, want ErrCorrupt", quarantineAfter, err)
	}
}

// slowBeside answers reads of one record at once, with damage, and all others after
// a while.
type slowBeside struct {
	storage.Store
	damaged string
}

func (b *slowBeside) Read(ctx context.Context, key string) ([]byte, storage.Version, error) {
	if key != b.damaged {
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
	body, v, err := b.Store.Read(ctx, key)
	if key == b.damaged && len(body) > 0 {
		body[len(body)/2] ^= 4
	}
	return body, v, err
}

// A record that comes damaged keeps none of the others from being followed.
func TestADamagedRecordKeepsNoOtherBack(t *testing.T) {
	t.Parallel()
	inner := newMemory()
	other := newHost(t, newMemory(), inner, nil)
	other.save("", 1, "a")
	pause := func(paused bool) {
		if _, err := other.control.Update(t.Context(), func(c *storage.Control) { c.Paused = paused }); err != nil {
			t.Fatal(err)
		}
	}
	pause(false)
	other.must()
	bucket := &slowBeside{Store: inner}
	h := newHost(t, newMemory(), bucket, nil)
	h.must()
	pause(true)
	other.must()
	bucket.damaged = headKey
	if err := h.sync(t.Context()); !errors.Is(err, storage.ErrCorrupt) {
		t.Errorf("a sync with a damaged head: %v", err)
	}
	if c, err := h.control.Read(t.Context()); err != nil || !c.Paused {
		t.Errorf("the control record here is %+v, %v; elsewhere learning was paused", c, err)
	}
}

// lostAnswer writes records and then is away, as a server that is killed
// between its write and its answer.
type lostAnswer struct {
	storage.Store
	key  string
	down atomic.Bool
}

func (l *lostAnswer) Swap(ctx context.Context, key string, old storage.Version, body []byte) (storage.Version, error) {
	v, err := l.Store.Swap(ctx, key, old, body)
	if err == nil && key == l.key {
		l.down.Store(true)
		return storage.Absent, fmt.Errorf("cut off: %w", storage.ErrUnavailable)
	}
	return v, err
}

func (l *lostAnswer) Read(ctx context.Context, key string) ([]byte, storage.Version, error) {
	if l.down.Load() {
		return nil, storage.Absent, fmt.Errorf("cut off: %w", storage.ErrUnavailable)
	}
	return l.Store.Read(ctx, key)
}

// A record that reached the bucket, and whose answer did not reach us, is our
// own: what was written here since goes on from it, also after a restart.
func TestAnOwnWriteWhoseAnswerWasLostIsNobodyElses(t *testing.T) {
	t.Parallel()
	for _, restarted := range []bool{false, true} {
		folder, inner := newMemory(), newMemory()
		bucket := &lostAnswer{Store: inner, key: headKey}
		h := newHost(t, folder, bucket, nil)
		first := h.save("", 1, "a")
		if err := h.sync(t.Context()); !errors.Is(err, storage.ErrUnavailable) {
			t.Fatalf("sync with a bucket that goes away: %v", err)
		}
		second := h.save(first, 1, "a", "b")
		if restarted {
			h = newHost(t, folder, bucket, nil)
		}
		bucket.key = ""
		bucket.down.Store(false)
		h.must()
		h.holds(second, "a", "b")
		other := newHost(t, newMemory(), inner, nil)
		other.must()
		other.holds(second, "a", "b")
		// Once it is known what became of it, a bucket that goes back to it has moved.
		third := other.save(second, 2, "c")
		other.must()
		h.must()
		h.holds(third, "c")
	}
}

// So with the records that hosts change in the bucket first.
func TestAChangeWhoseAnswerWasLostIsChangedAgain(t *testing.T) {
	t.Parallel()
	inner := newMemory()
	bucket := &lostAnswer{Store: inner, key: registryKey}
	h := newHost(t, newMemory(), bucket, nil)
	first := h.save("", 1, "a")
	second := h.save(first, 1, "b")
	h.must()
	for _, challenger := range []string{first, second} {
		if err := h.checkpoints.SetChallenger(t.Context(), challenger); err != nil {
			t.Fatal(err)
		}
	}
	bucket.key = ""
	bucket.down.Store(false)
	h.must()
	other := newHost(t, newMemory(), inner, nil)
	other.must()
	for where, c := range map[string]*storage.Checkpoints{"here": h.checkpoints, "on another host": other.checkpoints} {
		if r, err := c.Registry(t.Context()); err != nil || r.Challenger != second {
			t.Errorf("%s the challenger is %s, %v; want %s", where, r.Challenger, err, second)
		}
	}
}
