package mirror

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nexus-continuum/nexus/storage"
)

// Repair implements storage.Repairer: it reads an object here and in the bucket
// and makes the damaged one whole from the other.
func (s *Store) Repair(ctx context.Context, key string) (fixed bool, err error) {
	here := verify(ctx, s.local, key)
	if here != nil && !errors.Is(here, storage.ErrNotFound) && !errors.Is(here, storage.ErrCorrupt) {
		return false, here
	}
	there := verify(ctx, s.remote, key)
	switch {
	case here == nil && there == nil, errors.Is(here, storage.ErrNotFound) && there == nil:
		return false, nil
	case here == nil && errors.Is(there, storage.ErrNotFound):
		// A dataset or a checkpoint that is not there waits or was deleted; a part
		// that a checkpoint here names belongs there.
		if !strings.HasPrefix(key, partsPrefix) {
			return false, nil
		}
		return s.refill(ctx, s.local, s.remote, key)
	case here == nil && errors.Is(there, storage.ErrCorrupt):
		return s.refill(ctx, s.local, s.remote, key)
	case here == nil:
		return false, nil // the bucket is away; what is here is good
	case errors.Is(here, storage.ErrCorrupt) && there == nil:
		return s.refill(ctx, s.remote, s.local, key)
	case errors.Is(here, storage.ErrNotFound) && errors.Is(there, storage.ErrNotFound):
		return false, there
	case errors.Is(there, storage.ErrNotFound):
		return false, here
	}
	return false, there
}

func (s *Store) refill(ctx context.Context, from, to storage.Store, key string) (bool, error) {
	if err := transfer(ctx, from, to, key); err != nil {
		return false, fmt.Errorf("copy %s from %s to %s: %w", key, from, to, err)
	}
	s.opt.Log.Warn("a damaged object was made whole from the other store", "object", key, "from", from.String())
	return true, nil
}

// verify reads an object, twice before it calls it damaged.
func verify(ctx context.Context, s storage.Store, key string) error {
	err := tryVerify(ctx, s, key)
	if errors.Is(err, storage.ErrCorrupt) {
		err = tryVerify(ctx, s, key)
	}
	return err
}

func tryVerify(ctx context.Context, s storage.Store, key string) (err error) {
	object, err := s.Get(ctx, key)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, object.Close()) }()
	return storage.VerifyObject(key, object)
}
