package dir

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"syscall"
	"time"

	"github.com/nexus-continuum/nexus/storage"
)

// Put stores an object.
func (s *Store) Put(ctx context.Context, key string, body *io.SectionReader) error {
	root, err := s.writable(ctx, key)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	if err := s.write(ctx, root, key, body); err != nil {
		return fail("write", s.join(key), err)
	}
	return nil
}

// Swap stores a small object if its key is unchanged. The lock file orders it
// among processes; a crash frees the lock.
func (s *Store) Swap(ctx context.Context, key string, old storage.Version, body []byte) (storage.Version, error) {
	if len(body) > storage.MaxRecord {
		return storage.Absent, fmt.Errorf("swap %s: %d bytes: %w", s.join(key), len(body), storage.ErrTooLarge)
	}
	root, err := s.writable(ctx, key)
	if err != nil {
		return storage.Absent, err
	}
	defer func() { _ = root.Close() }()
	s.mu.Lock()
	defer s.mu.Unlock()
	unlock, err := s.lock(ctx, root)
	if err != nil {
		return storage.Absent, fail("lock", s.join(lockFile), err)
	}
	defer unlock()
	_, now, err := s.read(root, key)
	if err != nil && !errors.Is(err, storage.ErrNotFound) && !errors.Is(err, storage.ErrTooLarge) {
		return storage.Absent, err
	}
	// Something too large for a record is there, but has no version to match.
	if now != old || errors.Is(err, storage.ErrTooLarge) {
		return storage.Absent, fmt.Errorf("swap %s: %w", s.join(key), storage.ErrConflict)
	}
	if err := s.write(ctx, root, key, storage.Body(body)); err != nil {
		return storage.Absent, fail("write", s.join(key), err)
	}
	return version(body), nil
}

// Delete removes an object.
func (s *Store) Delete(ctx context.Context, key string) error {
	root, err := s.open(ctx, key)
	if errors.Is(err, storage.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	if _, err := root.Lstat(key); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	err = s.step("remove")
	if err == nil {
		err = root.Remove(key)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = s.syncDir(root, path.Dir(key))
	}
	if err != nil {
		return fail("delete", s.join(key), err)
	}
	return nil
}

// Move renames an object.
func (s *Store) Move(ctx context.Context, from, to string) error {
	if err := storage.CheckKey(to); err != nil {
		return err
	}
	root, err := s.open(ctx, from)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	if _, err := root.Lstat(from); err != nil {
		return fail("move", s.join(from), err)
	}
	err = s.makeDir(root, path.Dir(to))
	if err == nil {
		err = s.step("rename")
	}
	if err == nil {
		err = root.Rename(from, to)
	}
	if err == nil {
		err = s.syncDir(root, path.Dir(to))
	}
	if err == nil {
		err = s.syncDir(root, path.Dir(from))
	}
	if err != nil {
		return fail("move", s.join(from)+" to "+s.join(to), err)
	}
	return nil
}

// writable opens the root, which it makes anew if it was removed.
func (s *Store) writable(ctx context.Context, key string) (*os.Root, error) {
	root, err := s.open(ctx, key)
	if !errors.Is(err, storage.ErrNotFound) {
		return root, err
	}
	if err := s.prepare(); err != nil {
		return nil, err
	}
	return s.open(ctx, key)
}

// write replaces key by body, durably, or leaves it as it was.
func (s *Store) write(ctx context.Context, root *os.Root, key string, body *io.SectionReader) (err error) {
	if err := s.makeDir(root, path.Dir(key)); err != nil {
		return err
	}
	f, temp, err := s.createTemp(root)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, f.Close())
		if err != nil {
			// Whatever remains of it is swept at the next Open.
			_ = root.Remove(temp)
		}
	}()
	if err := s.step("write"); err != nil {
		return err
	}
	if _, err := io.Copy(f, &contextReader{ctx: ctx, r: io.NewSectionReader(body, 0, body.Size())}); err != nil {
		return err
	}
	if err := s.step("fsync"); err != nil {
		return err
	}
	if err := s.sync(f); err != nil {
		return err
	}
	if err := s.step("rename"); err != nil {
		return err
	}
	if err := root.Rename(temp, key); err != nil {
		return err
	}
	return s.syncDir(root, path.Dir(key))
}

// createTemp makes a temporary file and holds a lock on it: one that nobody
// holds is what a crash left behind.
func (s *Store) createTemp(root *os.Root) (*os.File, string, error) {
	if err := s.makeDir(root, tempDir); err != nil {
		return nil, "", err
	}
	for {
		if err := s.step("create"); err != nil {
			return nil, "", err
		}
		name := path.Join(tempDir, rand.Text())
		f, err := root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, fileMode)
		if err != nil {
			return nil, "", err
		}
		err = flock(f, syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			if _, err = root.Lstat(name); err == nil {
				return f, name, nil
			}
		}
		// A sweep got in between creation and lock, or file locks do not work here.
		if err := errors.Join(err, f.Close()); !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, "", err
		}
	}
}

// sweep removes the temporary files of processes that are gone.
func sweep(root *os.Root) error {
	entries, err := fs.ReadDir(root.FS(), tempDir)
	if err != nil {
		return fmt.Errorf("look for unfinished writes: %w", err)
	}
	for _, e := range entries {
		name := path.Join(tempDir, e.Name())
		f, err := root.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			continue // gone meanwhile, or not ours to touch
		}
		if flock(f, syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			err = root.Remove(name)
		}
		if err := errors.Join(err, f.Close()); err != nil && !errors.Is(err, fs.ErrNotExist) && !unwritable(err) {
			return fmt.Errorf("remove an unfinished write: %w", err)
		}
	}
	return nil
}

// lockPoll is how often a lock held by another process is tried again. It is
// held for the length of one small write.
const lockPoll = time.Millisecond

// lock takes the lock file, as long as ctx allows.
func (s *Store) lock(ctx context.Context, root *os.Root) (unlock func(), err error) {
	if err := s.step("lock"); err != nil {
		return nil, err
	}
	f, err := root.OpenFile(lockFile, os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, err
	}
	for {
		err := flock(f, syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.Join(err, f.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), f.Close())
		case <-time.After(lockPoll):
		}
	}
}

func flock(f *os.File, how int) error {
	for {
		err := syscall.Flock(int(f.Fd()), how)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// makeDir makes a folder and those above it, durably.
func (s *Store) makeDir(root *os.Root, folder string) error {
	if folder == "." {
		return nil
	}
	if i, err := root.Stat(folder); err == nil && i.IsDir() {
		return nil
	}
	if err := s.makeDir(root, path.Dir(folder)); err != nil {
		return err
	}
	if err := s.step("mkdir"); err != nil {
		return err
	}
	if err := root.Mkdir(folder, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return s.syncDir(root, path.Dir(folder))
}

// syncDir makes the names in a folder durable.
func (s *Store) syncDir(root *os.Root, folder string) error {
	if err := s.step("fsync folder"); err != nil {
		return err
	}
	d, err := root.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(s.sync(d), d.Close())
}

// contextReader stops a copy when the context ends.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (p *contextReader) Read(b []byte) (int, error) {
	if err := p.ctx.Err(); err != nil {
		return 0, err
	}
	return p.r.Read(b)
}
