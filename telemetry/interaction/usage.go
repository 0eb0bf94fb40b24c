package interaction

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/nexus-continuum/nexus/internal/redisfault"
)

// Usage is what the log counts and no checkpoint holds: how often lessons answered,
// and the newest runs of the checks.
type Usage struct {
	// Lessons are the count and the last moment (Unix ms) of each lesson, by its id.
	Lessons map[string][2]int64 `json:"lessons"`
	// Runs are those of the checks, newest first, as the API wrote them.
	Runs []json.RawMessage `json:"runs"`
}

const (
	// usageLessons bounds Usage.Lessons; those that answered least are left out.
	usageLessons = 50_000
	// RunsKept is how many runs of the checks are kept.
	RunsKept = 40
)

// RunsKey is the list of the runs of the checks, newest first.
func (log *Log) RunsKey() string { return log.key("checkruns") }

// usageMark is there as long as Redis keeps its data.
func (log *Log) usageMark() string { return log.key("usage") }

// Usage reads what is counted now. known is false where Redis holds no mark of an
// earlier RestoreUsage: it is new, or has lost its data.
func (log *Log) Usage(ctx context.Context) (u Usage, known bool, err error) {
	rctx, cancel := log.withTimeout(ctx)
	defer cancel()
	n, err := log.redis.Exists(rctx, log.usageMark()).Result()
	if err != nil || n == 0 {
		return Usage{}, false, usageError(err)
	}
	pipe := log.redis.Pipeline()
	counts, last := pipe.HGetAll(rctx, log.hitsKey()), pipe.HGetAll(rctx, log.lastHitKey())
	runs := pipe.LRange(rctx, log.RunsKey(), 0, RunsKept-1)
	if _, err := pipe.Exec(rctx); err != nil {
		return Usage{}, false, usageError(err)
	}
	u.Lessons = make(map[string][2]int64, len(counts.Val()))
	for id, v := range counts.Val() {
		u.Lessons[id] = [2]int64{number(v), number(last.Val()[id])}
	}
	u.shorten(usageLessons)
	for _, r := range runs.Val() {
		if json.Valid([]byte(r)) {
			u.Runs = append(u.Runs, json.RawMessage(r))
		}
	}
	return u, true, nil
}

// shorten keeps the n lessons that answered most.
func (u *Usage) shorten(n int) {
	if len(u.Lessons) <= n {
		return
	}
	ids := make([]string, 0, len(u.Lessons))
	for id := range u.Lessons {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b string) int { return cmp.Compare(u.Lessons[b][0], u.Lessons[a][0]) })
	for _, id := range ids[n:] {
		delete(u.Lessons, id)
	}
}

// RestoreUsage adds u to what Redis has counted since it lost its data, and marks
// Redis as known to Usage.
func (log *Log) RestoreUsage(ctx context.Context, u Usage) error {
	rctx, cancel := log.withTimeout(ctx)
	defer cancel()
	pipe := log.redis.TxPipeline()
	for id, h := range u.Lessons {
		pipe.HIncrBy(rctx, log.hitsKey(), id, h[0])
		if h[1] > 0 {
			pipe.HSetNX(rctx, log.lastHitKey(), id, h[1])
		}
	}
	for _, r := range u.Runs {
		pipe.RPush(rctx, log.RunsKey(), []byte(r))
	}
	pipe.LTrim(rctx, log.RunsKey(), 0, RunsKept-1)
	pipe.Set(rctx, log.usageMark(), "1", 0)
	_, err := pipe.Exec(rctx)
	return usageError(err)
}

func usageError(err error) error {
	if err == nil || errors.Is(err, redis.Nil) {
		return nil
	}
	return redisfault.Unavailable("read how often lessons answered", err)
}
