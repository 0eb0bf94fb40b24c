package storage

import (
	"context"
	"fmt"
	"io"
)

// ReadOnly returns s without its writes. A reader of a store that others serve from
// must not set anything aside or repair a head. Writes return ErrReadOnly.
func ReadOnly(s Store) Store { return readOnly{s} }

type readOnly struct{ Store }

func (r readOnly) refuse(tried, key string) error {
	return fmt.Errorf("%s %s in %s: opened for reading only: %w", tried, key, r, ErrReadOnly)
}

// Put refuses.
func (r readOnly) Put(_ context.Context, key string, _ *io.SectionReader) error {
	return r.refuse("write", key)
}

// Delete refuses.
func (r readOnly) Delete(_ context.Context, key string) error { return r.refuse("delete", key) }

// Move refuses.
func (r readOnly) Move(_ context.Context, from, _ string) error { return r.refuse("move", from) }

// Swap refuses.
func (r readOnly) Swap(_ context.Context, key string, _ Version, _ []byte) (Version, error) {
	return Absent, r.refuse("swap", key)
}
