package queue

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/job"
)

// 200 posts with one key, over two processes: one does the work, all get its
// outcome.
func TestOnceAmong200(t *testing.T) {
	eachMode(t, func(t *bundle) {
		other := t.open(Options{})
		var did atomic.Int64
		var wg sync.WaitGroup
		for i := range 200 {
			q := []*Queue{t.q, other}[i%2]
			wg.Go(func() {
				claim, outcome, err := q.Once(t.ctx, "POST /api/jobs", "key", "body", time.Minute)
				if err != nil {
					t.Error(err)
					return
				}
				if claim != nil {
					did.Add(1)
					j, err := q.Submit(t.ctx, interact("x"))
					if err != nil {
						t.Error(err)
					}
					outcome = []byte(j.ID)
					if err := claim.Keep(t.ctx, outcome); err != nil {
						t.Error(err)
					}
				}
				if len(outcome) != idLength {
					t.Errorf("outcome is %q", outcome)
				}
			})
		}
		wg.Wait()
		if did.Load() != 1 || t.lane(job.LaneBatch).Pending != 1 {
			t.Errorf("%d did the work, %d jobs wait", did.Load(), t.lane(job.LaneBatch).Pending)
		}
	})
}

func TestOnceWithAnotherBody(t *testing.T) {
	eachMode(t, func(t *bundle) {
		claim, _, err := t.q.Once(t.ctx, "s", "key", "body", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = t.q.Once(t.ctx, "s", "key", "another", time.Minute)
		wantCode(t.T, err, job.CodeIdempotencyReuse)
		if err := claim.Keep(t.ctx, []byte("done")); err != nil {
			t.Fatal(err)
		}
		_, _, err = t.q.Once(t.ctx, "s", "key", "another", time.Minute)
		wantCode(t.T, err, job.CodeIdempotencyReuse)
		// Another scope is another key.
		claim, _, err = t.q.Once(t.ctx, "s2", "key", "another", time.Minute)
		if err != nil || claim == nil {
			t.Fatalf("claim %v, error %v", claim, err)
		}
		if err := claim.Drop(t.ctx, false); err != nil {
			t.Fatal(err)
		}
	})
}

func TestOncePassesADroppedClaimOn(t *testing.T) {
	eachMode(t, func(t *bundle) {
		first, _, err := t.q.Once(t.ctx, "s", "key", "body", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		second := make(chan *Claim, 1)
		go func() {
			c, _, err := t.q.Once(t.ctx, "s", "key", "body", time.Minute)
			if err != nil {
				t.Error(err)
			}
			second <- c
		}()
		if err := first.Drop(t.ctx, false); err != nil {
			t.Fatal(err)
		}
		c := <-second
		if c == nil {
			t.Fatal("nobody got the claim")
		}
		if err := first.Keep(t.ctx, []byte("late")); err != nil {
			t.Fatal(err)
		}
		if err := c.Keep(t.ctx, []byte("right")); err != nil {
			t.Fatal(err)
		}
		if err := c.Drop(t.ctx, false); err != nil {
			t.Fatal(err)
		}
		_, outcome, err := t.q.Once(t.ctx, "s", "key", "body", time.Minute)
		if err != nil || string(outcome) != "right" {
			t.Errorf("outcome %q, error %v", outcome, err)
		}
	})
}

func TestOnceEndsWithItsContext(t *testing.T) {
	eachMode(t, func(t *bundle) {
		first, _, err := t.q.Once(t.ctx, "s", "key", "body", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.ctx, 20*time.Millisecond)
		defer cancel()
		_, _, err = t.q.Once(ctx, "s", "key", "body", time.Minute)
		if err == nil {
			t.Error("it did not wait")
		}
		if err := first.Drop(t.ctx, false); err != nil {
			t.Fatal(err)
		}
	})
}

// The first could not tell whether its job was made, or died: the next, with the
// same key, goes on with the same job.
func TestOnceKeepsTheJobsID(t *testing.T) {
	eachMode(t, func(t *bundle) {
		first, _, err := t.q.Once(t.ctx, "s", "key", "body", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if err := first.Drop(t.ctx, true); err != nil {
			t.Fatal(err)
		}
		second, _, err := t.q.Once(t.ctx, "s", "key", "body", time.Minute)
		if err != nil || second.JobID != first.JobID {
			t.Fatalf("claim %+v after %+v, error %v", second, first, err)
		}
		// It dies: its time runs out.
		second.end()
		if err := t.q.redis.HSet(t.ctx, second.key, "until", "1").Err(); err != nil {
			t.Fatal(err)
		}
		third, _, err := t.q.Once(t.ctx, "s", "key", "body", time.Minute)
		if err != nil || third.JobID != first.JobID {
			t.Fatalf("claim %+v after %+v, error %v", third, first, err)
		}
		if err := third.Drop(t.ctx, false); err != nil {
			t.Fatal(err)
		}
		fourth, _, err := t.q.Once(t.ctx, "s", "key", "other body", time.Minute)
		if err != nil || fourth.JobID == first.JobID {
			t.Fatalf("claim %+v, error %v", fourth, err)
		}
		if err := fourth.Drop(t.ctx, false); err != nil {
			t.Fatal(err)
		}
	})
}

// A renewal that is under way while its claim is dropped does not bring it back: the
// next use of the key is the first one, at once.
func TestOnceIsNotClaimedAgainByALateRenewal(t *testing.T) {
	eachMode(t, func(t *bundle) {
		claim, _, err := t.q.Once(t.ctx, "s", "key", "body", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if err := claim.Drop(t.ctx, false); err != nil {
			t.Fatal(err)
		}
		if verdict, _, err := claim.try(t.ctx, true); err != nil || verdict != "gone" {
			t.Errorf("the late renewal got %q, %v", verdict, err)
		}
		next, outcome, err := t.q.Once(t.ctx, "s", "key", "another body", time.Minute)
		if err != nil || next == nil {
			t.Fatalf("the next use got %v, %q, %v", next, outcome, err)
		}
		if err := next.Drop(t.ctx, false); err != nil {
			t.Fatal(err)
		}
	})
}
