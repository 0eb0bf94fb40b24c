package queue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nexus-continuum/nexus/job"
)

// ErrLeaseLost is returned by Renew when another holds the lease, or may.
var ErrLeaseLost = errors.New("the lease is no longer held")

// Lease is the right of one process to do something alone. Its token rises with
// every holder, for ever: whoever stores results of the work must refuse a
// lower token than it has seen, because a holder may be late to notice its loss.
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

// Lease names a lease; nothing is acquired yet. After a holder's death it is
// free after ttl.
func (q *Queue) Lease(name string, ttl time.Duration) *Lease {
	lost := make(chan struct{})
	close(lost)
	return &Lease{q: q, name: name, ttl: ttl, me: job.NewID(), lost: lost}
}

// Acquire takes the lease if it is free; ok is false while another holds it.
// Once held it is renewed until Release, or until Lost is closed.
func (l *Lease) Acquire(ctx context.Context) (token int64, ok bool, err error) { //nolint:contextcheck // the renewal outlives this call
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.token != 0 {
		return l.token, true, nil
	}
	asked := time.Now()
	rctx, cancel := l.q.patience(ctx)
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

// Lost is closed while the lease is not held, and as soon as a holder can no
// longer be sure of it.
func (l *Lease) Lost() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost
}

// Renew extends the lease now. ErrLeaseLost says that it is gone; any other
// error leaves it held until its ttl runs out.
func (l *Lease) Renew(ctx context.Context) error {
	l.mu.Lock()
	value := l.value()
	held := l.token != 0
	l.mu.Unlock()
	if !held {
		return ErrLeaseLost
	}
	asked := time.Now()
	rctx, cancel := l.q.patience(ctx)
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

// Release gives the lease to the next.
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
	rctx, cancel := l.q.patience(ctx)
	defer cancel()
	if err := l.q.scripts.release.Run(rctx, l.q.redis, []string{l.key()}, value).Err(); err != nil {
		return unavailable("release lease "+l.name, err)
	}
	return nil
}

// keep renews until told to stop or until the lease is lost. Whether it is still
// held is judged by this process's own steady clock, from before it asked, and the
// loss is told at that moment, whatever Redis does meanwhile.
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
