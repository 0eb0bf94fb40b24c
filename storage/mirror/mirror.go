// Package mirror is a storage.Store in a local folder that a bucket follows.
// Everything is written to the folder first and read from it first, so that
// neither serving nor training ever waits for the bucket; a queue behind it
// uploads, goes on where it was cut off, and brings what other hosts wrote.
//
// The queue is no list in memory: a mark "outbox/<key>" lies in the folder from
// before an object is written until it is in the bucket. Records (the head, the
// control record, …) carry no mark; each has a copy "synced/<key>" of what
// folder and bucket last agreed on, and whichever side has left that has moved.
// "offered/<key>" is what was last written to the bucket, until its answer came.
package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nexus-continuum/nexus/internal/lifecycle"
	"github.com/nexus-continuum/nexus/storage"
)

const (
	outbox    = "outbox/"
	synced    = "synced/"
	offered   = "offered/"
	bucketKey = synced + "bucket" // which bucket this folder follows

	partsPrefix    = storage.PartsPrefix
	datasetsPrefix = storage.DatasetsPrefix
	manifestPrefix = storage.ManifestPrefix
	manifestSuffix = storage.ManifestSuffix
	headKey        = storage.HeadKey
	controlKey     = storage.ControlKey
	registryKey    = storage.RegistryKey
	keysKey        = storage.KeysKey
	checksKey      = storage.ChecksKey
	validityKey    = storage.ValidityKey
	keyUseKey      = storage.KeyUseKey
	usageKey       = storage.UsageKey
)

// Options fit a Store to its surroundings. The zero value is usable.
type Options struct {
	// Prepare, if not nil, is called until it succeeds before the bucket is used.
	Prepare func(ctx context.Context) error
	// Timeout is how long the write of a dataset or of a record waits for the
	// bucket before it is left to the queue; 2 s. While the bucket is known to be
	// away nothing waits.
	Timeout time.Duration
	// Strict makes a dataset that is not in the bucket within StrictFor an error
	// (storage.ErrUnavailable) instead.
	Strict bool
	// StrictFor is 20 s.
	StrictFor time.Duration
	// Every is how often the records of the bucket are looked at, 1 s, and
	// ListEvery how often all of its keys are, 30 s.
	Every, ListEvery time.Duration
	// Whole keeps the head's checkpoint whole in the folder, as a process that
	// loads models wants it: the head moves here only when all of it is here.
	Whole bool
	// CacheBytes bounds what the folder keeps of what is in the bucket too; 0 is
	// no bound. The head's checkpoint and what is not uploaded yet always stay.
	CacheBytes int64
	// Grace is that of storage.Options.
	Grace time.Duration
	// Pushed is called when a record of this folder reached the bucket, so that
	// other hosts are told to look; Pulled when one of the bucket's reached the
	// folder, so that this process looks. Both must be quick; nil is nothing.
	Pushed, Pulled func(key string)
	Now            func() time.Time
	Log            *slog.Logger
}

func (o *Options) fill() {
	for _, d := range []struct {
		value    *time.Duration
		standard time.Duration
	}{
		{&o.Timeout, 2 * time.Second},
		{&o.StrictFor, 20 * time.Second},
		{&o.Every, time.Second},
		{&o.ListEvery, 30 * time.Second},
		{&o.Grace, time.Hour},
	} {
		if *d.value == 0 {
			*d.value = d.standard
		}
	}
	if o.Pushed == nil {
		o.Pushed = func(string) {}
	}
	if o.Pulled == nil {
		o.Pulled = func(string) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

// Store is a folder that a bucket follows.
type Store struct {
	local, remote storage.Store
	here, there   *storage.Checkpoints // of local and remote
	opt           Options

	kick  chan struct{} // latched: sync now
	turns sync.Map      // of chan struct{} by key: one comparison of a record at a time in this process

	mu       sync.Mutex
	index    map[string]storage.Info // keys of the bucket when it was last listed
	listed   time.Time
	prepared bool
	busy     map[string]bool // keys that a Put is uploading
	state    State
	failed   string // the last fault, to say each once
	suspects map[string]suspect

	life lifecycle.Life
}

// New makes a store of a folder and a bucket. It speaks to neither; Start does.
func New(local, remote storage.Store, opt Options) *Store {
	opt.fill()
	local = folder{local}
	s := &Store{
		local: local, remote: &timed{Store: remote, timeout: 5 * opt.Timeout}, opt: opt,
		kick: make(chan struct{}, 1), busy: map[string]bool{}, index: map[string]storage.Info{}, suspects: map[string]suspect{},
		state: State{Bucket: remote.String()},
	}
	o := storage.Options{Grace: opt.Grace, Parallel: parallel, Log: opt.Log, Now: opt.Now}
	s.here, s.there = storage.NewCheckpoints(local, o), storage.NewCheckpoints(s.remote, o)
	return s
}

// String names the folder and the bucket.
func (s *Store) String() string { return s.local.String() + " → " + s.remote.String() }

// Bucket returns the checkpoints as they lie in the bucket: what is pruned is
// pruned there, and folders follow.
func (s *Store) Bucket() *storage.Checkpoints { return s.there }

// BucketDatasets returns the datasets as they lie in the bucket: what is compacted is
// compacted there, and folders follow.
func (s *Store) BucketDatasets() *storage.Datasets {
	return storage.NewDatasets(s.remote, storage.DatasetOptions{Log: s.opt.Log, Now: s.opt.Now})
}

// Put stores an object in the folder. A dataset is given to the bucket too
// before Put returns, if the bucket answers in time.
func (s *Store) Put(ctx context.Context, key string, body *io.SectionReader) error {
	if !strings.HasPrefix(key, datasetsPrefix) {
		return s.local.Put(ctx, key, body)
	}
	defer s.claim(key)()
	if err := s.mark(ctx, key); err != nil {
		return err
	}
	if err := s.local.Put(ctx, key, body); err != nil {
		s.unmark(ctx, key)
		return err
	}
	err := s.within(ctx, s.timeout(), func(ctx context.Context) error {
		return s.remote.Put(ctx, key, io.NewSectionReader(body, 0, body.Size()))
	})
	switch {
	case err == nil:
		s.unmark(ctx, key)
		s.learn(key, body.Size())
		return nil
	case s.opt.Strict:
		// What is not promised must not be learned either.
		s.unmark(ctx, key)
		return errors.Join(fmt.Errorf("store in the bucket: %w", err), s.local.Delete(context.WithoutCancel(ctx), key))
	}
	s.opt.Log.Warn("a dataset is on the local disk and not in the bucket yet; it is uploaded later", "dataset", key, "error", err)
	s.Kick()
	return nil
}

// claim keeps the queue from uploading what a Put uploads itself.
func (s *Store) claim(key string) (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy[key] = true
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.busy, key)
	}
}

func (s *Store) timeout() time.Duration {
	if s.opt.Strict {
		return s.opt.StrictFor
	}
	return s.opt.Timeout
}

// errAway stands for the try that is not made while the bucket is known to be
// away, so that nobody waits for what the last one found out.
var errAway = fmt.Errorf("the bucket did not answer last time: %w", storage.ErrUnavailable)

// within runs one exchange with the bucket that somebody waits for.
func (s *Store) within(ctx context.Context, d time.Duration, do func(context.Context) error) error {
	if s.away() && !s.opt.Strict {
		return errAway
	}
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	err := do(ctx)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w: no answer in %s: %w", storage.ErrUnavailable, d, err)
	}
	if err != nil && !errors.Is(err, storage.ErrConflict) && !errors.Is(err, storage.ErrNotFound) {
		s.fault(err)
	}
	return err
}

// Get opens an object, from the bucket if it is not here.
func (s *Store) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	r, err := s.local.Get(ctx, key)
	if !errors.Is(err, storage.ErrNotFound) {
		return r, err
	}
	if strings.HasPrefix(key, datasetsPrefix) {
		// It is read twice, to be verified first, and learned only once here: one
		// round trip brings it into the folder.
		switch err := transfer(ctx, s.remote, s.local, key); {
		case err == nil:
			return s.local.Get(ctx, key)
		case !isFolder(err) && !errors.Is(err, storage.ErrCorrupt):
			return nil, err
		}
	}
	return s.remote.Get(ctx, key)
}

// Stat describes an object.
func (s *Store) Stat(ctx context.Context, key string) (storage.Info, error) {
	i, err := s.local.Stat(ctx, key)
	if !errors.Is(err, storage.ErrNotFound) {
		return i, err
	}
	return s.remote.Stat(ctx, key)
}

// List lists what is here and what the bucket had when it was last listed, and
// does not wait for the bucket. Parts are those in the folder only: a save
// writes again those that are not, since they are in its memory.
func (s *Store) List(ctx context.Context, prefix string) ([]storage.Info, error) {
	all, err := s.local.List(ctx, prefix)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(i storage.Info) bool { return own(i.Key) })
	if strings.HasPrefix(prefix, partsPrefix) {
		return all, nil
	}
	have := make(map[string]bool, len(all))
	for _, i := range all {
		have[i.Key] = true
	}
	s.mu.Lock()
	for key, i := range s.index {
		if strings.HasPrefix(key, prefix) && !have[key] && !strings.HasPrefix(key, partsPrefix) {
			all = append(all, i)
		}
	}
	s.mu.Unlock()
	slices.SortFunc(all, func(a, b storage.Info) int { return strings.Compare(a.Key, b.Key) })
	return all, nil
}

// own reports whether a key is the mirror's own.
func own(key string) bool {
	return strings.HasPrefix(key, outbox) || strings.HasPrefix(key, synced) || strings.HasPrefix(key, offered)
}

// Delete removes an object in both places. What is in the bucket goes first: an
// error leaves both, and the caller tries again.
func (s *Store) Delete(ctx context.Context, key string) error {
	marked, err := s.marked(ctx, key)
	if err != nil {
		return err
	}
	err = s.within(ctx, s.opt.Timeout, func(ctx context.Context) error { return s.remote.Delete(ctx, key) })
	if err != nil && !marked {
		return err
	}
	if err := s.local.Delete(ctx, key); err != nil {
		return err
	}
	s.forget(key)
	s.unmark(ctx, key)
	return nil
}

// Move moves an object in both places; it serves to set damaged ones aside.
func (s *Store) Move(ctx context.Context, from, to string) error {
	here := s.local.Move(ctx, from, to)
	if here != nil && !errors.Is(here, storage.ErrNotFound) {
		return here
	}
	there := s.within(ctx, s.opt.Timeout, func(ctx context.Context) error { return s.remote.Move(ctx, from, to) })
	if here == nil && there != nil {
		if !errors.Is(there, storage.ErrNotFound) {
			s.opt.Log.Warn("an object was set aside here but not in the bucket", "object", from, "error", there)
		}
		there = nil
	}
	if there == nil {
		s.forget(from)
		s.unmark(ctx, from)
	}
	return there
}

// Read reads a small object.
func (s *Store) Read(ctx context.Context, key string) ([]byte, storage.Version, error) {
	b, v, err := s.local.Read(ctx, key)
	if !errors.Is(err, storage.ErrNotFound) || own(key) {
		return b, v, err
	}
	if isManifest(key) {
		return s.remote.Read(ctx, key)
	}
	if key == headKey {
		return s.firstHead(ctx)
	}
	// A record that this folder has never seen: the bucket may have it.
	got := s.within(ctx, s.opt.Timeout, func(ctx context.Context) error { return s.syncRecord(ctx, key) })
	b, v, err = s.local.Read(ctx, key)
	if errors.Is(err, storage.ErrNotFound) && got != nil && !s.follows(ctx) {
		// A bucket that was never seen is not taken for an empty one.
		return nil, storage.Absent, fmt.Errorf("read %s: the bucket was never reached: %w", key, got)
	}
	return b, v, err
}

// firstHead answers for a folder that has no head: there is none only if the
// bucket says so. One that is being fetched, or a bucket that is away, must not
// be taken for a fresh start.
func (s *Store) firstHead(ctx context.Context) ([]byte, storage.Version, error) {
	var there content
	err := s.within(ctx, s.opt.Timeout, func(ctx context.Context) (err error) {
		there, err = read(ctx, s.remote, headKey)
		return err
	})
	switch {
	case err != nil:
		return nil, storage.Absent, fmt.Errorf("read the head: there is none in the folder, and the bucket cannot be asked: %w", err)
	case there.absent():
		return nil, storage.Absent, fmt.Errorf("read the head: %w", storage.ErrNotFound)
	}
	s.Kick()
	b, v, err := s.local.Read(ctx, headKey)
	if errors.Is(err, storage.ErrNotFound) {
		err = fmt.Errorf("read the head: its checkpoint is being fetched: %w", storage.ErrUnavailable)
	}
	return b, v, err
}

// follows reports whether this folder has ever agreed with the bucket.
func (s *Store) follows(ctx context.Context) bool {
	b, _, err := s.local.Read(ctx, bucketKey)
	return err == nil && string(b) == s.remote.String()
}

// Swap changes a small object in the folder. A manifest and the head go to the
// bucket later, in that order and after the parts; any other record before Swap
// returns, if the bucket answers in time: that another host changed it first is
// then ErrConflict.
func (s *Store) Swap(ctx context.Context, key string, old storage.Version, body []byte) (storage.Version, error) {
	if isManifest(key) {
		if err := s.mark(ctx, key); err != nil {
			return storage.Absent, err
		}
	}
	if !isManifest(key) && key != headKey {
		return s.swapRecord(ctx, key, old, body)
	}
	if key == headKey {
		if err := s.checkFence(ctx, body); err != nil {
			return storage.Absent, err
		}
	}
	v, err := s.local.Swap(ctx, key, old, body)
	if err == nil && key == headKey {
		s.Kick()
	}
	return v, err
}

// swapRecord changes a record in the bucket first, where all hosts meet. If the
// bucket is away it is changed here, and the queue compares the two later.
func (s *Store) swapRecord(ctx context.Context, key string, old storage.Version, body []byte) (storage.Version, error) {
	var v storage.Version
	err := s.within(ctx, s.opt.Timeout, func(ctx context.Context) (err error) {
		v, err = s.trySwap(ctx, key, old, body)
		return err
	})
	if err == nil || errors.Is(err, storage.ErrConflict) {
		return v, err
	}
	v, away := s.local.Swap(ctx, key, old, body)
	if away == nil {
		s.opt.Log.Warn("a record is changed here and not in the bucket yet; other hosts see it later", "record", key, "error", err)
		s.Kick()
	}
	return v, away
}

func isManifest(key string) bool {
	return strings.HasPrefix(key, manifestPrefix) && strings.HasSuffix(key, manifestSuffix)
}

func manifestID(key string) string {
	return strings.TrimSuffix(strings.TrimPrefix(key, manifestPrefix), manifestSuffix)
}

// mark notes, before it is written, that an object has to go to the bucket.
func (s *Store) mark(ctx context.Context, key string) error {
	return s.local.Put(ctx, outbox+key, storage.Body(nil))
}

func (s *Store) unmark(ctx context.Context, key string) {
	if err := s.local.Delete(context.WithoutCancel(ctx), outbox+key); err != nil {
		// It is uploaded once more, which changes nothing.
		s.opt.Log.Warn("the mark of an uploaded object could not be removed", "object", key, "error", err)
	}
}

func (s *Store) marked(ctx context.Context, key string) (bool, error) {
	_, err := s.local.Stat(ctx, outbox+key)
	if errors.Is(err, storage.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// learn adds a key to what the bucket is known to have.
func (s *Store) learn(key string, size int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index[key] = storage.Info{Key: key, Size: size, ModTime: s.opt.Now()}
}

func (s *Store) forget(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.index, key)
}
