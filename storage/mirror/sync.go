package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/nexus-continuum/nexus/storage"
)

const (
	// firstSync bounds how long Start waits for the bucket.
	firstSync = 10 * time.Second
	// lastSync bounds the last uploads of a Stop.
	lastSync = 5 * time.Second
	// restMost bounds the rest between tries while the bucket is away.
	restMost = 15 * time.Second
	// firstEvery is how often a bucket is tried that this folder has never seen:
	// nothing can be served before.
	firstEvery = 500 * time.Millisecond
	// parallel is how many exchanges with the bucket run at once. Most of them are
	// small and wait for the network.
	parallel = 16
)

// Start brings what the bucket has and begins to follow it. A folder that has
// followed the bucket before starts without it when it is away. A new folder
// waits for the bucket: only there is what was taught. A bucket that refuses a new folder
// for a setting is an error, storage.ErrMisconfigured.
func (s *Store) Start(ctx context.Context) error {
	return s.life.Start(ctx, func(context.Context) error {
		first, done := context.WithTimeout(ctx, firstSync)
		err := s.sync(first)
		done()
		err, ok := s.firstContact(ctx, err)
		if !ok {
			return err
		}
		s.note(ctx, err)
		s.life.Go(s.follow)
		return nil
	})
}

// firstContact tries again, as long as ctx allows, until a new folder has what
// it needs to serve; err is how the first try went. ok is false if it never will.
func (s *Store) firstContact(ctx context.Context, err error) (last error, ok bool) {
	told := ""
	for err != nil && !s.servable(ctx) {
		if errors.Is(err, storage.ErrMisconfigured) {
			return err, false
		}
		if kind := kindOf(err); kind != told {
			told = kind
			s.opt.Log.Warn("waiting for the bucket: this folder is new, and only the bucket holds what was taught", "bucket", s.remote.String(), "error", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err(), false
		case <-time.After(firstEvery):
		}
		try, done := context.WithTimeout(ctx, firstSync)
		err = s.sync(try)
		done()
	}
	return err, true
}

// servable reports whether the folder can be served from without the bucket.
func (s *Store) servable(ctx context.Context) bool {
	if !s.follows(ctx) {
		return false
	}
	_, _, err := s.local.Read(ctx, headKey)
	return err == nil
}

// Stop uploads what is left, for some seconds, and ends. What is not uploaded
// by then is uploaded after the next start.
func (s *Store) Stop(ctx context.Context) error {
	if !s.life.Started() {
		return nil
	}
	if err := s.life.Stop(ctx); err != nil {
		return fmt.Errorf("stop following the bucket: %w", err)
	}
	if s.State().Pending > 0 && !s.away() {
		last, cancel := context.WithTimeout(ctx, lastSync)
		defer cancel()
		s.note(ctx, s.sync(last))
	}
	return nil
}

// Kick makes the queue look at once.
func (s *Store) Kick() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

func (s *Store) follow(ctx context.Context) {
	rest := s.opt.Every
	for {
		timer := time.NewTimer(rest)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		case <-s.kick:
			timer.Stop()
		}
		err := s.sync(ctx)
		if ctx.Err() != nil {
			return
		}
		s.note(ctx, err)
		if err == nil {
			rest = s.opt.Every
			continue
		}
		rest = min(2*rest, max(restMost, s.opt.Every))
		// Kicks come with every write; a bucket that is away is not asked for each.
		select {
		case <-ctx.Done():
			return
		case <-time.After(min(rest, time.Second)):
		}
	}
}

// sync makes folder and bucket agree as far as the bucket allows.
func (s *Store) sync(ctx context.Context) error {
	if err := s.prepare(ctx); err != nil {
		return err
	}
	if err := s.reconcile(ctx); err != nil {
		return err
	}
	// What others did may be what somebody waits for here, and what waits here may
	// be what others wait for: neither waits for the other, and neither ends when the
	// other fails.
	var group errgroup.Group
	for _, key := range []string{controlKey, keysKey, keyUseKey, checksKey, validityKey, usageKey, registryKey, headKey} {
		group.Go(func() error { return s.syncRecord(ctx, key) })
	}
	group.Go(func() error { return s.upload(ctx) })
	if err := group.Wait(); err != nil {
		return err
	}
	if moved, err := s.moved(ctx, headKey); err != nil || moved {
		if err == nil {
			err = s.syncRecord(ctx, headKey)
		}
		if err != nil {
			return err
		}
	}
	if s.opt.Now().Sub(s.lastListed()) < s.opt.ListEvery {
		return nil
	}
	return s.tidy(ctx)
}

func (s *Store) prepare(ctx context.Context) error {
	s.mu.Lock()
	done := s.prepared
	s.mu.Unlock()
	if done || s.opt.Prepare == nil {
		return nil
	}
	if err := s.opt.Prepare(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	s.prepared = true
	s.mu.Unlock()
	return nil
}

// reconcile is the first contact of a folder with a bucket: everything in the folder
// has to go there, whatever another bucket got of it.
func (s *Store) reconcile(ctx context.Context) error {
	if s.follows(ctx) {
		return nil
	}
	// Asked first: a bucket that is away must not count as met.
	if _, err := read(ctx, s.remote, headKey); err != nil {
		return err
	}
	all, err := s.local.List(ctx, "")
	if err != nil {
		return err
	}
	for _, i := range all {
		switch {
		case strings.HasPrefix(i.Key, synced), strings.HasPrefix(i.Key, offered):
			err = s.local.Delete(ctx, i.Key)
		case isManifest(i.Key), strings.HasPrefix(i.Key, datasetsPrefix):
			err = s.mark(ctx, i.Key)
		}
		if err != nil {
			return err
		}
	}
	return s.agree(ctx, strings.TrimPrefix(bucketKey, synced), []byte(s.remote.String()))
}

// moved reports whether the folder's record is another than what folder and
// bucket last agreed on.
func (s *Store) moved(ctx context.Context, key string) (bool, error) {
	here, err := read(ctx, s.local, key)
	if err != nil {
		return false, err
	}
	base, err := read(ctx, s.local, synced+key)
	return !here.absent() && !here.same(base), err
}

// upload brings the marked objects to the bucket: datasets first, since
// everything else can be learned from them, then checkpoints, the oldest first.
func (s *Store) upload(ctx context.Context) error {
	marks, err := s.local.List(ctx, outbox)
	if err != nil {
		return err
	}
	group, each := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for _, m := range marks {
		if key := strings.TrimPrefix(m.Key, outbox); strings.HasPrefix(key, datasetsPrefix) && !s.isBusy(key) {
			group.Go(func() error { return s.uploadOne(each, key, m, s.uploadDataset) })
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, m := range marks {
		if key := strings.TrimPrefix(m.Key, outbox); isManifest(key) {
			if err := s.uploadOne(ctx, key, m, s.uploadCheckpoint); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) isBusy(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.busy[key]
}

func (s *Store) uploadOne(ctx context.Context, key string, mark storage.Info, do func(context.Context, string) error) error {
	_, err := s.local.Stat(ctx, key)
	if errors.Is(err, storage.ErrNotFound) {
		// Its writer died before it wrote, or writes just now.
		if s.opt.Now().Sub(mark.ModTime) > s.opt.Grace {
			s.unmark(ctx, key)
		}
		return nil
	}
	if err != nil {
		return err
	}
	err = do(ctx, key)
	if errors.Is(err, storage.ErrCorrupt) || errors.Is(err, storage.ErrNotFound) {
		// Damaged here, or deleted meanwhile: whoever reads it sets it aside; the
		// queue goes on with the others.
		if _, gone := s.local.Stat(ctx, key); errors.Is(gone, storage.ErrNotFound) {
			s.unmark(ctx, key)
			return nil
		}
		s.opt.Log.Error("an object cannot be uploaded: it is damaged here", "object", key, "error", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("upload %s: %w", key, err)
	}
	if _, gone := s.local.Stat(ctx, key); errors.Is(gone, storage.ErrNotFound) {
		// It was deleted while it was uploaded.
		if err := s.remote.Delete(ctx, key); err != nil {
			return fmt.Errorf("delete %s: %w", key, err)
		}
		s.unmark(ctx, key)
		return nil
	}
	s.learn(key, mark.Size)
	s.unmark(ctx, key)
	return nil
}

func (s *Store) uploadDataset(ctx context.Context, key string) error {
	return transfer(ctx, s.local, s.remote, key)
}

func (s *Store) uploadCheckpoint(ctx context.Context, key string) error {
	return s.here.CopyTo(ctx, s.there, manifestID(key))
}

// transfer copies one object that proves itself; ErrCorrupt if it does not.
func transfer(ctx context.Context, from, to storage.Store, key string) (err error) {
	spool := storage.NewSpool("")
	defer func() { err = errors.Join(err, spool.Close()) }()
	object, err := from.Get(ctx, key)
	if err != nil {
		return err
	}
	_, err = io.Copy(spool, object)
	if err := errors.Join(err, object.Close()); err != nil {
		return err
	}
	if err := storage.VerifyObject(key, spool.Section()); err != nil {
		return err
	}
	return to.Put(ctx, key, spool.Section())
}

func (s *Store) lastListed() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listed
}
