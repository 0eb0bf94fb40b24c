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
