package storage

import (
	"context"
	"errors"
	"fmt"
)

// swapUntil calls next for the new content of an object and writes it over the version
// that next read. If another writer is faster, it calls next again, up to maxSwaps
// times. tried is the start of its error messages; errors of next are returned
// unchanged.
func swapUntil(ctx context.Context, store Store, key, tried string, next func() ([]byte, Version, error)) error {
	for range maxSwaps {
		b, version, err := next()
		if err != nil {
			return err
		}
		if _, err = store.Swap(ctx, key, version, b); err == nil {
			return nil
		}
		if !errors.Is(err, ErrConflict) {
			return fmt.Errorf("%s: %w", tried, err)
		}
	}
	return fmt.Errorf("%s: %d times %w", tried, maxSwaps, ErrConflict)
}

// readSealed returns the record of a kind that lies under key, and its version: the
// zero record and Absent before the first write. tried begins its errors. ErrCorrupt:
// the record is damaged; its version is returned, so that it can be written over.
func readSealed[T any](ctx context.Context, store Store, key, kind, tried string) (record T, version Version, err error) {
	b, version, err := store.Read(ctx, key)
	if errors.Is(err, ErrNotFound) {
		return record, Absent, nil
	}
	if err != nil {
		return record, Absent, fmt.Errorf("%s: %w", tried, err)
	}
	if err := unseal(b, kind, &record); err != nil {
		var none T
		return none, version, fmt.Errorf("%s (%s in the storage folder): %w", tried, key, err)
	}
	return record, version, nil
}
