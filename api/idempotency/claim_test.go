package idempotency

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/queue"
	"github.com/nexus-continuum/nexus/queue/provider"
	"github.com/nexus-continuum/nexus/queue/provider/providertest"
	"github.com/nexus-continuum/nexus/queue/provider/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bundle is a Redis and the keys of one process on it.
type bundle struct {
	*testing.T
	ctx      context.Context
	provided *provider.Provider
	q        *queue.Queue
	keys     *Keys
}

// eachMode runs a test on every Redis that this machine has.
func eachMode(t *testing.T, test func(t *bundle)) {
	t.Helper()
	providertest.EachMode(t, func(t *testing.T, mode string) { test(setup(t, provider.Options{Mode: mode})) })
}

func setup(t *testing.T, opt provider.Options) *bundle {
	t.Helper()
	b := &bundle{T: t}
	b.ctx, b.provided = providertest.Start(t, opt)
	b.keys, b.q = b.open()
	return b
}

// open makes one more process, as it were, on the same Redis.
func (b *bundle) open() (*Keys, *queue.Queue) {
	b.Helper()
	q := queue.Open(queue.Options{Redis: b.provided.Client(), Asynq: b.provided.Asynq(), Timeout: 20 * time.Second})
	if err := q.Start(b.ctx); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := q.Stop(context.Background()); err != nil {
			b.Error(err)
		}
	})
	life, end := context.WithCancel(context.Background())
	b.Cleanup(end)
	return New(life, Options{Redis: b.provided.Client(), Listener: q, Timeout: 20 * time.Second}), q
}

func wantCode(t testing.TB, err error, code string) {
	t.Helper()
	if err == nil || job.AsError(err).Code != code {
		t.Fatalf("error is %v, want code %s", err, code)
	}
}

// On a Cluster all scripts keep to one slot.
func TestOnceOnACluster(t *testing.T) {
	t.Parallel()
	b := setup(t, provider.Options{URL: redistest.StartCluster(t, 3).URL})
	claim, _, err := b.keys.Once(b.ctx, "form", "key", "digest", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if err := claim.Keep(b.ctx, []byte("kept")); err != nil {
		t.Error(err)
	}
	if _, kept, err := b.keys.Once(b.ctx, "form", "key", "digest", time.Minute); err != nil || string(kept) != "kept" {
		t.Errorf("once more: %q, %v", kept, err)
	}
}

// 200 posts with one key, over two processes: one does the work, all get its
// outcome.
func TestOnceAmong200(t *testing.T) {
	eachMode(t, func(t *bundle) {
		other, q := t.open()
		var did atomic.Int64
		var wg sync.WaitGroup
		for i := range 200 {
			keys := []*Keys{t.keys, other}[i%2]
			wg.Go(func() {
				claim, outcome, err := keys.Once(t.ctx, "POST /api/jobs", "key", "body", time.Minute)
				if err != nil {
					t.Error(err)
					return
				}
				if claim != nil {
					did.Add(1)
					j, err := q.Submit(t.ctx, job.Spec{Kind: job.KindInteract, Prompt: "x"})
					if err != nil {
						t.Error(err)
					}
					outcome = []byte(j.ID)
					if err := claim.Keep(t.ctx, outcome); err != nil {
						t.Error(err)
					}
				}
				if len(outcome) != len(job.NewID()) {
					t.Errorf("outcome is %q", outcome)
				}
			})
		}
		wg.Wait()
		jobs, _, err := t.q.Jobs(t.ctx, queue.Filter{})
		if err != nil || did.Load() != 1 || len(jobs) != 1 {
			t.Errorf("%d did the work, %d jobs wait, error %v", did.Load(), len(jobs), err)
		}
	})
}

func TestOnceWithAnotherBody(t *testing.T) {
	eachMode(t, func(t *bundle) {
		claim, _, err := t.keys.Once(t.ctx, "s", "key", "body", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = t.keys.Once(t.ctx, "s", "key", "another", time.Minute)
		wantCode(t, err, job.CodeIdempotencyReuse)
		if err := claim.Keep(t.ctx, []byte("done")); err != nil {
			t.Fatal(err)
		}
		_, _, err = t.keys.Once(t.ctx, "s", "key", "another", time.Minute)
		wantCode(t, err, job.CodeIdempotencyReuse)
		// Another scope is another key.
		claim, _, err = t.keys.Once(t.ctx, "s2", "key", "another", time.Minute)
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
		first, _, err := t.keys.Once(t.ctx, "s", "key", "body", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		second := make(chan *Claim, 1)
		go func() {
			c, _, err := t.keys.Once(t.ctx, "s", "key", "body", time.Minute)
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
		_, outcome, err := t.keys.Once(t.ctx, "s", "key", "body", time.Minute)
		if err != nil || string(outcome) != "right" {
			t.Errorf("outcome %q, error %v", outcome, err)
		}
	})
}

func TestOnceEndsWithItsContext(t *testing.T) {
	eachMode(t, func(t *bundle) {
		first, _, err := t.keys.Once(t.ctx, "s", "key", "body", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.ctx, 20*time.Millisecond)
		defer cancel()
		_, _, err = t.keys.Once(ctx, "s", "key", "body", time.Minute)
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
		first, _, err := t.keys.Once(t.ctx, "s", "key", "body", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if err := first.Drop(t.ctx, true); err != nil {
			t.Fatal(err)
		}
		second, _, err := t.keys.Once(t.ctx, "s", "key", "body", time.Minute)
		if err != nil || second.JobID != first.JobID {
			t.Fatalf("claim %+v after %+v, error %v", second, first, err)
		}
		// It dies: its time runs out.
		second.end()
		if err := t.provided.Client().HSet(t.ctx, second.key, "until", "1").Err(); err != nil {
			t.Fatal(err)
		}
		third, _, err := t.keys.Once(t.ctx, "s", "key", "body", time.Minute)
		if err != nil || third.JobID != first.JobID {
			t.Fatalf("claim %+v after %+v, error %v", third, first, err)
		}
		if err := third.Drop(t.ctx, false); err != nil {
			t.Fatal(err)
		}
		fourth, _, err := t.keys.Once(t.ctx, "s", "key", "other body", time.Minute)
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
		claim, _, err := t.keys.Once(t.ctx, "s", "key", "body", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if err := claim.Drop(t.ctx, false); err != nil {
			t.Fatal(err)
		}
		if verdict, _, err := claim.try(t.ctx, true); err != nil || verdict != "gone" {
			t.Errorf("the late renewal got %q, %v", verdict, err)
		}
		next, outcome, err := t.keys.Once(t.ctx, "s", "key", "another body", time.Minute)
		if err != nil || next == nil {
			t.Fatalf("the next use got %v, %q, %v", next, outcome, err)
		}
		if err := next.Drop(t.ctx, false); err != nil {
			t.Fatal(err)
		}
	})
}
