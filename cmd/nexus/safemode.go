package main

import (
	"context"
	"fmt"

	"github.com/nexus-continuum/nexus/storage"
)

// safeMode pauses learning where NEXUS_PAUSED is set. The next start of the same
// role without it lets learning go on; what an operator paused stays paused.
func (s *shared) safeMode(ctx context.Context, role string) error {
	if s.settings.Paused {
		_, err := s.control.Update(ctx, func(c *storage.Control) {
			if !c.Paused {
				c.Paused, c.PausedBy = true, role
			}
		})
		if err != nil {
			return fmt.Errorf("NEXUS_PAUSED: write the control record: %w", err)
		}
		return nil
	}
	now, err := s.control.Read(ctx)
	if err == nil && now.Paused && now.PausedBy == role {
		_, err = s.control.Update(ctx, func(c *storage.Control) {
			if c.PausedBy == role {
				c.Paused, c.PausedBy = false, ""
			}
		})
		if err == nil {
			s.log.Info("NEXUS_PAUSED is no longer set: learning goes on")
		}
	}
	if err != nil {
		// A storage that is away is no reason not to serve; learning stays paused.
		s.log.Warn("cannot see whether NEXUS_PAUSED paused learning before", "error", err)
	}
	return nil
}
