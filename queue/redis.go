package queue

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/nexus-continuum/nexus/internal/redisfault"
	"github.com/nexus-continuum/nexus/job"
)

const (
	// stateAge is how long a reading of the state of Redis may be reused.
	stateAge = time.Second
	// fullShare is the used share of Redis's memory from which on jobs without a waiting
	// caller are refused. The rest is for callers that wait.
	fullShare = 0.9
)

// RedisState is what Redis reports about itself. Values that it does not report are
// zero.
type RedisState struct {
	UsedBytes  int64
	MaxBytes   int64  // maxmemory; 0 is no limit
	Policy     string // maxmemory-policy
	AppendOnly *bool  // whether it keeps an append-only file; nil if it does not tell
}

// Full reports whether so much memory is used that only prompts with a waiting caller
// are accepted.
func (s RedisState) Full() bool {
	return s.MaxBytes > 0 && float64(s.UsedBytes) >= fullShare*float64(s.MaxBytes)
}

// Evicts reports whether Redis drops keys of nexus when its memory is full.
func (s RedisState) Evicts() bool { return strings.HasPrefix(s.Policy, "allkeys-") }

// redisStateCache caches the last reading, so that many callers cost one request.
type redisStateCache struct {
	mu      sync.Mutex
	at      time.Time
	state   RedisState
	err     error
	reading bool

	probing sync.Mutex
	probed  time.Time
	fault   error
}

// RedisState returns the state of Redis. It reads the state at most once a second.
// Errors: CodeUnavailable.
func (q *Queue) RedisState(ctx context.Context) (RedisState, error) {
	w := &q.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.at.IsZero() && time.Since(w.at) < stateAge {
		return w.state, w.err
	}
	w.state, w.err = q.readState(ctx)
	w.at = time.Now()
	return w.state, w.err
}

// cachedRedisState returns the last reading at no cost. It starts a new one if that is old.
func (q *Queue) cachedRedisState() RedisState {
	w := &q.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	if time.Since(w.at) >= stateAge && !w.reading {
		w.reading = q.spawn(func(ctx context.Context) {
			_, _ = q.RedisState(ctx) // what fails is read again
			w.mu.Lock()
			w.reading = false
			w.mu.Unlock()
		})
	}
	return w.state
}

func (q *Queue) readState(ctx context.Context) (RedisState, error) {
	ctx, cancel := q.withTimeout(ctx)
	defer cancel()
	var s RedisState
	var mu sync.Mutex
	read := func(ctx context.Context, c redis.Cmdable) error {
		info, err := c.Info(ctx).Result()
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		s.add(info)
		return nil
	}
	var err error
	if cluster, ok := q.redis.(*redis.ClusterClient); ok {
		err = cluster.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error { return read(ctx, c) })
	} else {
		err = read(ctx, q.redis)
	}
	if err != nil {
		return RedisState{}, unavailable("read the state of Redis", err)
	}
	return s, nil
}

// add merges the reply of one server. On a Cluster the fullest server counts.
func (s *RedisState) add(info string) {
	fields := map[string]string{}
	for line := range strings.Lines(info) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			fields[name] = value
		}
	}
	used, _ := strconv.ParseInt(fields["used_memory"], 10, 64)
	most, _ := strconv.ParseInt(fields["maxmemory"], 10, 64)
	if s.MaxBytes == 0 || most > 0 && float64(used)/float64(most) > float64(s.UsedBytes)/float64(s.MaxBytes) {
		s.UsedBytes, s.MaxBytes = used, most
	}
	if policy := fields["maxmemory_policy"]; policy != "" {
		s.Policy = policy
	}
	if on := fields["aof_enabled"]; on != "" {
		kept := on == "1" && (s.AppendOnly == nil || *s.AppendOnly)
		s.AppendOnly = &kept
	}
}

// Check tries the Redis operations that jobs need. A mere reply is not enough, because
// a read-only replica and a full server reply too. Callers within 250 ms share a
// result. Errors: CodeUnavailable, with the reason if it is known.
func (q *Queue) Check(ctx context.Context) error {
	w := &q.watch
	w.probing.Lock()
	defer w.probing.Unlock()
	// A write that succeeded a moment ago does not prove that Redis is still there.
	if !w.probed.IsZero() && time.Since(w.probed) < stateAge/4 && (w.fault != nil || q.Ping(ctx) == nil) {
		return w.fault
	}
	w.fault = q.probe(ctx)
	if ctx.Err() == nil {
		w.probed = time.Now()
	}
	return w.fault
}

func (q *Queue) probe(ctx context.Context) error {
	for _, shard := range q.shards.of(job.LaneInteractive)[:1] {
		k := q.keys(shard)
		rctx, cancel := q.withTimeout(ctx)
		err := q.scripts.probe.Run(rctx, q.redis, []string{k.own + "probe", k.asynq + "probe"}, k.own+"probe", millis(q.now())).Err()
		cancel()
		if redisfault.Denied(err) {
			if lacks := q.Lacks(ctx); lacks != "" {
				return job.Errorf(job.CodeUnavailable, "%s", lacks).After(time.Second).Because(err)
			}
		}
		if err != nil {
			return unavailable("try Redis", err)
		}
	}
	return nil
}

// Lacks says which Redis permissions our user lacks; empty if none is missing. It tries
// each kind of command separately, because a script does not say which of its commands
// was denied.
func (q *Queue) Lacks(ctx context.Context) string {
	k := q.keys(job.LaneInteractive)
	own, theirs, channel := k.own+"probe", k.asynq+"probe", k.own+"probe"
	list, stream := own+":list", own+":stream"
	tries := [][]any{
		{"TIME"},
		{"INFO", "memory"},
		{"HSET", own, "at", "1"},
		{"HGETALL", own},
		{"PEXPIRE", own, "10000"},
		{"RPUSH", list, "1"},
		{"PEXPIRE", list, "10000"},
		{"BLPOP", list, "0.01"},
		{"XADD", stream, "MAXLEN", "1", "*", "at", "1"},
		{"XRANGE", stream, "-", "+"},
		{"PEXPIRE", stream, "10000"},
		{"EVAL", "return 1", "0"},
		{"PUBLISH", channel, ""},
		{"PUBSUB", "NUMSUB", channel},
		{"HSET", theirs, "at", "1"},
		{"PEXPIRE", theirs, "10000"},
		{"PUBLISH", "asynq:cancel", ""},
	}
	var commands, other []string
	for _, args := range tries {
		rctx, cancel := q.withTimeout(ctx)
		err := q.redis.Do(rctx, args...).Err()
		cancel()
		switch {
		case !redisfault.Denied(err):
		case strings.Contains(err.Error(), "channel"):
			other = append(other, fmt.Sprintf("publish on %v", args[1]))
		case strings.Contains(err.Error(), "keys"):
			other = append(other, fmt.Sprintf("use the key %v", args[1]))
		default:
			if name, _ := args[0].(string); !slices.Contains(commands, name) {
				commands = append(commands, name)
			}
		}
	}
	if _, err := q.redis.TxPipelined(ctx, func(p redis.Pipeliner) error { return p.HGetAll(ctx, own).Err() }); redisfault.Denied(err) {
		commands = append(commands, "MULTI, EXEC")
	}
	var missing []string
	if len(commands) > 0 {
		missing = append(missing, "run "+strings.Join(commands, ", "))
	}
	missing = append(missing, slices.Compact(other)...)
	if len(missing) == 0 {
		return ""
	}
	return fmt.Sprintf("the Redis user %s may not %s; docs/operations lists the rights that are needed (ACL SETUSER)", q.user(), strings.Join(missing, ", nor "))
}

// user returns our user name in Redis.
func (q *Queue) user() string {
	name := ""
	switch c := q.redis.(type) {
	case *redis.Client:
		name = c.Options().Username
	case *redis.ClusterClient:
		name = c.Options().Username
	}
	if name == "" {
		return "default"
	}
	return name
}

// unavailable is the error that a caller gets when Redis fails.
func unavailable(tried string, err error) *job.Error { return redisfault.Unavailable(tried, err) }
