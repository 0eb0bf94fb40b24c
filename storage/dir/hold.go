package dir

import (
	"errors"
	"fmt"
	"os"
	"path"
	"syscall"
)

// ErrInUse means that another process has the folder: a service that serves
// from it, or a restore that replaces what is in it.
var ErrInUse = errors.New("in use by another process")

// holdFile is locked by every process that serves from the folder, and by a
// restore against all of them. A crash frees it.
const holdFile = ".serving"

// Hold marks the folder as served from until release is called; any number of
// processes may do so at once. ErrInUse: a restore is under way. A folder that
// takes no writes, or no locks, cannot be restored into either, and is held by
// nobody.
func (s *Store) Hold() (release func(), err error) {
	// Opened for reading, so that the file system can still be remounted read-only.
	release, err = s.take(os.O_RDONLY, syscall.LOCK_SH)
	if errors.Is(err, ErrInUse) {
		return nil, fmt.Errorf("%s: a restore is under way: %w", s.path, err)
	}
	if err != nil {
		return func() {}, nil //nolint:nilerr // see above
	}
	return release, nil
}

// Seize takes the folder for this process alone. ErrInUse: a service serves from it.
func (s *Store) Seize() (release func(), err error) {
	release, err = s.take(os.O_RDWR, syscall.LOCK_EX)
	if err != nil {
		return nil, fail("seize", s.path, err)
	}
	return release, nil
}

func (s *Store) take(open, how int) (func(), error) {
	f, err := os.OpenFile(path.Join(s.path, holdFile), open|os.O_CREATE|syscall.O_NOFOLLOW, fileMode)
	if err != nil {
		return nil, err
	}
	if err := flock(f, how|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrInUse
		}
		return nil, errors.Join(err, f.Close())
	}
	return func() { _ = f.Close() }, nil
}
