package queue

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/queue/provider"
)

func TestPublishReachesEveryProcess(t *testing.T) {
	eachMode(t, func(t *bundle) {
		ctx, cancel := context.WithCancel(t.ctx)
		here, there := t.q.Subscribe(ctx, "checkpoint"), t.open(Options{}).Subscribe(ctx, "checkpoint")
		elsewhere := t.q.Subscribe(ctx, "control")
		if err := t.q.Publish(t.ctx, "checkpoint", "c1"); err != nil {
			t.Fatal(err)
		}
		for _, c := range []<-chan string{here, there} {
			if msg := <-c; msg != "c1" {
				t.Errorf("message is %q", msg)
			}
		}
		cancel()
		for msg := range elsewhere {
			t.Errorf("another channel got %q", msg)
		}
		for range here {
		}
	})
}

// The connection of the subscription is cut: a listener is told that it may
// have missed something, and hears what follows.
func TestSubscriptionOutlivesItsConnection(t *testing.T) {
	eachMode(t, func(t *bundle) {
		if t.provided.Name != "child" {
			return // miniredis cannot cut a connection
		}
		c := t.q.Subscribe(t.ctx, "checkpoint")
		if err := t.q.redis.Do(t.ctx, "CLIENT", "KILL", "TYPE", "pubsub").Err(); err != nil {
			t.Fatal(err)
		}
		if msg := <-c; msg != "" {
			t.Errorf("message is %q", msg)
		}
		if err := t.q.Publish(t.ctx, "checkpoint", "c2"); err != nil {
			t.Fatal(err)
		}
		if msg := <-c; msg != "c2" {
			t.Errorf("message is %q", msg)
		}
	})
}

func TestSlowSubscriberLosesTheOldest(t *testing.T) {
	eachMode(t, func(t *bundle) {
		c := t.q.Subscribe(t.ctx, "control")
		for range 100 {
			if err := t.q.Publish(t.ctx, "control", "old"); err != nil {
				t.Fatal(err)
			}
		}
		if err := t.q.Publish(t.ctx, "control", "newest"); err != nil {
			t.Fatal(err)
		}
		for msg := range c {
			if msg == "newest" {
				break
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
			if err := t.q.Beat(t.ctx, id, []byte(body), ttl); err != nil {
				t.Fatal(err)
			}
		}
		total := func() (living int, requests, untaught int64) {
			t.Helper()
			beats, past, err := t.q.BeatsAndPast(t.ctx)
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
		if err := t.q.Unbeat(t.ctx, "stops"); err != nil {
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
	b := setup(t, provider.Child, Options{})
	killed := b.open(Options{})
	for id, q := range map[string]*Queue{"slow": b.q, "killed": killed} {
		if err := q.Beat(b.ctx, id, []byte(`{"total":{"requests":7}}`), time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	if beats, err := b.q.Beats(b.ctx); err != nil || len(beats) != 2 {
		t.Fatalf("beats %v, error %v", beats, err)
	}
	killed.subscriber.close() // the end of a process closes its connections
	b.until("the killed process is gone", func() bool {
		beats, past, err := b.q.BeatsAndPast(b.ctx)
		return err == nil && len(beats) == 1 && beats["slow"] != nil && past["requests"] == 7
	})
}

func TestBeats(t *testing.T) {
	eachMode(t, func(t *bundle) {
		q := t.q
		for id, ttl := range map[string]time.Duration{"a": time.Minute, "b": 500 * time.Millisecond} {
			if err := q.Beat(t.ctx, id, []byte(`{"busy":1}`), ttl); err != nil {
				t.Fatal(err)
			}
		}
		beats, err := q.Beats(t.ctx)
		if err != nil || len(beats) != 2 || string(beats["a"]) != `{"busy":1}` {
			t.Fatalf("beats %v, error %v", beats, err)
		}
		t.until("one has fallen silent", func() bool {
			beats, err = q.Beats(t.ctx)
			return err == nil && len(beats) == 1 && beats["a"] != nil
		})
		if err := q.Unbeat(t.ctx, "a"); err != nil {
			t.Fatal(err)
		}
		if beats, err = q.Beats(t.ctx); err != nil || len(beats) != 0 {
			t.Errorf("beats %v, error %v", beats, err)
		}
	})
}
