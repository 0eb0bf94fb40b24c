package mirror

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/nexus-continuum/nexus/storage"
)

// View shows a folder and the bucket behind it as one, for who only looks: what
// is in the folder comes from there, everything else from the bucket. It keeps
// nothing and takes no writes.
func View(folder, bucket storage.Store) storage.Store {
	return storage.ReadOnly(view{Store: folder, bucket: bucket})
}

type view struct {
	storage.Store // the folder
	bucket        storage.Store
}

// String names both.
func (v view) String() string { return v.Store.String() + " → " + v.bucket.String() }

// Get opens an object.
func (v view) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	r, err := v.Store.Get(ctx, key)
	if errors.Is(err, storage.ErrNotFound) {
		return v.bucket.Get(ctx, key)
	}
	return r, err
}

// Stat describes an object.
func (v view) Stat(ctx context.Context, key string) (storage.Info, error) {
	i, err := v.Store.Stat(ctx, key)
	if errors.Is(err, storage.ErrNotFound) {
		return v.bucket.Stat(ctx, key)
	}
	return i, err
}

// Read reads a small object.
func (v view) Read(ctx context.Context, key string) ([]byte, storage.Version, error) {
	b, version, err := v.Store.Read(ctx, key)
	if errors.Is(err, storage.ErrNotFound) {
		return v.bucket.Read(ctx, key)
	}
	return b, version, err
}

// List lists what is in either.
func (v view) List(ctx context.Context, prefix string) ([]storage.Info, error) {
	here, err := v.Store.List(ctx, prefix)
	if err != nil {
		return nil, err
	}
	there, err := v.bucket.List(ctx, prefix)
	if err != nil {
		return nil, err
	}
	all := slices.Concat(here, there)
	all = slices.DeleteFunc(all, func(i storage.Info) bool { return own(i.Key) })
	slices.SortStableFunc(all, func(a, b storage.Info) int { return strings.Compare(a.Key, b.Key) })
	return slices.CompactFunc(all, func(a, b storage.Info) bool { return a.Key == b.Key }), nil
}
