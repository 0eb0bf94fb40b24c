package presence

import (
	"context"
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/nexus-continuum/nexus/queue"
	"github.com/nexus-continuum/nexus/queue/provider"
	"github.com/nexus-continuum/nexus/queue/provider/providertest"
	"github.com/nexus-continuum/nexus/queue/provider/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bundle is a Redis and the presence of one process on it.
type bundle struct {
	*testing.T
	ctx      context.Context
	provided *provider.Provider
	here     *Presence
}

// eachMode runs a test on every Redis that this machine has.
func eachMode(t *testing.T, test func(t *bundle)) {
	t.Helper()
	providertest.EachMode(t, func(t *testing.T, mode string) { test(setup(t, provider.Options{Mode: mode})) })
}

func setup(t *testing.T, opt provider.Options) *bundle {
	t.Helper()
	b := &bundle{T: t}
	b.ctx, b.provided = providertest.Start(t, opt)
	b.here, _ = b.open()
	return b
}

// open makes the presence of one more process, as it were, with a connection of its own.
func (b *bundle) open() (*Presence, *queue.Queue) {
	b.Helper()
	q := queue.Open(queue.Options{Redis: b.provided.Client(), Asynq: b.provided.Asynq(), Timeout: 20 * time.Second})
	p := New(Options{Redis: b.provided.Client(), Listener: q, Timeout: 20 * time.Second})
	for _, part := range []interface {
		Start(ctx context.Context) error
		Stop(ctx context.Context) error
	}{q, p} {
		if err := part.Start(b.ctx); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() {
			if err := part.Stop(context.Background()); err != nil {
				b.Error(err)
			}
		})
	}
	return p, q
}

// until polls what another process does, with the test's own deadline.
func (b *bundle) until(what string, ok func() bool) {
	b.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-b.ctx.Done():
			b.Fatalf("never happened: %s", what)
		}
	}
}

// On a Cluster all scripts keep to one slot.
func TestBeatsOnACluster(t *testing.T) {
	t.Parallel()
	b := setup(t, provider.Options{URL: redistest.StartCluster(t, 3).URL})
	if err := b.here.Beat(b.ctx, "me", []byte("alive"), time.Minute); err != nil {
		t.Fatal(err)
	}
	if beats, err := b.here.Beats(b.ctx); err != nil || string(beats["me"]) != "alive" {
		t.Errorf("beats %v, %v", beats, err)
	}
	if err := b.here.Remove(b.ctx, "me"); err != nil {
		t.Error(err)
	}
}

// A roll call returns when every process has beaten again.
func TestRollCallWaitsForTheBeats(t *testing.T) {
	eachMode(t, func(t *bundle) {
		other, _ := t.open()
		n := 0
		other.OnRollCall(t.ctx, func(ctx context.Context) {
			n++
			if err := other.Beat(ctx, "other", fmt.Appendf(nil, `{"n":%d}`, n), time.Minute); err != nil {
				t.Error(err)
			}
		})
		t.here.OnRollCall(t.ctx, func(context.Context) { t.Error("a process answered its own call") })
		for i := range 3 {
			t.until("the call was answered in time", func() bool { // it waits only briefly
				t.here.RollCall(t.ctx, 2)
				beats, err := t.here.Beats(t.ctx)
				return err == nil && len(beats) == 1 && len(beats["other"]) > 0
			})
			if beats, err := t.here.Beats(t.ctx); err != nil || string(beats["other"]) < fmt.Sprintf(`{"n":%d}`, i+1) {
				t.Errorf("after call %d the beats are %q, %v", i+1, beats, err)
			}
		}
	})
}

// What a process counted stays in the totals when it has ended, or seemed to have.
func TestTotalsOutliveProcesses(t *testing.T) {
	eachMode(t, func(t *bundle) {
		beat := func(id string, requests, untaught int, ttl time.Duration) {
			t.Helper()
			body := fmt.Sprintf(`{"id":%q,"total":{"requests":%d,"failed":0,"refusals":{"untaught":%d}},"latency":""}`, id, requests, untaught)
			if err := t.here.Beat(t.ctx, id, []byte(body), ttl); err != nil {
				t.Fatal(err)
			}
		}
		total := func() (living int, requests, untaught int64) {
			t.Helper()
			beats, past, err := t.here.BeatsAndPast(t.ctx)
			if err != nil {
				t.Fatal(err)
			}
			return len(beats), past["requests"], past["refusals:untaught"]
		}
		beat("stops", 20, 3, time.Minute)
		beat("silent", 5, 1, time.Millisecond)
		t.until("one is silent", func() bool { living, _, _ := total(); return living == 1 })
		if _, requests, untaught := total(); requests != 5 || untaught != 1 {
			t.Errorf("of the silent one %d requests and %d refusals are known", requests, untaught)
		}
		if err := t.here.Remove(t.ctx, "stops"); err != nil {
			t.Fatal(err)
		}
		if living, requests, untaught := total(); living != 0 || requests != 25 || untaught != 4 {
			t.Errorf("%d live, of the ended ones %d requests and %d refusals are known", living, requests, untaught)
		}
		beat("silent", 9, 1, time.Minute) // it was only slow, and counts for itself again
		if living, requests, untaught := total(); living != 1 || requests != 20 || untaught != 3 {
			t.Errorf("%d live, of the ended one %d requests and %d refusals are known", living, requests, untaught)
		}
	})
}

// A killed process is no longer listed, long before its beat runs out. One that is only
// slow stays, because it still listens.
func TestKilledProcessesAreNoLongerListed(t *testing.T) {
	t.Parallel()
	b := setup(t, provider.Options{Mode: provider.Child})
	killed, connection := b.open()
	for id, p := range map[string]*Presence{"slow": b.here, "killed": killed} {
		if err := p.Beat(b.ctx, id, []byte(`{"total":{"requests":7}}`), time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	if beats, err := b.here.Beats(b.ctx); err != nil || len(beats) != 2 {
		t.Fatalf("beats %v, error %v", beats, err)
	}
	if err := connection.Stop(b.ctx); err != nil { // the end of a process closes its connections
		t.Fatal(err)
	}
	b.until("the killed process is gone", func() bool {
		beats, past, err := b.here.BeatsAndPast(b.ctx)
		return err == nil && len(beats) == 1 && beats["slow"] != nil && past["requests"] == 7
	})
}

func TestBeats(t *testing.T) {
	eachMode(t, func(t *bundle) {
		p := t.here
		for id, ttl := range map[string]time.Duration{"a": time.Minute, "b": 500 * time.Millisecond} {
			if err := p.Beat(t.ctx, id, []byte(`{"busy":1}`), ttl); err != nil {
				t.Fatal(err)
			}
		}
		beats, err := p.Beats(t.ctx)
		if err != nil || len(beats) != 2 || string(beats["a"]) != `{"busy":1}` {
			t.Fatalf("beats %v, error %v", beats, err)
		}
		t.until("one has fallen silent", func() bool {
			beats, err = p.Beats(t.ctx)
			return err == nil && len(beats) == 1 && beats["a"] != nil
		})
		if err := p.Remove(t.ctx, "a"); err != nil {
			t.Fatal(err)
		}
		if beats, err = p.Beats(t.ctx); err != nil || len(beats) != 0 {
			t.Errorf("beats %v, error %v", beats, err)
		}
	})
}
