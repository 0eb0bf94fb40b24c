package mirror

import (
	"context"
	"errors"
	"io"

	"github.com/nexus-continuum/nexus/storage"
)

// folderError is a fault of this host's folder, which must not be blamed on the
// bucket.
type folderError struct{ err error }

func (e *folderError) Error() string { return e.err.Error() }

func (e *folderError) Unwrap() error { return e.err }

func ofFolder(err error) error {
	if err == nil || errors.Is(err, storage.ErrNotFound) || errors.Is(err, storage.ErrConflict) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &folderError{err}
}

func isFolder(err error) bool {
	_, ok := errors.AsType[*folderError](err)
	return ok
}

// folder marks the errors of the local store.
type folder struct{ storage.Store }

// Put stores an object.
func (f folder) Put(ctx context.Context, key string, body *io.SectionReader) error {
	return ofFolder(f.Store.Put(ctx, key, body))
}

// Delete removes an object.
func (f folder) Delete(ctx context.Context, key string) error {
	return ofFolder(f.Store.Delete(ctx, key))
}

// Move renames an object.
func (f folder) Move(ctx context.Context, from, to string) error {
	return ofFolder(f.Store.Move(ctx, from, to))
}

// Swap stores a small object if its key is unchanged.
func (f folder) Swap(ctx context.Context, key string, old storage.Version, body []byte) (storage.Version, error) {
	v, err := f.Store.Swap(ctx, key, old, body)
	return v, ofFolder(err)
}
