package storage_test

import (
	"fmt"
	"math"
	"sync"
	"testing"

	"github.com/nexus-continuum/nexus/storage"
)

func TestControl(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c, err := b.control.Read(t.Context())
	if err != nil || c != (storage.Control{Training: true}) {
		t.Errorf("Read before any update = %+v, %v; want running and training", c, err)
	}
	set, err := b.control.Update(t.Context(), func(c *storage.Control) {
		c.Paused, c.Training, c.Topic, c.TargetError = true, false, "support", 0.02
	})
	if err != nil || set.Version != 1 || set.UpdatedAt.IsZero() {
		t.Errorf("Update = %+v, %v", set, err)
	}
	if got, err := b.again(t).control.Read(t.Context()); err != nil || got != set {
		t.Errorf("after a restart Read = %+v, %v; want %+v", got, err, set)
	}
	if same, err := b.control.Update(t.Context(), func(c *storage.Control) { c.Paused = true }); err != nil || same != set {
		t.Errorf("an update that changes nothing gives %+v, %v; want %+v", same, err, set)
	}
	if _, err := b.control.Update(t.Context(), func(c *storage.Control) { c.TargetError = math.NaN() }); err == nil {
		t.Error("a target error that is no number is taken")
	}
}

func TestControlUpdatesAreNotLost(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var group sync.WaitGroup
	for range 8 {
		control := b.again(t).control
		group.Go(func() {
			if _, err := control.Update(t.Context(), func(c *storage.Control) { c.Topic += "x" }); err != nil {
				t.Errorf("Update: %v", err)
			}
		})
	}
	group.Wait()
	if c, err := b.control.Read(t.Context()); err != nil || c.Topic != "xxxxxxxx" || c.Version != 8 {
		t.Errorf("after 8 updates at once: %s, %v", fmt.Sprintf("%+v", c), err)
	}
}
