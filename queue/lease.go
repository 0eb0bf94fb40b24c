package queue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nexus-continuum/nexus/job"
)

// ErrLeaseLost is returned by Renew if another process holds the lease, or might.
var ErrLeaseLost = errors.New("the lease is no longer held")

// Lease is the right of one process to do something alone. Its token rises with every
// holder, forever. A holder may notice late that it lost the lease, so a store of its
// results must reject any token lower than the highest it has seen.
type Lease struct {
	q    *Queue
	name string
	ttl  time.Duration
	me   string

	mu      sync.Mutex
	token   int64 // 0 while not held
	until   time.Time
	lost    chan struct{}
	stop    context.CancelFunc
	renewer sync.WaitGroup
}

// Lease prepares a lease with that name and acquires nothing yet. If a holder dies, the
// lease is free after ttl.
func (q *Queue) Lease(name string, ttl time.Duration) *Lease {
	lost := make(chan struct{})
	close(lost)
	return &Lease{q: q, name: name, ttl: ttl, me: job.NewID(), lost: lost}
}

// Acquire takes the lease if it is free; ok is false while another process holds it. A
// held lease is renewed automatically until Release, or until Lost is closed. Errors:
// CodeUnavailable.
func (l *Lease) Acquire(ctx context.Context) (token int64, ok bool, err error) { //nolint:contextcheck // the renewal outlives this call
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.token != 0 {
		return l.token, true, nil
	}
	asked := time.Now()
	rctx, cancel := l.q.withTimeout(ctx)
	defer cancel()
	token, err = l.q.scripts.acquire.Run(rctx, l.q.redis, []string{l.key(), l.q.shared("lease:"+l.name, "fence")},
		l.me, l.ttl.Milliseconds()).Int64()
	if err != nil {
		return 0, false, unavailable("acquire lease "+l.name, err)
	}
	if token == 0 {
		return 0, false, nil
	}
	l.token, l.until = token, asked.Add(l.ttl)
	l.lost = make(chan struct{})
	renewing, stop := context.WithCancel(l.q.life)
	l.stop = stop
	l.renewer.Go(func() { l.keep(renewing) })
	return token, true, nil
}

// Lost returns a channel that is closed while the lease is not held. It is closed as
// soon as a holder can no longer be sure that it holds the lease.
func (l *Lease) Lost() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost
}

// Renew extends the lease now. It returns ErrLeaseLost if the lease is gone. After any
// other error the lease is still held until its ttl ends.
func (l *Lease) Renew(ctx context.Context) error {
	l.mu.Lock()
	value := l.value()
	held := l.token != 0
	l.mu.Unlock()
	if !held {
		return ErrLeaseLost
	}
	asked := time.Now()
	rctx, cancel := l.q.withTimeout(ctx)
	defer cancel()
	n, err := l.q.scripts.renew.Run(rctx, l.q.redis, []string{l.key()}, value, l.ttl.Milliseconds()).Int64()
	if err != nil {
		return unavailable("renew lease "+l.name, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if n == 0 {
		return ErrLeaseLost
	}
	l.until = asked.Add(l.ttl)
	return nil
}

// Release frees the lease for the next holder.
func (l *Lease) Release(ctx context.Context) error {
	l.mu.Lock()
	held, value := l.token != 0, l.value()
	if l.stop != nil {
		l.stop()
	}
	l.mu.Unlock()
	l.renewer.Wait()
	l.lose()
	if !held {
		return nil
	}
	rctx, cancel := l.q.withTimeout(ctx)
	defer cancel()
	if err := l.q.scripts.release.Run(rctx, l.q.redis, []string{l.key()}, value).Err(); err != nil {
		return unavailable("release lease "+l.name, err)
	}
	return nil
}

// keep renews the lease until it is stopped or the lease is lost. It judges by this
// process's own monotonic clock, read before each request, whether the lease is still
// held. It reports the loss at that moment, whatever state Redis is in.
func (l *Lease) keep(ctx context.Context) {
	rest := l.ttl / 3
	for {
		l.mu.Lock()
		until := l.until
		l.mu.Unlock()
		if !pause(ctx, min(rest, time.Until(until))) {
			break
		}
		renewing, cancel := context.WithDeadline(ctx, until)
		err := l.Renew(renewing)
		cancel()
		if errors.Is(err, ErrLeaseLost) || err != nil && !time.Now().Before(until) {
			l.q.opt.Log.Warn("a lease was lost", "lease", l.name, "error", err)
			break
		}
		rest = l.ttl / 3
		if err != nil {
			rest = l.ttl / 10 // Redis may be back before the time is over
		}
	}
	l.lose()
}

func (l *Lease) lose() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.token = 0
	select {
	case <-l.lost:
	default:
		close(l.lost)
	}
}

func (l *Lease) key() string   { return l.q.shared("lease:"+l.name, "holder") }
func (l *Lease) value() string { return fmt.Sprintf("%s|%d", l.me, l.token) }
