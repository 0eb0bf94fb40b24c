package queue

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/nexus-continuum/nexus/internal/redishealth"
	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/queue/provider/redistest"
)

// leastACL is what docs/operations tells to give the user.
const leastACL = "~nexus:* ~asynq:* &nexus:* &asynq:* +@read +@write +@connection +eval +evalsha +script|load +script|exists +@pubsub +@stream +@transaction -@dangerous -function +info +time"

// admin is a client of the server's own.
func admin(t *testing.T, s *redistest.Server) *redis.Client {
	c := s.Client()
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func setUser(t *testing.T, c *redis.Client, rights string) {
	t.Helper()
	args := []any{"ACL", "SETUSER", "nexus", "reset", "on", ">secret"}
	for _, r := range strings.Fields(rights) {
		args = append(args, r)
	}
	if err := c.Do(context.Background(), args...).Err(); err != nil {
		t.Fatal(err)
	}
}

// With the documented rights everything works, and nothing is said to be missing.
func TestLeastRights(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	setUser(t, admin(t, s), leastACL)
	b := onURL(t, "redis://nexus:secret@"+s.Addr, Options{})
	if lacks := b.q.Lacks(b.ctx); lacks != "" {
		t.Fatal(lacks)
	}
	if err := b.q.Check(b.ctx); err != nil {
		t.Fatal(err)
	}
	if state, err := b.q.RedisState(b.ctx); err != nil || state.UsedBytes == 0 {
		t.Errorf("state %+v, %v", state, err)
	}
	everything(b)
	// A thief of the user gets neither the administrator's password nor what others keep there.
	for _, args := range [][]any{
		{"GET", "other"},
		{"SET", "other", "1"},
		{"FLUSHALL"},
		{"FLUSHDB"},
		{"CONFIG", "GET", "requirepass"},
		{"CONFIG", "SET", "dir", "/"},
		{"SCRIPT", "FLUSH"},
		{"FUNCTION", "FLUSH"},
		{"CLIENT", "LIST"},
		{"CLIENT", "KILL", "TYPE", "normal"},
		{"ACL", "LIST"},
		{"KEYS", "*"},
		{"MONITOR"},
		{"DEBUG", "SLEEP", "0"},
		{"MIGRATE", "h", "1", "nexus:k", "0", "1"},
		{"REPLICAOF", "h", "1"},
		{"MODULE", "LIST"},
		{"SHUTDOWN"},
		{"SUBSCRIBE", "other"},
		{"EVAL", "return redis.call('get', 'other')", "0"},
		{"EVAL", "return redis.call('config', 'get', 'requirepass')", "0"},
	} {
		if err := b.q.redis.Do(b.ctx, args...).Err(); err == nil || !strings.Contains(err.Error(), "NOPERM") && !strings.Contains(err.Error(), "can't") && !strings.Contains(err.Error(), "not allowed") {
			t.Errorf("%v: %v", args, err)
		}
	}
}

// A right that is missing is named.
func TestMissingRightsAreNamed(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	c := admin(t, s)
	setUser(t, c, leastACL)
	b := onURL(t, "redis://nexus:secret@"+s.Addr, Options{})
	for without, says := range map[string]string{
		"-time":                              "the Redis user nexus may not run TIME;",
		"-time -xadd":                        "may not run TIME, XADD;",
		"resetkeys ~asynq:*":                 "may not use the key nexus:",
		"resetkeys ~nexus:*":                 "may not use the key asynq:",
		"resetchannels &asynq:*":             "may not publish on nexus:",
		"-eval":                              "may not run EVAL;",
		"resetchannels &nexus:* -hset -info": "may not run INFO, HSET, nor publish on asynq:",
	} {
		setUser(t, c, leastACL+" "+without)
		if lacks := b.q.Lacks(b.ctx); !strings.Contains(lacks, says) {
			t.Errorf("%s: said %q, want %q", without, lacks, says)
		}
	}
	setUser(t, c, leastACL+" -time")
	b.until("the check names the right", func() bool {
		err := b.q.Check(b.ctx)
		return err != nil && strings.Contains(job.AsError(err).Detail, "the Redis user nexus may not run TIME")
	})
}

// A Redis that answers and takes no jobs is no Redis to stand on; why is told to
// those who ask.
func TestRedisThatTakesNoJobs(t *testing.T) {
	t.Parallel()
	refuses := func(b *bundle, says string) {
		b.Helper()
		b.until("the check says "+says, func() bool {
			err := b.q.Check(b.ctx)
			return err != nil && strings.Contains(job.AsError(err).Detail, says)
		})
		if err := b.q.Ping(b.ctx); err != nil {
			b.Errorf("it does not answer: %v", err)
		}
		_, _, err := b.q.Ask(b.ctx, interact("x"), time.Second)
		wantCode(b.T, err, job.CodeUnavailable)
		if !strings.Contains(job.AsError(err).Detail, says) {
			b.Errorf("an ask is told %q", job.AsError(err).Detail)
		}
	}
	t.Run("replica", func(t *testing.T) {
		t.Parallel()
		primary, s := redistest.Start(t), redistest.Start(t)
		b := onURL(t, "redis://"+s.Addr, Options{})
		if err := b.q.Check(b.ctx); err != nil {
			t.Fatal(err)
		}
		host, port, _ := strings.Cut(primary.Addr, ":")
		if err := admin(t, s).ReplicaOf(b.ctx, host, port).Err(); err != nil {
			t.Fatal(err)
		}
		refuses(b, "read-only replica")
		if err := admin(t, s).ReplicaOf(b.ctx, "NO", "ONE").Err(); err != nil {
			t.Fatal(err)
		}
		b.until("it takes jobs again", func() bool { return b.q.Check(b.ctx) == nil })
	})
	t.Run("full", func(t *testing.T) {
		t.Parallel()
		s := redistest.Start(t)
		b := onURL(t, "redis://"+s.Addr, Options{})
		if err := admin(t, s).ConfigSet(b.ctx, "maxmemory", "1").Err(); err != nil {
			t.Fatal(err)
		}
		refuses(b, "out of memory")
	})
}

// Before Redis is full, jobs that nobody waits for are refused, and callers who wait
// are still served.
func TestMemoryIsKeptForThoseWhoWait(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	b := onURL(t, "redis://"+s.Addr, Options{})
	b.serve(b.q, job.LaneInteractive, 2, echo)
	c := admin(t, s)
	used := func() int64 {
		state, err := redishealth.New(redishealth.Options{Redis: b.q.redis, Timeout: time.Second}).RedisState(b.ctx)
		if err != nil {
			t.Fatal(err)
		}
		return state.UsedBytes
	}
	limit := used()*2 + 64<<20
	if err := c.ConfigSet(b.ctx, "maxmemory", strconv.FormatInt(limit, 10)).Err(); err != nil {
		t.Fatal(err)
	}
	b.submit(interact("while there is room"))
	if err := c.SetRange(b.ctx, "nexus:filler", int64(float64(limit)*0.93)-used(), "x").Err(); err != nil {
		t.Fatal(err)
	}
	b.until("a job that nobody waits for is refused", func() bool {
		_, err := b.q.Submit(b.ctx, interact("x"))
		if err == nil {
			return false
		}
		wantCode(t, err, job.CodeUnavailable)
		return strings.Contains(err.Error(), "maxmemory")
	})
	if a, _, err := b.q.Ask(b.ctx, interact("x"), time.Minute); err != nil || a == nil {
		t.Errorf("a caller who waits got %+v, %v", a, err)
	}
	if state, err := b.q.RedisState(b.ctx); err != nil || !state.Full() || state.MaxBytes != limit || state.Policy != "noeviction" || state.AppendOnly == nil || *state.AppendOnly {
		t.Errorf("state %+v, %v", state, err)
	}
}
