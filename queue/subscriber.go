package queue

import (
	"context"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// silence is after how long without a message the connection is tried. What is
// lost until then is found by those who look for themselves.
const silence = 10 * time.Second

// subscriber is the one subscription connection of a process. go-redis reconnects it;
// since messages in between are lost, every listener is also told when its
// channel was subscribed anew, and looks for itself then.
type subscriber struct {
	q *Queue

	ops     sync.Mutex // one change of the subscription at a time; before mu
	mu      sync.Mutex
	ps      *redis.PubSub
	renewed time.Time // when Redis was last subscribed to anew
	// channels by name; each knows its listeners.
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
	hear func(msg string, renewed bool)
}

func newSubscriber(q *Queue) *subscriber { return &subscriber{q: q, channels: map[string]*channel{}} }

// on listens to a channel until off is called. It returns when Redis confirmed
// the subscription, or ctx ended, or Redis did not answer in time; in the last
// cases the subscription is made once Redis is back.
func (h *subscriber) on(ctx context.Context, name string, hear func(msg string, renewed bool)) (off func()) {
	l := &listener{hear: hear}
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
	ctx, cancel := h.q.patience(ctx)
	defer cancel()
	if !known {
		// An error here is made good by go-redis when it reconnects.
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
		ctx, cancel := h.q.patience(ctx)
		defer cancel()
		_ = h.ps.Unsubscribe(ctx, name)
	}
}

func (h *subscriber) dispatch(ps *redis.PubSub) {
	for msg := range ps.ChannelWithSubscriptions(redis.WithChannelSize(1000), redis.WithChannelHealthCheckInterval(silence)) {
		switch m := msg.(type) {
		case *redis.Message:
			h.tell(m.Channel, m.Payload, false)
		case *redis.Subscription:
			if m.Kind == "subscribe" {
				h.tell(m.Channel, "", true)
			}
		}
	}
}

func (h *subscriber) tell(name, msg string, subscribed bool) {
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
		l.hear(msg, renewed)
	}
}

// renewedWithin tells whether the connection was made anew a short while ago.
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
