package queue

import (
	"context"
	"time"
)

// Publish sends a message to every process that listens to channel. A message is
// delivered at most once, so listeners must also poll from time to time.
func (q *Queue) Publish(ctx context.Context, channel, msg string) error {
	ctx, cancel := q.withTimeout(ctx)
	defer cancel()
	if err := q.redis.Publish(ctx, q.shared("channel", channel), msg).Err(); err != nil {
		return unavailable("publish on "+channel, err)
	}
	return nil
}

// Subscribe listens to channel until ctx ends; then the returned channel is closed. It
// reconnects automatically. After a reconnection, an empty message says that messages
// may have been missed. A reader that falls 64 messages behind loses the oldest.
func (q *Queue) Subscribe(ctx context.Context, channel string) <-chan string {
	out := make(chan string, 64)
	off := q.subscriber.on(ctx, q.shared("channel", channel), func(msg string, _ bool) {
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
	closing := func(life context.Context) {
		select {
		case <-ctx.Done():
		case <-life.Done():
		}
		off()
		close(out)
	}
	if !q.spawn(closing) {
		off()
		close(out)
	}
	return out
}

// Listen calls onMessage for each message on a channel of Redis until off is called. It
// must not block. renewed says that messages may have been missed. The channel has its
// full name, prefix included.
func (q *Queue) Listen(ctx context.Context, channel string, onMessage func(msg string, renewed bool)) (off func()) {
	return q.subscriber.on(ctx, channel, onMessage)
}

// RenewedWithin reports whether the connection that receives messages was renewed within
// the last d.
func (q *Queue) RenewedWithin(d time.Duration) bool { return q.subscriber.renewedWithin(d) }
