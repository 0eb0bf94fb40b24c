package mirror

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/nexus-continuum/nexus/storage"
)

// State says how far the bucket is behind the folder.
type State struct {
	Bucket string
	// Reached is when the bucket last agreed with the folder in full; zero is never.
	Reached time.Time
	// Pending is how many datasets, checkpoints and records wait for the bucket,
	// Since when the first of them does.
	Pending int
	Since   time.Time
	// Fault is why the bucket failed at the last try; empty if it did not.
	Fault string
	// Folder is why this host's folder failed at it, such as a full disk.
	Folder string
}

// State returns how far the bucket is behind.
func (s *Store) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// Waiting returns the checkpoints that are not in the bucket yet.
func (s *Store) Waiting(ctx context.Context) (map[string]bool, error) {
	marks, err := s.local.List(ctx, outbox+manifestPrefix)
	if err != nil {
		return nil, err
	}
	out := make(map[string]bool, len(marks))
	for _, m := range marks {
		out[manifestID(strings.TrimPrefix(m.Key, outbox))] = true
	}
	return out, nil
}

func (s *Store) away() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.Fault != ""
}

// fault notes that an exchange failed; the queue finds out when it is over.
func (s *Store) fault(err error) {
	if isFolder(err) {
		return // whoever writes next is told
	}
	s.mu.Lock()
	s.state.Fault = err.Error()
	s.mu.Unlock()
	s.Kick()
}

// note takes down how a sync went, and says what changed.
func (s *Store) note(ctx context.Context, err error) {
	pending, since := s.pending(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.Pending, s.state.Since = pending, since
	if err == nil {
		if s.failed != "" {
			s.opt.Log.Info("the bucket answers again", "bucket", s.state.Bucket, "pending", pending)
		}
		s.state.Fault, s.state.Folder, s.failed = "", "", ""
		s.state.Reached = s.opt.Now()
		return
	}
	if isFolder(err) {
		s.state.Fault, s.state.Folder = "", err.Error()
		if s.failed != inFolder {
			s.failed = inFolder
			s.opt.Log.Error("the storage folder of this host fails; it is not kept up to date with the bucket", "bucket", s.state.Bucket, "pending", pending, "error", err)
		}
		return
	}
	s.state.Fault, s.state.Folder = err.Error(), ""
	if kind := kindOf(err); kind != s.failed {
		s.failed = kind
		s.opt.Log.Error("the bucket cannot be kept up to date; serving and training go on from the local folder", "bucket", s.state.Bucket, "pending", pending, "error", err)
	}
}

// inFolder is the sort of a fault that is the folder's.
const inFolder = "folder"

// kindOf names the sort of a fault, so that each is said once.
func kindOf(err error) string {
	for _, kind := range []error{storage.ErrMisconfigured, storage.ErrDenied, storage.ErrFull, storage.ErrReadOnly, storage.ErrCorrupt, storage.ErrUnavailable} {
		if errors.Is(err, kind) {
			return kind.Error()
		}
	}
	return "other"
}

// pending counts what waits for the bucket.
func (s *Store) pending(ctx context.Context) (n int, since time.Time) {
	older := func(t time.Time) {
		n++
		if since.IsZero() || t.Before(since) {
			since = t
		}
	}
	// A folder that cannot be read is told of by whoever needs it.
	marks, _ := s.local.List(ctx, outbox)
	for _, m := range marks {
		// A mark without its object is that of a writer that was killed: nothing waits.
		if _, err := s.local.Stat(ctx, strings.TrimPrefix(m.Key, outbox)); errors.Is(err, storage.ErrNotFound) {
			continue
		}
		older(m.ModTime)
	}
	for _, key := range []string{headKey, controlKey, registryKey, keysKey, keyUseKey, checksKey, validityKey, usageKey} {
		here, err := read(ctx, s.local, key)
		base, err2 := read(ctx, s.local, synced+key)
		if err != nil || err2 != nil || here.absent() || here.same(base) {
			continue
		}
		if i, err := s.local.Stat(ctx, key); err == nil {
			older(i.ModTime)
		}
	}
	return n, since
}
