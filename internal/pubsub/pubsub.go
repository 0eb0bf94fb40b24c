// Package pubsub carries messages between processes over Redis. All subscriptions of a
// process share one connection.
package pubsub

import (
	"context"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/nexus-continuum/nexus/internal/redisfault"
)

const (
	// healthCheckInterval is the time without a message after which the connection is
	// tested. Messages lost until then are found by polling.
	healthCheckInterval = 10 * time.Second
	// settleTime is how long after a reconnection other processes may still be
	// reconnecting.
	settleTime = 3 * time.Second
	// backlog is how many messages a reader of Subscribe may fall behind.
	backlog = 64
)

// Bus publishes and receives messages. A message is delivered at most once: go-redis
// reconnects a lost connection, but messages in between are lost. Every listener is then
// notified when its channel has been subscribed again, and polls. A Bus is safe for
// concurrent use.
type Bus struct {
	redis   redis.UniversalClient
	prefix  string
	timeout time.Duration
	life    context.Context // ends with Stop
	end     context.CancelFunc

	ops     sync.Mutex // one change of the subscription at a time; before mu
	mu      sync.Mutex
	ps      *redis.PubSub // nil before the first subscription
	renewed time.Time     // last reconnection
	// channels holds the channels by name; each knows its listeners.
	channels map[string]*channel
	stopped  bool
	workers  sync.WaitGroup
}

type channel struct {
	ready     chan struct{} // closed once Redis confirmed the subscription
	confirmed bool
	listeners map[*listener]struct{}
}

// listener is called from the goroutine of the connection and must not block.
type listener struct {
	onMessage func(msg string, renewed bool)
}

// New makes a Bus. It sends nothing to Redis before the first use. prefix begins the
// names of the channels of Publish and Subscribe. timeout limits one exchange with
// Redis.
func New(client redis.UniversalClient, prefix string, timeout time.Duration) *Bus {
	b := &Bus{redis: client, prefix: prefix, timeout: timeout, channels: map[string]*channel{}}
	b.life, b.end = context.WithCancel(context.Background())
	return b
}

// Stop closes the connection and the channels of Subscribe. It may be called twice.
func (b *Bus) Stop() {
	b.end()
	b.mu.Lock()
	b.stopped = true
	if b.ps != nil {
		_ = b.ps.Close()
	}
	b.mu.Unlock()
	b.workers.Wait()
}

// Publish sends a message to every process that listens to channel. Listeners must also
// poll from time to time, because a message can be lost. Errors: CodeUnavailable.
func (b *Bus) Publish(ctx context.Context, channel, msg string) error {
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	if err := b.redis.Publish(ctx, b.name(channel), msg).Err(); err != nil {
		return redisfault.Unavailable("publish on "+channel, err)
	}
	return nil
}

// Subscribe listens to channel until ctx ends; then the returned channel is closed. It
// reconnects automatically. After a reconnection, an empty message says that messages
// may have been missed. A reader that falls 64 messages behind loses the oldest.
func (b *Bus) Subscribe(ctx context.Context, channel string) <-chan string {
	out := make(chan string, backlog)
	off := b.Listen(ctx, b.name(channel), func(msg string, _ bool) {
		for {
			select {
			case out <- msg:
				return
			default:
			}
			select {
			case <-out:
			default:
			}
		}
	})
	closing := func() {
		select {
		case <-ctx.Done():
		case <-b.life.Done():
		}
		off()
		close(out)
	}
	if !b.spawn(closing) {
		off()
		close(out)
	}
	return out
}

func (b *Bus) name(channel string) string { return b.prefix + "{channel}:" + channel }

// spawn runs f in a goroutine that Stop waits for. It returns false after Stop.
func (b *Bus) spawn(f func()) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stopped {
		return false
	}
	b.workers.Go(f)
	return true
}

// Listen calls onMessage for each message on a channel of Redis until off is called.
// onMessage must not block. renewed says that messages may have been missed. The channel
// has its full name, prefix included. Listen returns when Redis has confirmed the
// subscription, ctx has ended, or Redis has not responded in time. In the last two cases
// the subscription is made once Redis is back.
func (b *Bus) Listen(ctx context.Context, name string, onMessage func(msg string, renewed bool)) (off func()) {
	l := &listener{onMessage: onMessage}
	b.ops.Lock()
	b.mu.Lock()
	if b.stopped {
		b.mu.Unlock()
		b.ops.Unlock()
		return func() {}
	}
	c, known := b.channels[name]
	if !known {
		c = &channel{ready: make(chan struct{}), listeners: map[*listener]struct{}{}}
		b.channels[name] = c
	}
	c.listeners[l] = struct{}{}
	if b.ps == nil {
		ps := b.redis.Subscribe(context.WithoutCancel(ctx))
		b.ps = ps
		b.workers.Go(func() { b.dispatch(ps) })
	}
	ps := b.ps
	b.mu.Unlock()
	outlasting := context.WithoutCancel(ctx)
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	if !known {
		// go-redis recovers from an error here when it reconnects.
		_ = ps.Subscribe(ctx, name)
	}
	b.ops.Unlock()
	select {
	case <-c.ready:
	case <-ctx.Done():
	case <-b.life.Done():
	}
	return sync.OnceFunc(func() { b.off(outlasting, name, l) })
}

func (b *Bus) off(ctx context.Context, name string, l *listener) {
	b.ops.Lock()
	defer b.ops.Unlock()
	b.mu.Lock()
	c := b.channels[name]
	delete(c.listeners, l)
	last := len(c.listeners) == 0
	if last {
		delete(b.channels, name)
	}
	b.mu.Unlock()
	if last && b.life.Err() == nil {
		ctx, cancel := context.WithTimeout(ctx, b.timeout)
		defer cancel()
		_ = b.ps.Unsubscribe(ctx, name)
	}
}

func (b *Bus) dispatch(ps *redis.PubSub) {
	for msg := range ps.ChannelWithSubscriptions(redis.WithChannelSize(1000), redis.WithChannelHealthCheckInterval(healthCheckInterval)) {
		switch m := msg.(type) {
		case *redis.Message:
			b.deliver(m.Channel, m.Payload, false)
		case *redis.Subscription:
			if m.Kind == "subscribe" {
				b.deliver(m.Channel, "", true)
			}
		}
	}
}

func (b *Bus) deliver(name, msg string, subscribed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.channels[name]
	if c == nil {
		return
	}
	renewed := subscribed && c.confirmed
	if renewed {
		b.renewed = time.Now()
	}
	if subscribed && !c.confirmed {
		c.confirmed = true
		close(c.ready)
		return
	}
	for l := range c.listeners {
		l.onMessage(msg, renewed)
	}
}
