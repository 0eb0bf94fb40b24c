// Package dir is a storage.Store in a local folder: each object is a file of
// the same name. A write goes to a temporary file that is fsynced, renamed into
// place and made durable by an fsync of the folder. Several processes may share
// the folder. Files are opened below the root only (os.Root): a symbolic link
// that leads out of it is refused.
package dir

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/nexus-continuum/nexus/storage"
)

const (
	tempDir  = ".tmp"
	lockFile = ".lock"
	// Lessons and answers are nobody else's business, whatever the umask and the
	// mode of the folder above.
	dirMode  = 0o700
	fileMode = 0o600
)

// Store is a folder. The root is opened anew by each operation, so that a
// folder that is emptied, mounted or restored while the service runs is seen.
type Store struct {
	path string
	// step is called before each change of the file system, with its name. Tests
	// stop there as a crash would.
	step func(op string) error
	// sync makes a file, or the names in a folder, durable. Tests note what it
	// was called for: a power cut loses everything else.
	sync func(f *os.File) error

	mu sync.Mutex // orders Swaps of this process before the file lock does between processes
}

// Open makes the folder if it is missing, removes what a crash left of
// unfinished writes, and returns the store. A folder that cannot be written is
// no error here, so that a service can still serve from it; writes then fail
// with storage.ErrReadOnly or storage.ErrDenied.
func Open(folder string) (*Store, error) {
	s := &Store{path: folder, step: func(string) error { return nil }, sync: (*os.File).Sync}
	if err := s.prepare(); err != nil {
		return nil, err
	}
	return s, nil
}

// Scratch makes a store in a folder that nobody will miss after a crash: its
// writes are whole, but not durable, and so many times faster.
func Scratch(folder string) (*Store, error) {
	s, err := Open(folder)
	if err == nil {
		s.sync = func(*os.File) error { return nil }
	}
	return s, err
}

func (s *Store) prepare() error {
	if err := os.MkdirAll(s.path, dirMode); err != nil {
		return fail("make the storage folder", s.path, err)
	}
	root, err := os.OpenRoot(s.path)
	if err != nil {
		return fail("open the storage folder", s.path, err)
	}
	defer func() { _ = root.Close() }()
	if err := closeToOthers(root); err != nil {
		return fail("look at the storage folder", s.path, err)
	}
	// The folder for damaged objects is there from the start: an operator may
	// want to move one by hand.
	for _, sub := range []string{tempDir, strings.TrimSuffix(storage.Corrupted, "/")} {
		if err := root.Mkdir(sub, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
			if unwritable(err) {
				return nil
			}
			return fail("make folder", path.Join(s.path, sub), err)
		}
	}
	return sweep(root)
}

// closeToOthers takes the rights on the folder from all but its owner and
// group: earlier versions made it readable by everybody. A folder of another
// owner stays as it is.
func closeToOthers(root *os.Root) error {
	i, err := root.Stat(".")
	if err != nil {
		return err
	}
	if mode := i.Mode().Perm(); mode&0o007 != 0 {
		if err := root.Chmod(".", mode&^0o007); err != nil && !unwritable(err) {
			return err
		}
	}
	return nil
}

// String returns the folder.
func (s *Store) String() string { return s.path }

// open opens the root after it has asked whether the context has ended.
func (s *Store) open(ctx context.Context, key string) (*os.Root, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := storage.CheckKey(key); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(s.path)
	if err != nil {
		return nil, fail("open the storage folder", s.path, err)
	}
	return root, nil
}

// Get opens an object.
func (s *Store) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	root, err := s.open(ctx, key)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	f, err := openFile(root, key)
	if err != nil {
		return nil, fail("read", s.join(key), err)
	}
	return &file{File: f, name: s.join(key)}, nil
}

// Stat describes an object.
func (s *Store) Stat(ctx context.Context, key string) (storage.Info, error) {
	root, err := s.open(ctx, key)
	if err != nil {
		return storage.Info{}, err
	}
	defer func() { _ = root.Close() }()
	i, err := root.Lstat(key)
	if err == nil && !i.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		return storage.Info{}, fail("look at", s.join(key), err)
	}
	return storage.Info{Key: key, Size: i.Size(), ModTime: i.ModTime()}, nil
}

// List lists objects by prefix.
func (s *Store) List(ctx context.Context, prefix string) ([]storage.Info, error) {
	if err := storage.CheckPrefix(prefix); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fail("open the storage folder", s.path, err)
	}
	defer func() { _ = root.Close() }()
	folder := "."
	if at := strings.LastIndexByte(prefix, '/'); at >= 0 {
		folder = prefix[:at]
	}
	l := lister{ctx: ctx, root: root.FS(), prefix: prefix}
	if err := l.walk(folder); err != nil {
		return nil, fail("list", s.join(folder), err)
	}
	slices.SortFunc(l.found, func(a, b storage.Info) int { return strings.Compare(a.Key, b.Key) })
	return l.found, nil
}

// Read reads a small object; its version is the digest of its content.
func (s *Store) Read(ctx context.Context, key string) ([]byte, storage.Version, error) {
	root, err := s.open(ctx, key)
	if err != nil {
		return nil, storage.Absent, err
	}
	defer func() { _ = root.Close() }()
	return s.read(root, key)
}

func (s *Store) read(root *os.Root, key string) ([]byte, storage.Version, error) {
	f, err := openFile(root, key)
	if err != nil {
		return nil, storage.Absent, fail("read", s.join(key), err)
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, storage.MaxRecord+1))
	if err != nil {
		return nil, storage.Absent, failRead(s.join(key), err)
	}
	if len(b) > storage.MaxRecord {
		return nil, storage.Absent, fmt.Errorf("read %s: more than %d bytes: %w", s.join(key), storage.MaxRecord, storage.ErrTooLarge)
	}
	return b, version(b), nil
}

func version(b []byte) storage.Version {
	sum := sha256.Sum256(b)
	return storage.Version(hex.EncodeToString(sum[:]))
}

func (s *Store) join(key string) string { return path.Join(s.path, key) }

// openFile opens a regular file for reading; anything else is not an object.
func openFile(root *os.Root, key string) (*os.File, error) {
	i, err := root.Lstat(key)
	if err != nil {
		return nil, err
	}
	if !i.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file: %w", key, fs.ErrNotExist)
	}
	return root.Open(key)
}

// file gives the errors of reading their meaning.
type file struct {
	*os.File
	name string
}

func (f *file) Read(p []byte) (int, error) {
	n, err := f.File.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = failRead(f.name, err)
	}
	return n, err
}

// lister walks only where the prefix can be.
type lister struct {
	ctx    context.Context
	root   fs.FS
	prefix string
	found  []storage.Info
}

func (l *lister) walk(folder string) error {
	if err := l.ctx.Err(); err != nil {
		return err
	}
	entries, err := fs.ReadDir(l.root, folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		key := path.Join(folder, e.Name())
		if storage.CheckKey(key) != nil {
			continue
		}
		if e.IsDir() {
			if deeper := key + "/"; strings.HasPrefix(deeper, l.prefix) || strings.HasPrefix(l.prefix, deeper) {
				if err := l.walk(key); err != nil {
					return err
				}
			}
			continue
		}
		if !e.Type().IsRegular() || !strings.HasPrefix(key, l.prefix) {
			continue
		}
		i, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		l.found = append(l.found, storage.Info{Key: key, Size: i.Size(), ModTime: i.ModTime()})
	}
	return nil
}
