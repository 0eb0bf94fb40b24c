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

// A call in company keeps to its own deadline: one that gives up soon does not take
// the others with it.
func TestCompanyKeepsItsOwnDeadlines(t *testing.T) {
	t.Parallel()
	b := setup(t, provider.Child, Options{})
	p := &pipeliner{client: b.q.redis, busy: maxInFlight} // as many are under way as may be
	slow := redis.NewScript("local t = 0 while t < 3000000 do t = t + 1 end return 1")
	if err := slow.Load(b.ctx, b.q.redis).Err(); err != nil {
		t.Fatal(err)
	}
	hasty, cancel := context.WithTimeout(b.ctx, time.Millisecond)
	defer cancel()
	type result struct{ err error }
	soon, patient := make(chan result, 1), make(chan result, 1)
	go func() { soon <- result{p.run(hasty, slow, nil).Err()} }()
	b.until("the hasty call waits first", func() bool { p.mu.Lock(); defer p.mu.Unlock(); return len(p.waiting) == 1 })
	go func() { patient <- result{p.run(b.ctx, slow, nil).Err()} }()
	b.until("both wait", func() bool { p.mu.Lock(); defer p.mu.Unlock(); return len(p.waiting) == 2 })
	<-hasty.Done()
	p.next(b.ctx)
	if r := <-patient; r.err != nil {
		t.Errorf("the patient call failed: %v", r.err)
	}
	if r := <-soon; r.err == nil {
		t.Error("the hasty call was not given up")
	}
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
	p.mu.Lock()
	p.busy += maxInFlight // as many are under way as may be
	p.mu.Unlock()
	b.q.redis.ConfigResetStat(b.ctx)
	var wg sync.WaitGroup
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
	b.until("all wait", func() bool { p.mu.Lock(); defer p.mu.Unlock(); return len(p.waiting) == many })
	p.next(b.ctx)
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
