package lease

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/nexus-continuum/nexus/internal/pubsub"
	"github.com/nexus-continuum/nexus/queue/provider"
	"github.com/nexus-continuum/nexus/queue/provider/providertest"
	"github.com/nexus-continuum/nexus/queue/provider/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bundle is a Redis and one process on it.
type bundle struct {
	*testing.T
	ctx   context.Context
	redis redis.UniversalClient
	opt   Options
}

// eachMode runs a test on every Redis that this machine has.
func eachMode(t *testing.T, test func(t *bundle)) {
	t.Helper()
	providertest.EachMode(t, func(t *testing.T, mode string) {
		ctx, p := providertest.Start(t, provider.Options{Mode: mode})
		b := &bundle{T: t, ctx: ctx, redis: p.Client()}
		b.opt = b.open(providertest.Timeout)
		test(b)
	})
}

// open makes one more process, as it were, on the same Redis.
func (b *bundle) open(timeout time.Duration) Options {
	bus := pubsub.New(b.redis, "nexus:", timeout)
	b.Cleanup(bus.Stop)
	return Options{Redis: b.redis, Bus: bus, Prefix: "nexus:", Timeout: timeout, Log: slog.New(slog.DiscardHandler)}
}

func (b *bundle) lease(name string, ttl time.Duration) *Lease { return New(b.opt, name, ttl) }

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

func (b *bundle) hold(l *Lease) int64 {
	b.Helper()
	token, ok, err := l.Acquire(b.ctx)
	if err != nil || !ok {
		b.Fatalf("not acquired: %v, %v", ok, err)
	}
	return token
}

func TestLeaseHasOneHolder(t *testing.T) {
	eachMode(t, func(t *bundle) {
		first, second := t.lease("trainer", 10*time.Second), New(t.open(providertest.Timeout), "trainer", 10*time.Second)
		token := t.hold(first)
		if again := t.hold(first); again != token {
			t.Errorf("acquired again with token %d, had %d", again, token)
		}
		if _, ok, err := second.Acquire(t.ctx); ok || err != nil {
			t.Fatalf("second holder: %v, %v", ok, err)
		}
		select {
		case <-second.Lost():
		default:
			t.Error("a lease that is not held is not lost")
		}
		if err := first.Release(t.ctx); err != nil {
			t.Fatal(err)
		}
		<-first.Lost()
		if next := t.hold(second); next <= token {
			t.Errorf("token %d does not rise over %d", next, token)
		}
		if err := first.Release(t.ctx); err != nil {
			t.Fatal(err)
		}
		if err := second.Renew(t.ctx); err != nil {
			t.Errorf("the former holder's release took it away: %v", err)
		}
		if err := second.Release(t.ctx); err != nil {
			t.Fatal(err)
		}
	})
}

func TestLeaseIsRenewedWhileHeld(t *testing.T) {
	eachMode(t, func(t *bundle) {
		l := t.lease("leader", 9*time.Second)
		t.hold(l)
		last := t.redis.PTTL(t.ctx, l.key("holder")).Val()
		t.until("its time is put forward", func() bool {
			left := t.redis.PTTL(t.ctx, l.key("holder")).Val()
			more := left > last // else it only falls
			last = left
			return more
		})
		if err := l.Release(t.ctx); err != nil {
			t.Fatal(err)
		}
		if n := t.redis.Exists(t.ctx, l.key("holder")).Val(); n != 0 {
			t.Error("it is still held")
		}
	})
}

// The key is deleted by hand, another takes the lease: the first notices, and
// its token is the lower one.
func TestLeaseLostToAnother(t *testing.T) {
	eachMode(t, func(t *bundle) {
		first, second := t.lease("leader", 300*time.Millisecond), t.lease("leader", 300*time.Millisecond)
		old := t.hold(first)
		if err := t.redis.FlushAll(t.ctx).Err(); err != nil {
			t.Fatal(err)
		}
		token := t.hold(second)
		if token <= old {
			t.Errorf("token %d does not rise over %d, even after a FLUSHALL", token, old)
		}
		<-first.Lost()
		if err := first.Renew(t.ctx); err == nil {
			t.Error("a lost lease was renewed")
		}
		for _, l := range []*Lease{first, second} {
			if err := l.Release(t.ctx); err != nil {
				t.Error(err)
			}
		}
	})
}

// The token rises also where the clock of Redis was put back: the last one counts.
func TestLeaseTokenRisesThoughTheClockWasPutBack(t *testing.T) {
	eachMode(t, func(t *bundle) {
		const last = int64(8_000_000_000_000_000) // the year 2223, in µs
		if err := t.redis.Set(t.ctx, t.lease("trainer", time.Second).key("fence"), last, 0).Err(); err != nil {
			t.Fatal(err)
		}
		l := t.lease("trainer", 10*time.Second)
		if token := t.hold(l); token <= last {
			t.Errorf("token %d does not rise over %d", token, last)
		}
		if err := l.Release(t.ctx); err != nil {
			t.Fatal(err)
		}
	})
}

// A holder that cannot renew knows of its loss when the time is over, and not a
// renewal later.
func TestLeaseIsLostInTime(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(t *testing.T) (addr string, down func()){
		"embedded": func(t *testing.T) (string, func()) { m := miniredis.RunT(t); return m.Addr(), m.Close },
		"process":  func(t *testing.T) (string, func()) { s := redistest.Start(t); return s.Addr, s.Kill },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr, down := start(t)
			client := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true})
			t.Cleanup(func() { _ = client.Close() })
			b := &bundle{T: t, ctx: t.Context(), redis: client}
			b.opt = b.open(900 * time.Millisecond)
			const ttl = 3 * time.Second
			l := b.lease("trainer", ttl)
			b.hold(l)
			lost := l.Lost()
			down()
			<-lost
			l.mu.Lock()
			late := time.Since(l.until)
			l.mu.Unlock()
			if late > ttl/4 { // a renewal later would be a third more, and its timeout
				t.Errorf("it was told %v late", late)
			}
		})
	}
}

// On a Cluster no node knows the listeners of the others.
func TestLeaseOnACluster(t *testing.T) {
	t.Parallel()
	ctx, p := providertest.Start(t, provider.Options{URL: redistest.StartCluster(t, 3).URL})
	b := &bundle{T: t, ctx: ctx, redis: p.Client()}
	b.opt = b.open(providertest.Timeout)
	leaseOfAKilledProcess(b)
	leaseWhereSilenceTellsNothing(b)
}

// The lease of a killed process is free long before its time is over. A holder that
// lives keeps it, however late its renewal is.
func TestLeaseOfAKilledProcessIsFreeSoon(t *testing.T) { eachMode(t, leaseOfAKilledProcess) }

func leaseOfAKilledProcess(t *bundle) {
	const ttl = time.Hour
	killed, next := New(t.open(providertest.Timeout), "trainer", ttl), t.lease("trainer", ttl)
	old := t.hold(killed)
	since := func(last time.Duration) {
		if err := t.redis.PExpire(t.ctx, killed.key("holder"), ttl-last).Err(); err != nil {
			t.Fatal(err)
		}
	}
	kept := func(why string) {
		if _, ok, err := next.Acquire(t.ctx); ok || err != nil {
			t.Fatalf("%s: taken %v, %v", why, ok, err)
		}
	}
	since(ttl / 2)
	kept("the holder is late, and listens")
	killed.opt.Bus.Stop() // the end of a process closes its connections
	since(ttl / 20)
	kept("a renewal is not due yet")
	since(ttl / 2)
	t.until("the lease is taken over", func() bool {
		_, ok, err := next.Acquire(t.ctx)
		return ok && err == nil
	})
	if token := t.hold(next); token <= old {
		t.Errorf("token %d does not rise over %d", token, old)
	}
	if err := killed.Renew(t.ctx); err == nil {
		t.Error("the former holder renewed it")
	}
	for _, l := range []*Lease{killed, next} {
		if err := l.Release(t.ctx); err != nil {
			t.Error(err)
		}
	}
}

// Silence tells nothing where the one who asks is not heard either, as after a restart
// of Redis, and nothing of a holder of a version that has no channel.
func TestLeaseIsNotTakenOverWhereSilenceTellsNothing(t *testing.T) {
	eachMode(t, leaseWhereSilenceTellsNothing)
}

func leaseWhereSilenceTellsNothing(t *bundle) {
	const ttl = time.Hour
	for what, c := range map[string]struct {
		holder string
		deaf   bool
	}{"a former version": {holder: "somebody"}, "nobody is heard": {holder: "somebody/listens", deaf: true}} {
		l := New(t.open(providertest.Timeout), what, ttl)
		if err := t.redis.Set(t.ctx, l.key("holder"), c.holder+"|1", ttl/2).Err(); err != nil {
			t.Fatal(err)
		}
		if c.deaf {
			l.off = func() {} // it listens no more
		}
		if _, ok, err := l.Acquire(t.ctx); ok || err != nil {
			t.Errorf("%s: taken %v, %v", what, ok, err)
		}
	}
}
