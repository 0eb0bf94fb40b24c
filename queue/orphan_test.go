package queue

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/nexus-continuum/nexus/job"
)

// whileReplying is a client that calls then when Redis has run a script, before the
// caller has the reply.
type whileReplying struct {
	redis.UniversalClient
	then func()
}

func (c *whileReplying) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	cmd := c.UniversalClient.EvalSha(ctx, sha, keys, args...)
	c.then()
	return cmd
}

// Eval is called where Redis does not know the script yet.
func (c *whileReplying) Eval(ctx context.Context, script string, keys []string, args ...any) *redis.Cmd {
	cmd := c.UniversalClient.Eval(ctx, script, keys, args...)
	c.then()
	return cmd
}

// asynqDequeue calls the dequeue of s as asynq would, over a client.
func (b *bundle) asynqDequeue(s *Server, c redis.UniversalClient) *redis.Cmd {
	k := s.keys
	return s.prefetch(b.ctx, c, []string{k.pending(), k.paused(), k.active(), k.lease()}, []any{time.Now().Add(time.Hour).Unix(), k.tasks()})
}

// A check that falls between a dequeue and its reply finds a task that this process does
// not know yet. If that happens at two dequeues of one job, it is no orphan either.
func TestATaskOnItsWayIsNoOrphan(t *testing.T) {
	eachMode(t, func(t *bundle) {
		id := t.submit(interact("x")).ID
		s := t.q.Serve(job.LaneBatch, 1, echo)
		if err := t.asynqDequeue(s, &whileReplying{t.q.redis, func() {
			for suspects, n := map[string]bool{}, 0; n < 3; n++ {
				suspects = s.freeOrphans(t.ctx, suspects)
			}
		}}).Err(); err != nil {
			t.Fatal(err)
		}
		if j, err := t.q.Job(t.ctx, id); err != nil || j.State != job.StateRunning {
			t.Errorf("job %+v, error %v, want it running", j, err)
		}
	})
}

// A task whose dequeue was answered to nobody runs again.
func TestATaskThatNobodyGotIsFreed(t *testing.T) {
	eachMode(t, func(t *bundle) {
		id := t.submit(interact("x")).ID
		s := t.crash(job.LaneBatch)
		suspects := s.freeOrphans(t.ctx, nil)
		if j, err := t.q.Job(t.ctx, id); err != nil || j.State != job.StateRunning || !suspects[id] {
			t.Errorf("after one check job %+v, error %v, suspects %v", j, err, suspects)
		}
		s.freeOrphans(t.ctx, suspects)
		t.serve(t.q, job.LaneBatch, 1, echo)
		if j := t.untilState(id, job.StateSucceeded); j.Attempts != 1 {
			t.Errorf("%d attempts are counted", j.Attempts)
		}
	})
}
