// Package lease lets one process of the cluster at a time do something alone, by a key
// in Redis with a fencing token. It owns the keys that begin with "nexus:{lease:".
package lease

import (
	"context"
	_ "embed" // the scripts
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/nexus-continuum/nexus/internal/lifecycle"
	"github.com/nexus-continuum/nexus/internal/pubsub"
	"github.com/nexus-continuum/nexus/internal/redisfault"
	"github.com/nexus-continuum/nexus/job"
)

// ErrLost is returned by Renew if another process holds the lease, or might.
var ErrLost = errors.New("the lease is no longer held")

var (
	//go:embed acquire.lua
	acquireLua string
	//go:embed extend.lua
	extendLua string

	acquireScript = redis.NewScript(acquireLua)
	extendScript  = redis.NewScript(extendLua)
)

const (
	// renewals is how often a lease is renewed within its ttl.
	renewals = 10
	// overdue is the share of the ttl after which a lease should have been renewed. Its
	// holder may be gone then, which its channel tells.
	overdue = 4
	// recheckDelay is the delay before a second check of a holder that seems to be gone.
	recheckDelay = 300 * time.Millisecond
)

// Options say where leases are kept. All fields are required.
type Options struct {
	Redis   redis.UniversalClient
	Bus     *pubsub.Bus
	Prefix  string        // of the keys
	Timeout time.Duration // of one command to Redis
	Log     *slog.Logger
}

// Lease is the right of one process to do something alone. Its token rises with every
// holder, forever. A holder may notice late that it lost the lease, so a store of its
// results must reject any token lower than the highest it has seen.
type Lease struct {
	opt  Options
	name string
	ttl  time.Duration
	me   string

	taking sync.Mutex // held while it is acquired; before mu
	off    func()     // ends listening; nil while nothing listens

	mu      sync.Mutex
	token   int64 // 0 while not held
	until   time.Time
	lost    chan struct{}
	stop    context.CancelFunc
	renewer sync.WaitGroup
}

// New prepares a lease with that name and acquires nothing yet. If a holder is killed,
// the lease is free after about a third of ttl; if it falls silent, after ttl. Shortly
// after an outage of Redis it is free after ttl in both cases.
func New(opt Options, name string, ttl time.Duration) *Lease {
	lost := make(chan struct{})
	close(lost)
	return &Lease{opt: opt, name: name, ttl: ttl, me: job.NewID() + "/listens", lost: lost}
}

// Acquire takes the lease if it is free; ok is false while another process holds it. A
// held lease is renewed automatically until Release, or until Lost is closed. Errors:
// CodeUnavailable.
func (l *Lease) Acquire(ctx context.Context) (token int64, ok bool, err error) {
	l.taking.Lock()
	defer l.taking.Unlock()
	if l.off == nil {
		// No messages are sent here. Like the channel of a Server, it shows that this
		// process is alive.
		l.off = l.opt.Bus.Listen(ctx, l.channel(l.me), func(string, bool) {})
	}
	token, deserted, err := l.acquire(ctx, "")
	if deserted != "" && l.unheard(ctx, deserted) && lifecycle.Sleep(ctx, recheckDelay) && l.unheard(ctx, deserted) {
		token, _, err = l.acquire(ctx, deserted)
	}
	if err != nil {
		return 0, false, redisfault.Unavailable("acquire lease "+l.name, err)
	}
	return token, token != 0, nil
}

// unheard reports whether the holder of a lease has no listener on its channel, where the
// script could not tell.
func (l *Lease) unheard(ctx context.Context, held string) bool {
	own := l.channel(l.me)
	if l.opt.Bus.AliveChannel(own) != pubsub.AskNodes {
		return true
	}
	holder, _, _ := strings.Cut(held, "|")
	return len(l.opt.Bus.Unheard(ctx, own, []string{l.channel(holder)})) > 0
}

// acquire looks once. deserted is what the last look found, and what this one finds.
func (l *Lease) acquire(ctx context.Context, deserted string) (token int64, found string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.token != 0 {
		return l.token, "", nil
	}
	asked := time.Now()
	rctx, cancel := context.WithTimeout(ctx, l.opt.Timeout)
	defer cancel()
	got, err := acquireScript.Run(rctx, l.opt.Redis, []string{l.key("holder"), l.key("fence")},
		l.me, l.ttl.Milliseconds(), (l.ttl - l.ttl/overdue).Milliseconds(), l.channel(""), l.opt.Bus.AliveChannel(l.channel(l.me)), deserted).Slice()
	if err != nil {
		return 0, "", err
	}
	token, _ = got[0].(int64)
	if token == 0 {
		found, _ = got[1].(string)
		return 0, found, nil
	}
	if deserted != "" {
		l.opt.Log.Info("a lease was taken over from a process that is gone", "lease", l.name, "token", token)
	}
	l.token, l.until = token, asked.Add(l.ttl)
	l.lost = make(chan struct{})
	renewing, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.stop = stop
	l.renewer.Go(func() { l.keep(renewing) })
	return token, "", nil
}

// Lost returns a channel that is closed while the lease is not held. It is closed as
// soon as a holder can no longer be sure that it holds the lease.
func (l *Lease) Lost() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost
}

// Renew extends the lease now. It returns ErrLost if the lease is gone. After any
// other error the lease is still held until its ttl ends.
func (l *Lease) Renew(ctx context.Context) error {
	l.mu.Lock()
	value := l.value()
	held := l.token != 0
	l.mu.Unlock()
	if !held {
		return ErrLost
	}
	asked := time.Now()
	rctx, cancel := context.WithTimeout(ctx, l.opt.Timeout)
	defer cancel()
	n, err := extendScript.Run(rctx, l.opt.Redis, []string{l.key("holder")}, value, l.ttl.Milliseconds()).Int64()
	if err != nil {
		return redisfault.Unavailable("renew lease "+l.name, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if n == 0 {
		return ErrLost
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
	l.taking.Lock()
	if l.off != nil {
		l.off()
		l.off = nil
	}
	l.taking.Unlock()
	if !held {
		return nil
	}
	rctx, cancel := context.WithTimeout(ctx, l.opt.Timeout)
	defer cancel()
	if err := extendScript.Run(rctx, l.opt.Redis, []string{l.key("holder")}, value, 0).Err(); err != nil {
		return redisfault.Unavailable("release lease "+l.name, err)
	}
	return nil
}

// keep renews the lease until it is stopped or the lease is lost. It judges by this
// process's own monotonic clock, read before each request, whether the lease is still
// held. It reports the loss at that moment, whatever state Redis is in.
func (l *Lease) keep(ctx context.Context) {
	rest := l.ttl / renewals
	for {
		l.mu.Lock()
		until := l.until
		l.mu.Unlock()
		if !lifecycle.Sleep(ctx, min(rest, time.Until(until))) {
			break
		}
		renewing, cancel := context.WithDeadline(ctx, until)
		err := l.Renew(renewing)
		cancel()
		if errors.Is(err, ErrLost) || err != nil && !time.Now().Before(until) {
			l.opt.Log.Warn("a lease was lost", "lease", l.name, "error", err)
			break
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

// key is one of the keys of this lease, which one script touches together.
func (l *Lease) key(rest string) string { return l.opt.Prefix + "{lease:" + l.name + "}:" + rest }

// channel is where a holder listens.
func (l *Lease) channel(holder string) string { return l.key("alive:" + holder) }

func (l *Lease) value() string { return fmt.Sprintf("%s|%d", l.me, l.token) }
