package queue

import (
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/job"
)

// sweeps looks through the lane batch, as often as said, with nothing between.
func (b *bundle) sweeps(r *reconciler, n int) (queued bool) {
	for range n {
		again, _, _ := r.sweep(b.ctx, false, nil)
		queued = queued || again
	}
	return queued
}

// After a pause of Redis the signs of all workers have run out at once, though each
// lives: one look that finds none takes nothing away.
func TestOneMissedSignIsNoDeath(t *testing.T) {
	eachMode(t, func(t *bundle) {
		id := t.submit(interact("x")).ID
		worker := t.crash(job.LaneBatch)
		worker.renewLiveness(t.ctx)
		if _, _, err := worker.tryBegin(t.ctx, id); err != nil {
			t.Fatal(err)
		}
		r := &reconciler{q: t.q, lane: job.LaneBatch, keys: worker.keys, me: t.q.id}
		for range 3 {
			if err := t.q.redis.Del(t.ctx, worker.keys.owner(worker.id)).Err(); err != nil {
				t.Fatal(err)
			}
			if t.sweeps(r, 1) {
				t.Fatal("a worker was taken for dead at the first look without a sign")
			}
			worker.renewLiveness(t.ctx)
			if t.sweeps(r, 1) {
				t.Fatal("a worker that has signed was taken for dead")
			}
		}
		if err := t.q.redis.Del(t.ctx, worker.keys.owner(worker.id)).Err(); err != nil {
			t.Fatal(err)
		}
		if !t.sweeps(r, 2) {
			t.Error("a worker without a sign in two looks was not taken for dead")
		}
		if j, err := t.q.Job(t.ctx, id); err != nil || j.State != job.StateQueued {
			t.Errorf("job is %+v, %v", j, err)
		}
	})
}

// A process that was killed listens to nothing: its jobs run again within three
// seconds, long before its last sign runs out. One that lives and is late with its
// sign keeps them.
func TestKilledWorkersJobsRunAgainSoon(t *testing.T) { eachMode(t, jobsOfAKilledWorker) }

func jobsOfAKilledWorker(t *bundle) {
	q := t.open(Options{Liveness: time.Hour})
	dead := q.submit(t, "dead")
	killed := t.crash(job.LaneBatch)
	late := q.submit(t, "late")
	living := t.crash(job.LaneBatch)
	defer q.Listen(t.ctx, living.keys.owner(living.id), func(string, bool) {})()
	for s, id := range map[*Server]string{killed: dead, living: late} {
		// Their last signs are older than any that comes in time.
		if err := t.q.redis.Set(t.ctx, s.keys.owner(s.id), "x", time.Hour-2*time.Second).Err(); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.tryBegin(t.ctx, id); err != nil {
			t.Fatal(err)
		}
	}
	r := &reconciler{q: q, lane: job.LaneBatch, keys: killed.keys, me: q.id, listens: "ear"}
	defer q.Listen(t.ctx, "ear", func(string, bool) {})()
	if !r.scan(t.ctx, 1) {
		t.Error("the job of the killed worker is not queued again")
	}
	for id, want := range map[string]job.State{dead: job.StateQueued, late: job.StateRunning} {
		if j, err := t.q.Job(t.ctx, id); err != nil || j.State != want {
			t.Errorf("job is %s, want %s; %v", j.State, want, err)
		}
	}
	// Where nobody is heard, as after a restart of Redis, silence tells nothing.
	r.listens = "nobody's"
	if r.scan(t.ctx, 1) {
		t.Error("a worker was taken for dead by a sweeper that is not heard either")
	}
}

func (q *Queue) submit(t *bundle, prompt string) string {
	j, err := q.Submit(t.ctx, interact(prompt))
	if err != nil {
		t.Fatal(err)
	}
	return j.ID
}

// What progress is answered tells of a cancellation whose message was lost.
func TestProgressTellsOfACancellation(t *testing.T) {
	eachMode(t, func(t *bundle) {
		id := t.submit(interact("x")).ID
		s := t.crash(job.LaneBatch)
		if _, _, err := s.tryBegin(t.ctx, id); err != nil {
			t.Fatal(err)
		}
		var causes []error
		task := &Task{s: s, Spec: job.Spec{ID: id}, cancel: func(err error) { causes = append(causes, err) }}
		task.write(t.ctx, []byte(`{"phase":"x","done":1,"total":2,"message":""}`))
		if len(causes) != 0 {
			t.Fatalf("it was canceled: %v", causes)
		}
		if err := t.q.redis.HSet(t.ctx, s.keys.record(id), "cancel", "1").Err(); err != nil {
			t.Fatal(err)
		}
		task.write(t.ctx, []byte(`{"phase":"x","done":2,"total":2,"message":""}`))
		if len(causes) != 1 || causes[0] != ErrCanceled { //nolint:errorlint // as it is given
			t.Errorf("it was told %v", causes)
		}
	})
}
