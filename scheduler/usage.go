package scheduler

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/telemetry/interaction"
)

// usageEvery is how often the counts of Redis are copied to the storage.
const usageEvery = 2 * time.Minute

// Usage keeps a copy of what Redis counts; *storage.Usage is one.
type Usage interface {
	Read(ctx context.Context) (json.RawMessage, error)
	Keep(ctx context.Context, usage json.RawMessage) error
}

// usage gives a Redis that lost its data the counts that were copied last, and copies
// them anew every usageEvery.
func (s *Scheduler) usage(ctx context.Context) error {
	if s.opt.Usage == nil {
		return nil
	}
	now, known, err := s.opt.Interactions.Usage(ctx)
	if err != nil {
		return err
	}
	if !known {
		var kept interaction.Usage
		raw, err := s.opt.Usage.Read(ctx)
		if err != nil && !errors.Is(err, storage.ErrCorrupt) {
			return err
		}
		if err == nil && raw != nil {
			err = json.Unmarshal(raw, &kept)
		}
		if err != nil {
			s.opt.Log.Warn("how often lessons answered is counted from now on, since the copy is damaged", "error", err)
		}
		return s.opt.Interactions.RestoreUsage(ctx, kept)
	}
	raw, err := json.Marshal(now)
	if err != nil || bytes.Equal(raw, s.kept) {
		return err
	}
	if err := s.opt.Usage.Keep(ctx, raw); err != nil {
		return err
	}
	s.kept = raw
	return nil
}
