package queue

import (
	"context"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// healthCheckInterval is the time without a message after which the connection is tested. Messages
// lost until then are found by polling.
const healthCheckInterval = 10 * time.Second

// subscriber is the single subscription connection of a process. go-redis reconnects
// it. Messages in between are lost, so every listener is notified when its channel has
// been subscribed again, and then polls.
type subscriber struct {
	q *Queue

	ops     sync.Mutex // one change of the subscription at a time; before mu
	mu      sync.Mutex
	ps      *redis.PubSub
	renewed time.Time // when Redis was last subscribed to anew
	// channels holds the channels by name; each knows its listeners.
	channels map[string]*channel
}

type channel struct {
	ready     chan struct{} // closed once Redis confirmed the subscription
	confirmed bool
	listeners map[*listener]struct{}
}

// listener is called from the subscriber's goroutine and must not block. renewed says
// that messages may have been missed.
type listener struct {
	onMessage func(msg string, renewed bool)
}

func newSubscriber(q *Queue) *subscriber { return &subscriber{q: q, channels: map[string]*channel{}} }

// on listens to a channel until off is called. It returns when Redis has confirmed the
// subscription, ctx has ended, or Redis has not responded in time. In the last two
// cases the subscription is made once Redis is back.
func (h *subscriber) on(ctx context.Context, name string, onMessage func(msg string, renewed bool)) (off func()) {
	l := &listener{onMessage: onMessage}
	h.ops.Lock()
	h.mu.Lock()
	c, known := h.channels[name]
	if !known {
		c = &channel{ready: make(chan struct{}), listeners: map[*listener]struct{}{}}
		h.channels[name] = c
	}
	c.listeners[l] = struct{}{}
	first := h.ps == nil
	if first {
		h.ps = h.q.redis.Subscribe(context.WithoutCancel(ctx))
	}
	ps := h.ps
	h.mu.Unlock()
	outlasting := context.WithoutCancel(ctx)
	ctx, cancel := h.q.withTimeout(ctx)
	defer cancel()
	if !known {
		// go-redis recovers from an error here when it reconnects.
		_ = ps.Subscribe(ctx, name)
	}
	if first {
		h.q.spawn(func(context.Context) { h.dispatch(ps) })
	}
	h.ops.Unlock()
	select {
	case <-c.ready:
	case <-ctx.Done():
	case <-h.q.life.Done():
	}
	return sync.OnceFunc(func() { h.off(outlasting, name, l) })
}

func (h *subscriber) off(ctx context.Context, name string, l *listener) {
	h.ops.Lock()
	defer h.ops.Unlock()
	h.mu.Lock()
	c := h.channels[name]
	delete(c.listeners, l)
	last := len(c.listeners) == 0
	if last {
		delete(h.channels, name)
	}
	h.mu.Unlock()
	if last && h.q.life.Err() == nil {
		ctx, cancel := h.q.withTimeout(ctx)
		defer cancel()
		_ = h.ps.Unsubscribe(ctx, name)
	}
}

func (h *subscriber) dispatch(ps *redis.PubSub) {
	for msg := range ps.ChannelWithSubscriptions(redis.WithChannelSize(1000), redis.WithChannelHealthCheckInterval(healthCheckInterval)) {
		switch m := msg.(type) {
		case *redis.Message:
			h.deliver(m.Channel, m.Payload, false)
		case *redis.Subscription:
			if m.Kind == "subscribe" {
				h.deliver(m.Channel, "", true)
			}
		}
	}
}

func (h *subscriber) deliver(name, msg string, subscribed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.channels[name]
	if c == nil {
		return
	}
	renewed := subscribed && c.confirmed
	if renewed {
		h.renewed = time.Now()
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

// renewedWithin reports whether the connection was renewed within the last d.
func (h *subscriber) renewedWithin(d time.Duration) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.renewed.IsZero() && time.Since(h.renewed) < d
}

func (h *subscriber) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ps != nil {
		_ = h.ps.Close()
	}
}
