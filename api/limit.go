package api

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/nexus-continuum/nexus/job"
)

// RateLimit limits the requests of one client.
type RateLimit struct {
	Enabled bool
	RPM     int // prompts, or what costs like one, per minute in the long run
	Burst   int // at once
	// GenerousWhileOpen multiplies both limits while no key is needed. It is for a
	// service that only its own machine can reach.
	GenerousWhileOpen bool
}

const (
	// limiterTimeout is how long a request waits for the limiter's Redis. limiterPause
	// is how long this process then counts alone.
	limiterTimeout = 250 * time.Millisecond
	limiterPause   = time.Second

	// generous is the factor for a service that needs no key and is reached only from
	// its own machine.
	generous = 100
	// readShare is how many times more reading than asking is allowed, in units of
	// about a millisecond of work.
	readShare = 50
)

// Costs of reading.
const (
	costOne  = 1  // one thing, or something kept at hand
	costList = 5  // a page of a list
	costMany = 20 // a page that is put together from many
)

// limiter counts requests that make work in Redis, so that all API processes share one
// count. It counts reads in this process, because they use its time.
type limiter struct {
	opt      RateLimit
	limiter  *redis_rate.Limiter
	prefix   string
	open     func() bool
	now      func() time.Time
	refused  prometheus.Counter
	awayTill atomic.Int64 // Unix nanoseconds
	local    *buckets     // of what makes work, while Redis is away
	reads    *buckets
}

func newLimiter(opt RateLimit, client redis.UniversalClient, prefix string, open func() bool, now func() time.Time, refused prometheus.Counter) *limiter {
	return &limiter{
		opt: opt, limiter: redis_rate.NewLimiter(unprefixed{client}), prefix: prefix + "rate:", open: open, now: now, refused: refused,
		local: newBuckets(), reads: newBuckets(),
	}
}

// unprefixed removes the key prefix that redis_rate puts before ours.
type unprefixed struct{ redis.UniversalClient }

const rateKeyPrefix = "rate:"

func (u unprefixed) own(keys []string) []string {
	out := make([]string, len(keys))
	for i, k := range keys {
		out[i] = k[len(rateKeyPrefix):]
	}
	return out
}

func (u unprefixed) Eval(ctx context.Context, script string, keys []string, args ...any) *redis.Cmd {
	return u.UniversalClient.Eval(ctx, script, u.own(keys), args...)
}

func (u unprefixed) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	return u.UniversalClient.EvalSha(ctx, sha, u.own(keys), args...)
}

// bounds returns the present limits.
func (l *limiter) bounds() (rpm, burst int) {
	if l.opt.GenerousWhileOpen && l.open() {
		return l.opt.RPM * generous, l.opt.Burst * generous
	}
	return l.opt.RPM, l.opt.Burst
}

// limit is the middleware for routes that make work.
func (l *limiter) limit(next echo.HandlerFunc) echo.HandlerFunc {
	if !l.opt.Enabled {
		return next
	}
	return func(c echo.Context) error {
		rpm, burst := l.bounds()
		left, reset, wait := l.take(c.Request().Context(), client(c), 1, rpm, burst)
		tellLimit(c, "default", rpm, left, until(reset, wait))
		if wait > 0 {
			return l.exceeded(c, rpm, wait)
		}
		return next(c)
	}
}

// read is the middleware for routes that only read. cost is how much of the allowance
// one request takes.
func (l *limiter) read(cost int) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		if !l.opt.Enabled {
			return next
		}
		return func(c echo.Context) error {
			rpm, burst := l.bounds()
			rpm, burst = rpm*readShare, max(burst*readShare, costMany)
			left, reset, wait := l.reads.take(client(c), cost, rpm, burst, l.now())
			tellLimit(c, "read", rpm, left, until(reset, wait))
			if wait > 0 {
				return l.exceeded(c, rpm, wait)
			}
			return next(c)
		}
	}
}

// charge takes the actual cost of a request, beyond the one unit that it was admitted
// with, as far as the allowance lasts.
func (l *limiter) charge(c echo.Context, cost int) {
	if !l.opt.Enabled || cost <= 0 {
		return
	}
	rpm, burst := l.bounds()
	cost = min(cost, burst)
	if l.now().UnixNano() >= l.awayTill.Load() {
		ctx, cancel := context.WithTimeout(c.Request().Context(), limiterTimeout)
		defer cancel()
		if _, err := l.limiter.AllowAtMost(ctx, l.prefix+client(c), limitOfRate(rpm, burst), cost); err == nil {
			return
		}
	}
	l.local.drain(client(c), cost, rpm, burst, l.now())
}

func (l *limiter) exceeded(c echo.Context, rpm int, wait time.Duration) error {
	l.refused.Inc()
	c.Set(settingKey, "NEXUS_RATE_LIMIT_RPM")
	return job.Errorf(job.CodeRateLimited, "Rate limit exceeded: %d per 1 minute", rpm).After(wait)
}

// settingKey holds the name of the setting that caused a refusal.
const settingKey = "nexus.setting"

// take counts in Redis. While Redis is unavailable it counts alone, so that the limit
// then holds for each process.
func (l *limiter) take(ctx context.Context, who string, cost, rpm, burst int) (left int, reset, wait time.Duration) {
	now := l.now()
	if now.UnixNano() >= l.awayTill.Load() {
		res, err := l.allow(ctx, l.prefix+who, cost, rpm, burst)
		if err == nil {
			if res.Allowed == 0 {
				return res.Remaining, res.ResetAfter, max(res.RetryAfter, time.Millisecond)
			}
			return res.Remaining, res.ResetAfter, 0
		}
		l.awayTill.Store(now.Add(limiterPause).UnixNano())
	}
	return l.local.take(who, cost, rpm, burst, now)
}

// until returns the reset time for the RateLimit header. If the request is refused, it
// is the same moment as in Retry-After.
func until(reset, wait time.Duration) time.Duration {
	if wait > 0 {
		return wait
	}
	return reset
}

func tellLimit(c echo.Context, policy string, rpm, left int, reset time.Duration) {
	h := c.Response().Header()
	h.Set("RateLimit-Policy", `"`+policy+`";q=`+strconv.Itoa(rpm)+`;w=60`)
	h.Set("RateLimit", `"`+policy+`";r=`+strconv.Itoa(left)+`;t=`+strconv.Itoa(int(math.Ceil(reset.Seconds()))))
}

// allow asks Redis and waits no longer than limiterTimeout, whatever the timeouts of
// the client are.
func (l *limiter) allow(ctx context.Context, key string, cost, rpm, burst int) (*redis_rate.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, limiterTimeout)
	defer cancel()
	res, err := l.limiter.AllowN(ctx, key, limitOfRate(rpm, burst), cost)
	if err != nil {
		return nil, fmt.Errorf("count a request against the rate limit: %w", err)
	}
	return res, nil
}

func limitOfRate(rpm, burst int) redis_rate.Limit {
	return redis_rate.Limit{Rate: rpm, Burst: burst, Period: time.Minute}
}

// buckets count in this process. They use GCRA, as Redis does: for each client only the
// time is stored at which its bucket will be full again.
type buckets struct {
	mu   sync.Mutex
	full map[string]time.Time
}

// maxBuckets limits the memory. Beyond it, full buckets are dropped, and if that is not
// enough, all are.
const maxBuckets = 20000

func newBuckets() *buckets { return &buckets{full: map[string]time.Time{}} }

// take returns what is left, when the bucket is full again, and how long to wait if
// there is not enough.
func (b *buckets) take(who string, cost, rpm, burst int, now time.Time) (left int, reset, wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	each := time.Minute / time.Duration(rpm)
	room := each * time.Duration(burst)
	full := b.full[who]
	if full.Before(now) {
		full = now
	}
	next := full.Add(each * time.Duration(cost))
	if over := next.Sub(now) - room; over > 0 {
		return int((room - full.Sub(now)) / each), full.Sub(now), over
	}
	b.put(who, next, now)
	return int((room - next.Sub(now)) / each), next.Sub(now), 0
}

// drain takes up to cost.
func (b *buckets) drain(who string, cost, rpm, burst int, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	each := time.Minute / time.Duration(rpm)
	full := b.full[who]
	if full.Before(now) {
		full = now
	}
	full = full.Add(each * time.Duration(cost))
	if most := now.Add(each * time.Duration(burst)); full.After(most) {
		full = most
	}
	b.put(who, full, now)
}

// blocked returns how long nothing is left. It takes nothing.
func (b *buckets) blocked(who string, rpm, burst int, now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	each := time.Minute / time.Duration(rpm)
	return b.full[who].Add(each).Sub(now.Add(each * time.Duration(burst)))
}

func (b *buckets) put(who string, full, now time.Time) {
	if len(b.full) >= maxBuckets {
		for k, t := range b.full {
			if !t.After(now) {
				delete(b.full, k)
			}
		}
		if len(b.full) >= maxBuckets {
			clear(b.full)
		}
	}
	b.full[who] = full
}
