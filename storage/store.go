package storage

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"
)

// What callers must be able to tell apart. Every error of a Store that fits one
// of these wraps it, together with what was tried.
var (
	// ErrNotFound means that nothing is stored under the key or id.
	ErrNotFound = errors.New("not found")
	// ErrConflict means that another writer was faster: nothing was changed.
	ErrConflict = errors.New("changed by another writer")
	// ErrFenced means that a newer holder of the trainer lease has saved since.
	ErrFenced = errors.New("fencing token is older than the head's")
	// ErrCorrupt means that the bytes are not those that were stored.
	ErrCorrupt = errors.New("damaged")
	// ErrReadOnly means that the store takes no writes.
	ErrReadOnly = errors.New("storage is read-only")
	// ErrFull means that no space or quota is left.
	ErrFull = errors.New("storage is full")
	// ErrDenied means that permissions or credentials do not suffice.
	ErrDenied = errors.New("access to storage denied")
	// ErrUnavailable means that the store cannot be reached now; a later try may work.
	ErrUnavailable = errors.New("storage unavailable")
	// ErrMisconfigured means that the store will refuse every request until a
	// setting, or what it stands for, is corrected; the message says which.
	ErrMisconfigured = errors.New("not usable as configured")
	// ErrBadKey means that a key or id could not have been made by this package.
	ErrBadKey = errors.New("not a valid key")
	// ErrTooLarge means that a limit of the format is passed.
	ErrTooLarge = errors.New("larger than the format allows")
)

// MaxRecord bounds what Read returns and Swap takes, in bytes.
const MaxRecord = 4 << 20

// Version stands for one stored content of a key. It is opaque and comparable.
// Equal contents may have equal versions, so a record that is moved by Swap
// should carry a counter.
type Version string

// Absent is the Version of a key under which nothing is stored.
const Absent Version = ""

// Info describes a stored object.
type Info struct {
	Key  string
	Size int64
	// ModTime is when the object was last written, by the clock of the store.
	ModTime time.Time
}

// Store keeps objects under keys. A key is one to four segments of lower-case
// letters, digits, '.', '_' and '-', joined by '/'; any other is refused with
// ErrBadKey before anything is touched (CheckKey). All methods are safe for
// concurrent use, also by several processes on one root. An implementation
// passes the suite of package storetest.
type Store interface {
	// Put stores the whole of body under key, replacing what is there. When it
	// returns nil the object is durable; after an error or a crash the key has
	// its old content or the new one, whole, and nothing between. body may be
	// read more than once.
	Put(ctx context.Context, key string, body *io.SectionReader) error

	// Get opens the object; ErrNotFound if there is none. The reader fails with
	// ErrCorrupt if the medium gives bytes up, and must be closed.
	Get(ctx context.Context, key string) (io.ReadCloser, error)

	// Stat describes the object without reading it; ErrNotFound if there is none.
	Stat(ctx context.Context, key string) (Info, error)

	// List returns every object whose key begins with prefix, ordered by key.
	// The prefix is empty or ends a key anywhere ("checkpoint_", "parts/").
	// Unfinished writes and foreign names do not appear.
	List(ctx context.Context, prefix string) ([]Info, error)

	// Delete removes the object. That there is none is no error.
	Delete(ctx context.Context, key string) error

	// Move stores from's content under to, replacing what is there, and removes
	// from; ErrNotFound if there is no from. After a crash at least one of both
	// is there.
	Move(ctx context.Context, from, to string) error

	// Read returns a small object (up to MaxRecord) with its Version.
	// ErrNotFound if there is none, ErrTooLarge if it is larger.
	Read(ctx context.Context, key string) ([]byte, Version, error)

	// Swap stores body under key only if the key still has the version old
	// (Absent: only if there is no object), else ErrConflict. Of several
	// callers with the same old exactly one succeeds. Durable like Put. An error
	// other than ErrConflict leaves open whether the swap happened.
	Swap(ctx context.Context, key string, old Version, body []byte) (Version, error)

	// String says where the objects are, for logs; it holds no secret.
	String() string
}

// Body makes b readable for Put.
func Body(b []byte) *io.SectionReader {
	return io.NewSectionReader(bytes.NewReader(b), 0, int64(len(b)))
}
