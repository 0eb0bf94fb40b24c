package queue

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/queue/provider"
)

// Redis forgets its scripts, as after a restart, while many callers share
// pipelines: nobody notices.
func TestScriptsForgottenUnderLoad(t *testing.T) {
	eachMode(t, func(t *bundle) {
		t.serve(t.q, job.LaneInteractive, 8, echo)
		for range 3 {
			if err := t.q.redis.ScriptFlush(t.ctx).Err(); err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			for i := range 50 {
				wg.Go(func() {
					want := fmt.Sprint("prompt ", i)
					a, _, err := t.q.Ask(t.ctx, interact(want), 20*time.Second)
					if err != nil || a.Response != want {
						t.Errorf("asked %q: answer %v, error %v", want, a, err)
					}
				})
			}
			wg.Wait()
		}
	})
}

// Tasks that were taken ahead and not begun are free again when the worker
// stops.
func TestTakenAheadIsGivenBack(t *testing.T) {
	eachMode(t, func(t *bundle) {
		for range 3 {
			t.submit(interact("x"))
		}
		s := t.q.Serve(job.LaneBatch, 3, echo)
		k := s.keys
		keys := []string{k.pending(), k.paused(), k.active(), k.lease()}
		if err := s.dequeue(t.ctx, t.q.redis, keys, []any{time.Now().Add(time.Minute).Unix(), k.tasks()}).Err(); err != nil {
			t.Fatal(err)
		}
		if n := t.lane(job.LaneBatch); n.Pending != 0 || n.Active != 3 {
			t.Errorf("lane is %+v", n)
		}
		s.requeuePrefetched(t.ctx)
		if n := t.lane(job.LaneBatch); n.Pending != 2 || n.Active != 1 {
			t.Errorf("lane is %+v", n)
		}
	})
}

// Jobs that are submitted at the same time share scripts, and each gets the verdict that
// it would get alone: the lane takes as many as its bound allows, a job that was
// submitted before is not there twice.
func TestJobsAreSubmittedTogether(t *testing.T) {
	t.Parallel()
	const bound, many = 20, 40
	b := setup(t, provider.Child, Options{MaxQueue: bound})
	known := b.submit(interact("known"))
	p := b.q.pipeliner
	// Redis holds back all writes, so that the pipelines are busy.
	if err := b.q.redis.Do(b.ctx, "CLIENT", "PAUSE", 60_000, "WRITE").Err(); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() { p.Run(b.ctx, redis.NewScript("return 1"), nil) })
	}
	b.until("the pipelines are busy", func() bool { return p.Waiting() == 1 })
	b.q.redis.ConfigResetStat(b.ctx)
	var mu sync.Mutex
	positions, full := map[int]bool{}, 0
	for i := range many {
		wg.Go(func() {
			spec := interact(fmt.Sprint("prompt ", i))
			if i == 0 {
				spec.ID = known.ID
			}
			j, err := b.q.Submit(b.ctx, spec)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil && job.AsError(err).Code == job.CodeQueueFull:
				full++
			case err != nil:
				t.Errorf("job %d: %v", i, err)
			case i > 0:
				positions[*j.QueuePosition] = true
			}
		})
	}
	b.until("all wait", func() bool { return p.Waiting() == 1+many })
	if err := b.q.redis.Do(b.ctx, "CLIENT", "UNPAUSE").Err(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if len(positions) != bound-1 || full != many-bound || !positions[2] || !positions[bound] {
		t.Errorf("positions %v, %d refused, want %d", positions, full, many-bound)
	}
	if n := b.lane(job.LaneBatch); n.Pending != bound {
		t.Errorf("lane is %+v", n)
	}
	stats, err := b.q.redis.InfoMap(b.ctx, "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	if line := stats["Commandstats"]["cmdstat_lpush"]; !strings.HasPrefix(line, "calls=2,") {
		t.Errorf("the jobs of two scripts are queued by %q", line)
	}
	taken := map[string]bool{}
	all := make(chan struct{})
	b.serve(b.q, job.LaneBatch, 8, func(_ context.Context, task *Task) (any, error) {
		mu.Lock()
		defer mu.Unlock()
		if taken[task.Spec.ID] {
			t.Errorf("job %s runs twice", task.Spec.ID)
		}
		taken[task.Spec.ID] = true
		if len(taken) == bound {
			close(all)
		}
		return job.Answer{Response: "done"}, nil
	})
	select {
	case <-all:
	case <-b.ctx.Done():
		t.Fatalf("%d of %d ran", len(taken), bound)
	}
}
