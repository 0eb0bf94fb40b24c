package mirror

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nexus-continuum/nexus/storage"
)

// maxTries limits how often a record is compared again because another writer was faster.
const maxTries = 16

// content is a record in one place; there is none if version is Absent.
type content struct {
	bytes   []byte
	version storage.Version
}

func (c content) absent() bool { return c.version == storage.Absent }

func (c content) same(o content) bool {
	return c.absent() == o.absent() && bytes.Equal(c.bytes, o.bytes)
}

func read(ctx context.Context, s storage.Store, key string) (content, error) {
	b, v, err := s.Read(ctx, key)
	if errors.Is(err, storage.ErrNotFound) {
		return content{}, nil
	}
	return content{b, v}, err
}

// syncRecord makes folder and bucket agree on a record. If only one side differs from the
// last common version, the other side follows it. If both differ, prefer decides. Both
// are written by compare-and-swap, so a concurrent write on any host is compared again
// and never lost silently.
func (s *Store) syncRecord(ctx context.Context, key string) error {
	done, err := s.lockKey(ctx, key)
	if err != nil {
		return err
	}
	defer done()
	return s.syncTurn(ctx, key)
}

// lockKey waits until no other comparison of the record runs in this process. Two at once
// could store the common version in the wrong order.
func (s *Store) lockKey(ctx context.Context, key string) (done func(), err error) {
	t, _ := s.turns.LoadOrStore(key, make(chan struct{}, 1))
	c, ok := t.(chan struct{})
	if !ok {
		return nil, fmt.Errorf("sync record %s: %w", key, storage.ErrBadKey)
	}
	select {
	case c <- struct{}{}:
		return func() { <-c }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *Store) syncTurn(ctx context.Context, key string) error {
	for range maxTries {
		err := s.trySync(ctx, key)
		if !errors.Is(err, storage.ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("sync record %s: %d times %w", key, maxTries, storage.ErrConflict)
}

func (s *Store) trySync(ctx context.Context, key string) error {
	base, err := read(ctx, s.local, synced+key)
	if err != nil {
		return err
	}
	here, err := read(ctx, s.local, key)
	if err != nil {
		return err
	}
	there, err := read(ctx, s.remote, key)
	if err == nil {
		err = s.accept(key, there)
	}
	if err != nil {
		return err
	}
	if !there.same(base) && !here.same(base) && !here.same(there) {
		own, err := s.ownOffer(ctx, key, base, here, there)
		if err != nil {
			return err
		}
		if own {
			base = there
		}
	}
	switch {
	case here.same(there):
		if here.absent() || base.same(here) {
			return nil
		}
		return s.agree(ctx, key, here.bytes)
	case here.absent():
		return s.pull(ctx, key, here, there)
	case there.absent() && !base.absent() && key == headKey:
		return s.emptied(ctx)
	case there.absent(), there.same(base):
		return s.push(ctx, key, here, there)
	case here.same(base):
		return s.pull(ctx, key, here, there)
	case prefersHere(key, here.bytes, there.bytes):
		s.opt.Log.Warn("a record was changed here and in the bucket; this host's is the later one", "record", key)
		return s.push(ctx, key, here, there)
	}
	s.opt.Log.Warn("a record was changed here and in the bucket; the bucket's holds", "record", key)
	return s.pull(ctx, key, here, there)
}

// ownOffer reports whether what lies in the bucket was written from this folder,
// by a write whose answer never came: then only the folder has moved since, and
// that is noted. ErrConflict if another process moved it just now.
func (s *Store) ownOffer(ctx context.Context, key string, base, here, there content) (bool, error) {
	last, err := read(ctx, s.local, offered+key)
	if err != nil || there.absent() || !there.same(last) {
		return false, err
	}
	// What was read before may be older than the offer.
	baseNow, err := read(ctx, s.local, synced+key)
	if err != nil {
		return false, err
	}
	hereNow, err := read(ctx, s.local, key)
	if err != nil {
		return false, err
	}
	if !baseNow.same(base) || !hereNow.same(here) {
		return false, fmt.Errorf("sync record %s: %w", key, storage.ErrConflict)
	}
	return true, s.agree(ctx, key, there.bytes)
}

// suspect is a record of the bucket that arrived damaged, and the time since which the
// damage is the same.
type suspect struct {
	sum   [sha256.Size]byte
	since time.Time
}

// quarantineAfter is how long a record must arrive with the same damage before it counts
// as damaged in the bucket.
const quarantineAfter = 30 * time.Second

// accept keeps what was damaged on its way from the bucket from taking the
// place of a good record here: it is ErrCorrupt. What lies damaged in the bucket
// is taken over in the end, to be set aside and mended like any other.
func (s *Store) accept(key string, there content) error {
	var err error
	if !there.absent() {
		err = storage.VerifyObject(key, bytes.NewReader(there.bytes))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !errors.Is(err, storage.ErrCorrupt) {
		delete(s.suspects, key)
		return nil
	}
	sum, now := sha256.Sum256(there.bytes), s.opt.Now()
	if d, ok := s.suspects[key]; !ok || d.sum != sum {
		s.suspects[key] = suspect{sum, now}
	}
	if now.Sub(s.suspects[key].since) >= quarantineAfter {
		return nil
	}
	return fmt.Errorf("read %s in the bucket: %w", key, err)
}

// emptied handles a bucket that has lost its head: everything in the folder is uploaded
// again.
func (s *Store) emptied(ctx context.Context) error {
	s.opt.Log.Error("the bucket was emptied; it is filled again from this folder", "bucket", s.state.Bucket)
	if err := s.local.Delete(ctx, bucketKey); err != nil {
		return err
	}
	s.Kick()
	return fmt.Errorf("the bucket was emptied: %w", storage.ErrUnavailable)
}

// superseded is the version of what is no longer there.
const superseded storage.Version = "superseded"

// trySwap changes a record in the bucket and then here.
func (s *Store) trySwap(ctx context.Context, key string, old storage.Version, body []byte) (storage.Version, error) {
	done, err := s.lockKey(ctx, key)
	if err != nil {
		return storage.Absent, err
	}
	defer done()
	if err := s.syncTurn(ctx, key); err != nil {
		return storage.Absent, err
	}
	here, err := read(ctx, s.local, key)
	if err != nil {
		return storage.Absent, err
	}
	there, err := read(ctx, s.remote, key)
	if err != nil {
		return storage.Absent, err
	}
	if here.version != old || !here.same(there) {
		return storage.Absent, fmt.Errorf("swap %s: %w", key, storage.ErrConflict)
	}
	// A first try whose answer was lost gives a conflict too: the caller reads
	// again and finds its own change.
	if err := s.offer(ctx, key, there.version, body); err != nil {
		return storage.Absent, err
	}
	v, err := s.local.Swap(ctx, key, old, body)
	if errors.Is(err, storage.ErrConflict) {
		// Another process on this folder brought it, or what came after it; of
		// that the caller knows nothing, so its next Swap must fail.
		now, err := read(ctx, s.local, key)
		if !bytes.Equal(now.bytes, body) {
			now.version = superseded
			err = errors.Join(err, s.local.Delete(ctx, offered+key))
		}
		return now.version, err
	}
	if err != nil {
		return storage.Absent, err
	}
	s.opt.Pushed(key)
	return v, s.agree(ctx, key, body)
}

// prefersHere decides between two records that moved apart. Heads: that of the
// newer trainer, and else the bucket's, which the others follow already; what
// only the other branch had learned is learned again, since the datasets are
// there. Control records, API keys, checks, validities and usage: the later one. Others: the bucket's.
func prefersHere(key string, here, there []byte) bool {
	switch key {
	case headKey:
		var a, b struct{ Body storage.Head }
		if json.Unmarshal(here, &a) != nil || json.Unmarshal(there, &b) != nil {
			return false
		}
		return a.Body.Fence > b.Body.Fence && b.Body.Why == storage.HeadSaved
	case controlKey, keysKey, checksKey, validityKey, usageKey:
		var a, b struct {
			Body struct {
				UpdatedAt time.Time `json:"updated_at"`
			}
		}
		if json.Unmarshal(here, &a) != nil || json.Unmarshal(there, &b) != nil {
			return false
		}
		return a.Body.UpdatedAt.After(b.Body.UpdatedAt)
	}
	return false
}

// push writes the folder's record to the bucket. The head is written only after its
// checkpoint.
func (s *Store) push(ctx context.Context, key string, here, there content) error {
	if key == headKey {
		ready, err := s.uploaded(ctx, here.bytes)
		if err != nil || !ready {
			return err
		}
	}
	if err := s.offer(ctx, key, there.version, here.bytes); err != nil {
		if !errors.Is(err, storage.ErrConflict) {
			return err
		}
		// The own first try, whose answer was lost, is no conflict.
		if now, again := read(ctx, s.remote, key); again != nil || !now.same(here) {
			return err
		}
	}
	if err := s.agree(ctx, key, here.bytes); err != nil {
		return err
	}
	s.opt.Pushed(key)
	return nil
}

// pull writes the bucket's record to the folder. The head waits until its
// checkpoint is here, where models are loaded.
func (s *Store) pull(ctx context.Context, key string, here, there content) error {
	if key == headKey && s.opt.Whole {
		var r struct{ Body storage.Head }
		if err := json.Unmarshal(there.bytes, &r); err != nil {
			return fmt.Errorf("read the bucket's head: %w: %w", storage.ErrCorrupt, err)
		}
		if err := s.there.CopyTo(ctx, s.here, r.Body.Checkpoint); err != nil {
			return fmt.Errorf("fetch checkpoint %s: %w", r.Body.Checkpoint, err)
		}
		if r.Body.Why != storage.HeadSaved {
			// It may be older than an unlearning on another host, which must be known
			// here before the checkpoint serves.
			if err := s.relist(ctx); err != nil {
				return err
			}
		}
	}
	if _, err := s.local.Swap(ctx, key, here.version, there.bytes); err != nil {
		return err
	}
	if err := s.agree(ctx, key, there.bytes); err != nil {
		return err
	}
	s.opt.Pulled(key)
	return nil
}

// offer writes a record to the bucket. That it does is noted before: if its
// answer is lost, what lies in the bucket is known for our own, also by who
// starts on this folder after a crash.
func (s *Store) offer(ctx context.Context, key string, old storage.Version, b []byte) error {
	if err := s.local.Put(ctx, offered+key, storage.Body(b)); err != nil {
		return err
	}
	_, err := s.remote.Swap(ctx, key, old, b)
	return err
}

// agree stores the version that folder and bucket both have.
func (s *Store) agree(ctx context.Context, key string, b []byte) error {
	if err := s.local.Put(ctx, synced+key, storage.Body(b)); err != nil {
		return err
	}
	// Answered: the bucket may come back to these bytes by another's hand.
	return s.local.Delete(ctx, offered+key)
}

// uploaded reports whether the checkpoint that a head names is in the bucket.
func (s *Store) uploaded(ctx context.Context, head []byte) (bool, error) {
	var r struct{ Body storage.Head }
	if err := json.Unmarshal(head, &r); err != nil {
		return false, fmt.Errorf("read the head: %w: %w", storage.ErrCorrupt, err)
	}
	key := manifestPrefix + r.Body.Checkpoint + manifestSuffix
	if marked, err := s.marked(ctx, key); err != nil || marked {
		return false, err
	}
	return true, nil
}
