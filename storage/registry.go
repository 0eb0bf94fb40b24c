package storage

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"
)

// Registry holds what the cluster records about its checkpoints outside of their
// manifests.
type Registry struct {
	// Version counts the updates.
	Version int64 `json:"version"`
	// Challenger is the id of the checkpoint that answers in the shadow; empty if there
	// is none.
	Challenger string `json:"challenger,omitempty"`
	// Verified says when each checkpoint was last read in full and found intact.
	Verified map[string]time.Time `json:"verified,omitempty"`
	// Failing lists checkpoints that are intact but were taken back because they failed
	// in service.
	Failing map[string]Failing `json:"failing,omitempty"`
}

// Failing says when and why a checkpoint was taken back.
type Failing struct {
	At  time.Time `json:"at"`
	Why string    `json:"why"`
}

// Registry returns the record, with one small read. A damaged record counts as empty,
// because everything in it can be found out or set again.
func (c *Checkpoints) Registry(ctx context.Context) (Registry, error) {
	r, _, err := c.readRegistry(ctx)
	return r, err
}

func (c *Checkpoints) readRegistry(ctx context.Context) (Registry, Version, error) {
	b, version, err := c.store.Read(ctx, RegistryKey)
	if errors.Is(err, ErrNotFound) {
		return Registry{}, Absent, nil
	}
	if err != nil {
		return Registry{}, Absent, fmt.Errorf("read the registry of checkpoints: %w", err)
	}
	var r Registry
	if err := unseal(b, kindRegistry, &r); err != nil {
		if errors.Is(err, errNewer) {
			return Registry{}, Absent, fmt.Errorf("read the registry of checkpoints: %w", err)
		}
		c.opt.Log.Warn("the registry of checkpoints is damaged; it begins anew", "error", err)
		return Registry{}, version, nil
	}
	return r, version, nil
}

// SetChallenger sets the checkpoint that answers in the shadow; empty means none. It
// returns ErrNotFound or ErrCorrupt if the checkpoint cannot be used.
func (c *Checkpoints) SetChallenger(ctx context.Context, id string) error {
	if id != "" {
		if err := c.Verify(ctx, id); err != nil {
			return err
		}
	}
	return c.register(ctx, func(r *Registry) {
		r.Challenger = id
		if id != "" {
			r.Verified[id] = c.now()
		}
	})
}

// noteVerified records that checkpoints were found intact, and drops those that are
// gone.
func (c *Checkpoints) noteVerified(ctx context.Context, whole, kept []string) error {
	return c.register(ctx, func(r *Registry) {
		for _, id := range whole {
			r.Verified[id] = c.now()
		}
		have := make(map[string]bool, len(kept))
		for _, id := range kept {
			have[id] = true
		}
		maps.DeleteFunc(r.Verified, func(id string, _ time.Time) bool { return !have[id] })
		maps.DeleteFunc(r.Failing, func(id string, _ Failing) bool { return !have[id] })
	})
}

func (c *Checkpoints) register(ctx context.Context, change func(*Registry)) error {
	return swapUntil(ctx, c.store, RegistryKey, "update the registry of checkpoints", func() ([]byte, Version, error) {
		r, version, err := c.readRegistry(ctx)
		if err != nil {
			return nil, version, err
		}
		if r.Verified == nil {
			r.Verified = map[string]time.Time{}
		}
		change(&r)
		r.Version++
		b, err := seal(kindRegistry, r)
		return b, version, err
	})
}
