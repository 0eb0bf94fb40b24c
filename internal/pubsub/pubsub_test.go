package pubsub

import (
	"context"
	"testing"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/nexus-continuum/nexus/queue/provider"
	"github.com/nexus-continuum/nexus/queue/provider/providertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bundle is a Redis and the bus of one process on it.
type bundle struct {
	*testing.T
	ctx   context.Context
	mode  string
	redis redis.UniversalClient
	bus   *Bus
}

// eachMode runs a test on every Redis that this machine has.
func eachMode(t *testing.T, test func(t *bundle)) {
	t.Helper()
	providertest.EachMode(t, func(t *testing.T, mode string) {
		b := &bundle{T: t, mode: mode}
		ctx, p := providertest.Start(t, provider.Options{Mode: mode})
		b.ctx, b.redis = ctx, p.Client()
		b.bus = b.open()
		test(b)
	})
}

// open makes one more process, as it were, on the same Redis.
func (b *bundle) open() *Bus {
	bus := New(b.redis, "nexus:", providertest.Timeout)
	b.Cleanup(bus.Stop)
	return bus
}

func TestPublishReachesEveryProcess(t *testing.T) {
	eachMode(t, func(t *bundle) {
		ctx, cancel := context.WithCancel(t.ctx)
		here, there := t.bus.Subscribe(ctx, "checkpoint"), t.open().Subscribe(ctx, "checkpoint")
		elsewhere := t.bus.Subscribe(ctx, "control")
		if err := t.bus.Publish(t.ctx, "checkpoint", "c1"); err != nil {
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
		if t.mode != provider.Child {
			return // miniredis cannot cut a connection
		}
		c := t.bus.Subscribe(t.ctx, "checkpoint")
		if err := t.redis.Do(t.ctx, "CLIENT", "KILL", "TYPE", "pubsub").Err(); err != nil {
			t.Fatal(err)
		}
		if msg := <-c; msg != "" {
			t.Errorf("message is %q", msg)
		}
		if err := t.bus.Publish(t.ctx, "checkpoint", "c2"); err != nil {
			t.Fatal(err)
		}
		if msg := <-c; msg != "c2" {
			t.Errorf("message is %q", msg)
		}
	})
}

func TestSlowSubscriberLosesTheOldest(t *testing.T) {
	eachMode(t, func(t *bundle) {
		c := t.bus.Subscribe(t.ctx, "control")
		for range 100 {
			if err := t.bus.Publish(t.ctx, "control", "old"); err != nil {
				t.Fatal(err)
			}
		}
		if err := t.bus.Publish(t.ctx, "control", "newest"); err != nil {
			t.Fatal(err)
		}
		for msg := range c {
			if msg == "newest" {
				break
			}
		}
	})
}

// A stopped bus ends its subscriptions, takes no more, and may be stopped again.
func TestStopEndsSubscriptions(t *testing.T) {
	eachMode(t, func(t *bundle) {
		c := t.bus.Subscribe(t.ctx, "control")
		t.bus.Stop()
		for msg := range c {
			t.Errorf("message is %q", msg)
		}
		for msg := range t.bus.Subscribe(t.ctx, "control") {
			t.Errorf("message is %q", msg)
		}
		t.bus.Listen(t.ctx, "nexus:control", func(string, bool) {})()
		t.bus.Stop()
	})
}
