package storage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// usageRecord is a copy of what Redis counts and would lose with its data.
type usageRecord struct {
	Version   int64           `json:"version"`
	Usage     json.RawMessage `json:"usage"`
	UpdatedAt time.Time       `json:"updated_at"`
}

// Usage keeps a copy of how often lessons answered, and of the runs of the checks.
// Redis has the current figures; the copy is some minutes old.
type Usage struct {
	store Store
	now   func() time.Time
}

// NewUsage returns the usage record of a store; now may be nil.
func NewUsage(store Store, now func() time.Time) *Usage {
	if now == nil {
		now = time.Now
	}
	return &Usage{store: store, now: now}
}

// Read returns what was kept last, as JSON; nil before the first Keep. ErrCorrupt:
// the record is damaged.
func (u *Usage) Read(ctx context.Context) (json.RawMessage, error) {
	r, _, err := u.read(ctx)
	return r.Usage, err
}

func (u *Usage) read(ctx context.Context) (usageRecord, Version, error) {
	return readSealed[usageRecord](ctx, u.store, UsageKey, kindUsage, "read the usage of lessons")
}

// Keep replaces what was kept. A damaged record is written over, since Redis still
// has the figures. ErrTooLarge: usage has more than MaxRecord bytes.
func (u *Usage) Keep(ctx context.Context, usage json.RawMessage) error {
	return swapUntil(ctx, u.store, UsageKey, "keep the usage of lessons", func() ([]byte, Version, error) {
		r, version, err := u.read(ctx)
		if err != nil && !errors.Is(err, ErrCorrupt) {
			return nil, version, err
		}
		b, err := seal(kindUsage, usageRecord{Version: r.Version + 1, Usage: usage, UpdatedAt: u.now().UTC().Round(0)})
		if err == nil && len(b) > MaxRecord {
			err = fmt.Errorf("keep the usage of lessons: %w", ErrTooLarge)
		}
		return b, version, err
	})
}
