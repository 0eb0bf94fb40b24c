package heartbeat

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestPulseBeatsAtOnceAndAgain(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	beats := make(chan Beat, 16)
	fail := true
	var withdrawn []string
	r := New(Options{ID: "me", Roles: []string{RoleWorker}})
	p := NewPulse(r, NewResources(nil), func(_ context.Context, id string, payload []byte, ttl time.Duration) error {
		if fail {
			fail = false
			return errors.New("the line is down")
		}
		var b Beat
		if err := json.Unmarshal(payload, &b); err != nil {
			return err
		}
		if id != b.ID || ttl < 10*time.Millisecond {
			t.Errorf("beat %s sent as %s for %v", b.ID, id, ttl)
		}
		beats <- b
		return nil
	}, func(_ context.Context, id string) error {
		withdrawn = append(withdrawn, id)
		return nil
	}, nil)
	p.interval = 5 * time.Millisecond
	if err := p.Stop(t.Context()); err != nil {
		t.Errorf("stop before start: %v", err)
	}
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		select {
		case b := <-beats:
			if !b.Has(RoleWorker) || b.StartedAt == nil {
				t.Errorf("beat %+v", b)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("no beat after the first was lost")
		}
	}
	for range 2 {
		if err := p.Stop(t.Context()); err != nil {
			t.Errorf("stop: %v", err)
		}
	}
	if len(withdrawn) == 0 || withdrawn[0] != "me" {
		t.Errorf("withdrawn: %q", withdrawn)
	}
}
