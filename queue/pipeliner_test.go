package queue

import (
	"context"
	"fmt"
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
		s.giveBack(t.ctx)
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
	p := &pipeliner{client: b.q.redis, busy: pipelines} // as many are under way as may be
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
