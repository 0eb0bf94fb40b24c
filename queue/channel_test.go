package queue

import (
	"context"
	"testing"
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
