// Package redishealth reads what Redis reports about itself, and tries whether it does
// what nexus needs.
package redishealth

import (
	"context"
	_ "embed" // the script
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

//go:embed probe.lua
var probeLua string

var probeScript = redis.NewScript(probeLua)

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

// Options configure a Monitor. All fields are required.
type Options struct {
	Redis redis.UniversalClient
	// Own and Asynq begin the keys of nexus and of asynq that are tried.
	Own, Asynq string
	Timeout    time.Duration // of one command
}

// Monitor watches one Redis. Many callers share one reading. It is safe for concurrent
// use.
type Monitor struct {
	opt  Options
	life context.Context // ends with Stop
	end  context.CancelFunc

	mu       sync.Mutex
	at       time.Time // of the last reading; zero before the first
	state    RedisState
	err      error
	reading  bool // in the background
	stopped  bool
	readings sync.WaitGroup

	probing sync.Mutex
	probed  time.Time
	fault   error
}

// New makes a Monitor. It sends nothing to Redis before the first use.
func New(opt Options) *Monitor {
	m := &Monitor{opt: opt}
	m.life, m.end = context.WithCancel(context.Background())
	return m
}

// Stop ends the reading in the background.
func (m *Monitor) Stop() {
	m.end()
	m.mu.Lock()
	m.stopped = true
	m.mu.Unlock()
	m.readings.Wait()
}

// RedisState returns the state of Redis. It reads the state at most once a second.
// Errors: CodeUnavailable.
func (m *Monitor) RedisState(ctx context.Context) (RedisState, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.at.IsZero() && time.Since(m.at) < stateAge {
		return m.state, m.err
	}
	m.state, m.err = m.read(ctx)
	m.at = time.Now()
	return m.state, m.err
}

// CachedRedisState returns the last reading at no cost. It starts a new one if that is
// old.
func (m *Monitor) CachedRedisState() RedisState {
	m.mu.Lock()
	defer m.mu.Unlock()
	if time.Since(m.at) >= stateAge && !m.reading && !m.stopped {
		m.reading = true
		m.readings.Go(func() {
			_, _ = m.RedisState(m.life) // what fails is read again
			m.mu.Lock()
			m.reading = false
			m.mu.Unlock()
		})
	}
	return m.state
}

func (m *Monitor) read(ctx context.Context) (RedisState, error) {
	ctx, cancel := context.WithTimeout(ctx, m.opt.Timeout)
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
	if cluster, ok := m.opt.Redis.(*redis.ClusterClient); ok {
		err = cluster.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error { return read(ctx, c) })
	} else {
		err = read(ctx, m.opt.Redis)
	}
	if err != nil {
		return RedisState{}, redisfault.Unavailable("read the state of Redis", err)
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

// Ping checks that Redis responds. Errors: CodeUnavailable.
func (m *Monitor) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, m.opt.Timeout)
	defer cancel()
	if err := m.opt.Redis.Ping(ctx).Err(); err != nil {
		return redisfault.Unavailable("ping", err)
	}
	return nil
}

// Check tries the Redis operations that jobs need. A mere reply is not enough, because
// a read-only replica and a full server reply too. Callers within 250 ms share a
// result. Errors: CodeUnavailable, with the reason if it is known.
func (m *Monitor) Check(ctx context.Context) error {
	m.probing.Lock()
	defer m.probing.Unlock()
	// A write that succeeded a moment ago does not prove that Redis is still there.
	if !m.probed.IsZero() && time.Since(m.probed) < stateAge/4 && (m.fault != nil || m.Ping(ctx) == nil) {
		return m.fault
	}
	m.fault = m.probe(ctx)
	if ctx.Err() == nil {
		m.probed = time.Now()
	}
	return m.fault
}

func (m *Monitor) probe(ctx context.Context) error {
	rctx, cancel := context.WithTimeout(ctx, m.opt.Timeout)
	defer cancel()
	own := m.opt.Own + "probe"
	err := probeScript.Run(rctx, m.opt.Redis, []string{own, m.opt.Asynq + "probe"}, own, time.Now().UnixMilli()).Err()
	if redisfault.Denied(err) {
		if lacks := m.Lacks(ctx); lacks != "" {
			return job.Errorf(job.CodeUnavailable, "%s", lacks).After(time.Second).Because(err)
		}
	}
	if err != nil {
		return redisfault.Unavailable("try Redis", err)
	}
	return nil
}

// Lacks says which Redis permissions our user lacks; empty if none is missing. It tries
// each kind of command separately, because a script does not say which of its commands
// was denied.
func (m *Monitor) Lacks(ctx context.Context) string {
	own, theirs := m.opt.Own+"probe", m.opt.Asynq+"probe"
	channel := own
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
		rctx, cancel := context.WithTimeout(ctx, m.opt.Timeout)
		err := m.opt.Redis.Do(rctx, args...).Err()
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
	if _, err := m.opt.Redis.TxPipelined(ctx, func(p redis.Pipeliner) error { return p.HGetAll(ctx, own).Err() }); redisfault.Denied(err) {
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
	return fmt.Sprintf("the Redis user %s may not %s; docs/operations lists the rights that are needed (ACL SETUSER)", m.user(), strings.Join(missing, ", nor "))
}

// user returns our user name in Redis.
func (m *Monitor) user() string {
	name := ""
	switch c := m.opt.Redis.(type) {
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
