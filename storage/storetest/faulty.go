package storetest

import (
	"context"
	"errors"
	"io"

	"github.com/nexus-continuum/nexus/storage"
)

// Faulty is a store that asks step before and after each operation and fails
// with the error that it gives. An operation that fails before has not
// happened; one that fails after has, and only its answer is lost.
type Faulty struct {
	storage.Store
	step func(op string) error
}

// NewFaulty puts step around every operation of s.
func NewFaulty(s storage.Store, step func(op string) error) *Faulty {
	return &Faulty{Store: s, step: step}
}

func around[T any](f *Faulty, op string, do func() (T, error)) (T, error) {
	var zero T
	if err := f.step(op + " before"); err != nil {
		return zero, err
	}
	v, err := do()
	if lost := f.step(op + " after"); lost != nil {
		if c, ok := any(v).(io.Closer); ok && err == nil {
			err = c.Close()
		}
		return zero, errors.Join(lost, err)
	}
	return v, err
}

type none struct{}

// Put fails around the store's.
func (f *Faulty) Put(ctx context.Context, key string, body *io.SectionReader) error {
	_, err := around(f, "put "+key, func() (none, error) { return none{}, f.Store.Put(ctx, key, body) })
	return err
}

// Get fails around the store's.
func (f *Faulty) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	return around(f, "get "+key, func() (io.ReadCloser, error) { return f.Store.Get(ctx, key) })
}

// Stat fails around the store's.
func (f *Faulty) Stat(ctx context.Context, key string) (storage.Info, error) {
	return around(f, "stat "+key, func() (storage.Info, error) { return f.Store.Stat(ctx, key) })
}

// List fails around the store's.
func (f *Faulty) List(ctx context.Context, prefix string) ([]storage.Info, error) {
	return around(f, "list "+prefix, func() ([]storage.Info, error) { return f.Store.List(ctx, prefix) })
}

// Delete fails around the store's.
func (f *Faulty) Delete(ctx context.Context, key string) error {
	_, err := around(f, "delete "+key, func() (none, error) { return none{}, f.Store.Delete(ctx, key) })
	return err
}

// Move fails around the store's.
func (f *Faulty) Move(ctx context.Context, from, to string) error {
	_, err := around(f, "move "+from, func() (none, error) { return none{}, f.Store.Move(ctx, from, to) })
	return err
}

// Read fails around the store's.
func (f *Faulty) Read(ctx context.Context, key string) ([]byte, storage.Version, error) {
	type record struct {
		b []byte
		v storage.Version
	}
	r, err := around(f, "read "+key, func() (record, error) {
		b, v, err := f.Store.Read(ctx, key)
		return record{b, v}, err
	})
	return r.b, r.v, err
}

// Swap fails around the store's.
func (f *Faulty) Swap(ctx context.Context, key string, old storage.Version, body []byte) (storage.Version, error) {
	return around(f, "swap "+key, func() (storage.Version, error) { return f.Store.Swap(ctx, key, old, body) })
}
