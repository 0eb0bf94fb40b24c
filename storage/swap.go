package storage

import (
	"context"
	"errors"
	"fmt"
)

// swapUntil writes what next makes of an object over the version that it was made of,
// and has it made anew while another writer is faster. tried begins its errors, those
// of next excepted.
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
