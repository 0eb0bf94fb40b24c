package storage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"
)

// Control holds an operator's settings for the whole cluster. It survives restarts.
type Control struct {
	// Version counts the updates; 0 is the state before the first.
	Version int64 `json:"version"`
	// Paused holds back every train job; serving goes on.
	Paused bool `json:"paused"`
	// PausedBy is the role of the process whose setting paused training; empty if an
	// operator paused it.
	PausedBy string `json:"paused_by,omitempty"`
	// Training is false after train_stop: lessons are memorised, and no gradient
	// steps are taken until train_start.
	Training bool `json:"training"`
	// Topic is the topic of the last train_start; empty means all topics.
	Topic string `json:"topic,omitempty"`
	// TargetError is the share of wrong answers to aim for; 0 means the configured one.
	TargetError float64   `json:"target_error,omitempty"`
	UpdatedAt   time.Time `json:"updated_at"`
}

// maxTopic limits the length of Control.Topic in bytes.
const maxTopic = 1024

// ControlOptions configure ControlRecord.
type ControlOptions struct {
	Log *slog.Logger
	Now func() time.Time
}

// ControlRecord keeps one Control in a store.
type ControlRecord struct {
	store Store
	opt   ControlOptions
}

// NewControl returns the control record of a store.
func NewControl(store Store, opt ControlOptions) *ControlRecord {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	return &ControlRecord{store: store, opt: opt}
}

// Read returns the record, with one small read. Before the first Update it is running
// and training. It returns ErrCorrupt if the record is damaged; the next Update sets a
// damaged record aside.
func (r *ControlRecord) Read(ctx context.Context) (Control, error) {
	c, _, err := r.read(ctx)
	return c, err
}

func (r *ControlRecord) read(ctx context.Context) (Control, Version, error) {
	b, version, err := r.store.Read(ctx, ControlKey)
	if errors.Is(err, ErrNotFound) {
		return Control{Training: true}, Absent, nil
	}
	if err != nil {
		return Control{}, Absent, fmt.Errorf("read the control record: %w", err)
	}
	c, err := decodeControl(b)
	if err != nil {
		return Control{}, version, fmt.Errorf("read the control record: %w", err)
	}
	return c, version, nil
}

func decodeControl(b []byte) (Control, error) {
	var c Control
	if err := unseal(b, kindControl, &c); err != nil {
		return Control{}, err
	}
	if c.Version < 1 || len(c.Topic) > maxTopic || !(c.TargetError >= 0 && c.TargetError <= 1) {
		return Control{}, fmt.Errorf("%w: control record holds impossible values", ErrCorrupt)
	}
	return c, nil
}

// Update applies change to the record. If another process writes first, Update calls
// change again on the new record. It returns the new record, or the present one if
// change alters nothing.
func (r *ControlRecord) Update(ctx context.Context, change func(*Control)) (Control, error) {
	for range maxSwaps {
		now, version, err := r.read(ctx)
		if errors.Is(err, ErrCorrupt) {
			if now, version, err = r.quarantine(ctx); errors.Is(err, ErrNotFound) {
				continue
			}
		}
		if err != nil {
			return Control{}, err
		}
		next := now
		change(&next)
		next.Version, next.UpdatedAt = now.Version, now.UpdatedAt
		if next == now && version != Absent {
			return now, nil
		}
		next.Version++
		next.UpdatedAt = r.opt.Now().UTC().Round(0)
		if len(next.Topic) > maxTopic || math.IsNaN(next.TargetError) || next.TargetError < 0 || next.TargetError > 1 {
			return Control{}, fmt.Errorf("update the control record: topic of %d bytes, target error %v: out of range", len(next.Topic), next.TargetError)
		}
		b, err := seal(kindControl, next)
		if err != nil {
			return Control{}, err
		}
		_, err = r.store.Swap(ctx, ControlKey, version, b)
		if err == nil {
			return next, nil
		}
		if !errors.Is(err, ErrConflict) {
			return Control{}, fmt.Errorf("update the control record: %w", err)
		}
	}
	return Control{}, fmt.Errorf("update the control record: %d times %w", maxSwaps, ErrConflict)
}

// quarantine sets a record aside if a second read also finds it damaged. A paused cluster
// then runs again, so this is logged prominently.
func (r *ControlRecord) quarantine(ctx context.Context) (Control, Version, error) {
	c, version, err := r.read(ctx)
	if !errors.Is(err, ErrCorrupt) {
		return c, version, err
	}
	if moved := r.store.Move(ctx, ControlKey, Corrupted+ControlKey); moved != nil {
		return Control{}, Absent, fmt.Errorf("set the control record aside: %w", errors.Join(moved, err))
	}
	r.opt.Log.Error("the control record is damaged; set aside, defaults hold: not paused, training on", "why", err, "moved_to", Corrupted+ControlKey)
	return Control{Training: true}, Absent, nil
}
