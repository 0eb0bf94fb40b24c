package api

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/nexus-continuum/nexus/job"
)

// RateLimit bounds how much work one client may ask for.
type RateLimit struct {
	Enabled bool
	RPM     int // requests per minute in the long run
	Burst   int // requests at once
}

const (
	// limiterPatience is how long a request waits for the limiter's Redis, and
	// limiterPause how long the limiter stays out of the way after that: the
	// route itself then says that Redis is gone.
	limiterPatience = 250 * time.Millisecond
	limiterPause    = time.Second
)

// limiter counts in Redis, so that all API processes share one count.
type limiter struct {
	opt      RateLimit
	limiter  *redis_rate.Limiter
	prefix   string
	policy   string
	now      func() time.Time
	refused  prometheus.Counter
	awayTill atomic.Int64 // Unix nanoseconds
}

func newLimiter(opt RateLimit, client redis.UniversalClient, prefix string, now func() time.Time, refused prometheus.Counter) *limiter {
	return &limiter{
		opt: opt, limiter: redis_rate.NewLimiter(unprefixed{client}), prefix: prefix + "rate:", now: now, refused: refused,
		policy: fmt.Sprintf(`"default";q=%d;w=60`, opt.RPM),
	}
}

// unprefixed drops the key prefix that redis_rate puts before ours.
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

// limit is the middleware for routes that make work.
func (l *limiter) limit(next echo.HandlerFunc) echo.HandlerFunc {
	if !l.opt.Enabled {
		return next
	}
	return func(c echo.Context) error {
		h := c.Response().Header()
		h.Set("RateLimit-Policy", l.policy)
		now := l.now()
		if now.UnixNano() < l.awayTill.Load() {
			l.describe(c, l.opt.Burst, 0)
			return next(c)
		}
		res, err := l.allow(c.Request().Context(), l.prefix+client(c))
		if err != nil {
			l.awayTill.Store(now.Add(limiterPause).UnixNano())
			l.describe(c, l.opt.Burst, 0)
			return next(c)
		}
		l.describe(c, res.Remaining, res.ResetAfter)
		if res.Allowed == 0 {
			l.refused.Inc()
			return job.Errorf(job.CodeRateLimited, "Rate limit exceeded: %d per 1 minute", l.opt.RPM).After(res.RetryAfter)
		}
		return next(c)
	}
}

func (l *limiter) describe(c echo.Context, remaining int, reset time.Duration) {
	c.Response().Header().Set("RateLimit", `"default";r=`+strconv.Itoa(remaining)+`;t=`+strconv.Itoa(int(math.Ceil(reset.Seconds()))))
}

// allow asks Redis and does not wait longer than limiterPatience, whatever the
// client's own timeouts are.
func (l *limiter) allow(ctx context.Context, key string) (*redis_rate.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, limiterPatience)
	defer cancel()
	res, err := l.limiter.Allow(ctx, key, redis_rate.Limit{Rate: l.opt.RPM, Burst: l.opt.Burst, Period: time.Minute})
	if err != nil {
		return nil, fmt.Errorf("count a request against the rate limit: %w", err)
	}
	return res, nil
}
