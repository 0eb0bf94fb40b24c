package queue

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/job"
)

// Redis forgets its scripts, as after a restart, while many callers share
// pipelines: nobody notices.
func TestScriptsForgottenUnderLoad(t *testing.T) {
	eachRung(t, func(t *bundle) {
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
	eachRung(t, func(t *bundle) {
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
