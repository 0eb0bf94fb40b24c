package storage

import (
	"context"
	"fmt"
	"time"
)

// Check is a prompt with the answer that it should get. It is asked after each change
// of the lessons.
type Check struct {
	ID     string `json:"id"`
	Topic  string `json:"topic,omitempty"`
	Prompt string `json:"prompt"`
	// Expected is the response; nil means that the prompt should be refused.
	Expected  *string   `json:"expected"`
	CreatedAt time.Time `json:"created_at"`
}

// checkRecord is all of them.
type checkRecord struct {
	Version   int64     `json:"version"`
	Checks    []Check   `json:"checks"`
	UpdatedAt time.Time `json:"updated_at"`
}

// Checks keeps the checks of a store in one record.
type Checks struct {
	store Store
	now   func() time.Time
}

// NewChecks returns the checks of a store; now may be nil.
func NewChecks(store Store, now func() time.Time) *Checks {
	if now == nil {
		now = time.Now
	}
	return &Checks{store: store, now: now}
}

// List returns all checks, with one small read. It returns ErrCorrupt if the record is
// damaged.
func (c *Checks) List(ctx context.Context) ([]Check, error) {
	r, _, err := c.read(ctx)
	return r.Checks, err
}

func (c *Checks) read(ctx context.Context) (checkRecord, Version, error) {
	return readSealed[checkRecord](ctx, c.store, ChecksKey, kindChecks, "read the checks")
}

// Update applies change to the checks and returns the new list. If another process
// writes first, Update calls change again on the new record. It returns ErrTooLarge if
// there is no room for so many checks.
func (c *Checks) Update(ctx context.Context, change func([]Check) ([]Check, error)) (now []Check, err error) {
	err = swapUntil(ctx, c.store, ChecksKey, "update the checks", func() ([]byte, Version, error) {
		r, version, err := c.read(ctx)
		if err != nil {
			return nil, version, err
		}
		if now, err = change(r.Checks); err != nil {
			return nil, version, err
		}
		r.Checks = now
		r.Version++
		r.UpdatedAt = c.now().UTC().Round(0)
		b, err := seal(kindChecks, r)
		if err == nil && len(b) > MaxRecord {
			err = fmt.Errorf("update the checks: %w", ErrTooLarge)
		}
		return b, version, err
	})
	if err != nil {
		return nil, err
	}
	return now, nil
}
