package storage

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"
)

// Errors that callers must be able to distinguish. A Store wraps the one that fits and
// adds what was tried.
var (
	// ErrNotFound means that nothing is stored under the key or id.
	ErrNotFound = errors.New("not found")
	// ErrConflict means that another writer was faster; nothing was changed.
	ErrConflict = errors.New("changed by another writer")
	// ErrFenced means that a newer holder of the trainer lease has saved since.
	ErrFenced = errors.New("fencing token is older than the head's")
	// ErrCorrupt means that the bytes differ from those that were stored.
	ErrCorrupt = errors.New("damaged")
	// ErrReadOnly means that the store takes no writes.
	ErrReadOnly = errors.New("storage is read-only")
	// ErrFull means that no space or quota is left.
	ErrFull = errors.New("storage is full")
	// ErrDenied means that permissions or credentials are not sufficient.
	ErrDenied = errors.New("access to storage denied")
	// ErrUnavailable means that the store cannot be reached now; a later try may
	// succeed.
	ErrUnavailable = errors.New("storage unavailable")
	// ErrMisconfigured means that the store will refuse every request until a setting,
	// or what the setting refers to, is corrected; the message says which.
	ErrMisconfigured = errors.New("not usable as configured")
	// ErrBadKey means that a key or id could not have been made by this package.
	ErrBadKey = errors.New("not a valid key")
	// ErrTooLarge means that a limit of the format is exceeded.
	ErrTooLarge = errors.New("larger than the format allows")
)

// MaxRecord limits what Read returns and Swap accepts, in bytes.
const MaxRecord = 4 << 20

// Version identifies one stored content of a key. It is opaque and comparable. Equal
// contents may have equal versions, so a record that is written by Swap should contain
// a counter.
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

// Store keeps objects under keys. A key is one to four segments of lower-case letters,
// digits, '.', '_' and '-', joined by '/'. Any other key is refused with ErrBadKey
// before anything is touched (see CheckKey). All methods are safe for concurrent use,
// also by several processes on one root. An implementation must pass the tests of
// package storetest.
type Store interface {
	// Put stores the whole of body under key and replaces any object there. If it
	// returns nil, the object is durable. After an error or a crash the key has either
	// its old content or the complete new content. body may be read more than once.
	Put(ctx context.Context, key string, body *io.SectionReader) error

	// Get opens the object. It returns ErrNotFound if there is none. The reader must be
	// closed; it fails with ErrCorrupt if the medium has lost the bytes.
	Get(ctx context.Context, key string) (io.ReadCloser, error)

	// Stat describes the object without reading it. It returns ErrNotFound if there is
	// none.
	Stat(ctx context.Context, key string) (Info, error)

	// List returns every object whose key begins with prefix, ordered by key. The
	// prefix may be empty or end anywhere in a key ("checkpoint_", "parts/").
	// Unfinished writes and foreign names are left out.
	List(ctx context.Context, prefix string) ([]Info, error)

	// Delete removes the object. It returns no error if there is none.
	Delete(ctx context.Context, key string) error

	// Move stores the content of from under to, replaces any object there, and removes
	// from. It returns ErrNotFound if there is no object under from. After a crash at
	// least one of the two is there.
	Move(ctx context.Context, from, to string) error

	// Read returns a small object (up to MaxRecord bytes) with its Version. It returns
	// ErrNotFound if there is none, and ErrTooLarge if it is larger.
	Read(ctx context.Context, key string) ([]byte, Version, error)

	// Swap stores body under key only if the key still has the version old (Absent:
	// only if there is no object). Otherwise it returns ErrConflict. Of several callers
	// with the same old, exactly one succeeds. A swap is as durable as a Put. After any
	// error other than ErrConflict, the swap may or may not have happened.
	Swap(ctx context.Context, key string, old Version, body []byte) (Version, error)

	// String says where the objects are, for logs. It contains no secret.
	String() string
}

// Body makes b readable for Put.
func Body(b []byte) *io.SectionReader {
	return io.NewSectionReader(bytes.NewReader(b), 0, int64(len(b)))
}
