package queue

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/internal/lifecycle"
	"github.com/nexus-continuum/nexus/job"
)

func TestHandBackSpendsNoAttempt(t *testing.T) {
	eachMode(t, func(t *bundle) {
		attempts := make(chan int, 4)
		var ready atomic.Bool
		t.serve(t.q, job.LaneBatch, 1, func(ctx context.Context, task *Task) (any, error) {
			attempts <- task.Attempt
			if !ready.Load() {
				return nil, HandBack("GPU at 84 °C, over 80", time.Second)
			}
			return echo(ctx, task)
		})
		id := t.submit(interact("x")).ID
		t.until("it says what it waits for", func() bool {
			j, err := t.q.Job(t.ctx, id)
			return err == nil && j.State == job.StateQueued && j.Attempts == 0 &&
				j.WaitingFor != nil && *j.WaitingFor == "GPU at 84 °C, over 80"
		})
		ready.Store(true)
		if j := t.untilState(id, job.StateSucceeded); j.Attempts != 1 || j.WaitingFor != nil {
			t.Errorf("job is %+v", j)
		}
		for len(attempts) > 0 {
			if n := <-attempts; n != 1 {
				t.Errorf("a run was attempt %d", n)
			}
		}
	})
}

// An entry of a job can be left in the queue beside a newer one: Redis drops a task
// where memory is short, and it is made anew. Only one of them runs.
func TestAnEntryThatWasLeftBehindDoesNotRun(t *testing.T) {
	eachMode(t, func(t *bundle) {
		id, k := t.submit(interact("x")).ID, t.q.keys(job.LaneBatch)
		if err := t.q.redis.LPush(t.ctx, k.pending(), id).Err(); err != nil {
			t.Fatal(err)
		}
		begun, end := make(chan struct{}, 2), make(chan struct{})
		t.serve(t.q, job.LaneBatch, 2, func(ctx context.Context, task *Task) (any, error) {
			begun <- struct{}{}
			<-end
			return echo(ctx, task)
		})
		<-begun
		t.until("no entry waits", func() bool { return t.q.redis.LLen(t.ctx, k.pending()).Val() == 0 })
		if n := t.q.redis.LLen(t.ctx, k.active()).Val(); n != 1 || len(begun) != 0 {
			t.Errorf("%d entries are active, %d more runs have begun", n, len(begun))
		}
		close(end)
		if j := t.untilState(id, job.StateSucceeded); j.Attempts != 1 {
			t.Errorf("%d attempts", j.Attempts)
		}
	})
}

func TestPauseLane(t *testing.T) {
	eachMode(t, func(t *bundle) {
		t.serve(t.open(Options{}), job.LaneBatch, 1, echo)
		if err := t.q.PauseLane(t.ctx, job.LaneBatch, true, "paused by hand"); err != nil {
			t.Fatal(err)
		}
		taken := t.submit(interact("x"))
		if taken.WaitingFor == nil || *taken.WaitingFor != "paused by hand" {
			t.Errorf("a job that was just taken waits for %v", taken.WaitingFor)
		}
		id := taken.ID
		j, err := t.q.Job(t.ctx, id)
		if err != nil || j.State != job.StateQueued || j.WaitingFor == nil || *j.WaitingFor != "paused by hand" {
			t.Fatalf("job %+v, error %v", j, err)
		}
		if s := t.lane(job.LaneBatch); !s.Paused || s.PausedWhy != "paused by hand" || s.Pending != 1 || s.OldestMS <= 0 {
			t.Errorf("lane is %+v", s)
		}
		if err := t.q.PauseLane(t.ctx, job.LaneBatch, false, ""); err != nil {
			t.Fatal(err)
		}
		t.untilState(id, job.StateSucceeded)
		if s := t.lane(job.LaneBatch); s.Paused || s.Processed != 1 || s.Failed != 0 {
			t.Errorf("lane is %+v", s)
		}
	})
}

func TestDrainGivesJobsToOthers(t *testing.T) {
	eachMode(t, func(t *bundle) {
		first, second := newGate(), newGate()
		s := t.q.Serve(job.LaneTrain, 1, first.handle)
		if err := s.Start(t.ctx); err != nil {
			t.Fatal(err)
		}
		id := t.submit(job.Spec{Kind: job.KindTrain}).ID
		<-first.started
		t.serve(t.open(Options{}), job.LaneTrain, 1, second.handle)
		began := time.Now()
		if err := s.Stop(t.ctx); err != nil {
			t.Fatal(err)
		}
		task := <-second.started
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("it took %v to run elsewhere", took)
		}
		if task.Spec.ID != id || task.Attempt != 1 {
			t.Errorf("job %s, attempt %d", task.Spec.ID, task.Attempt)
		}
		second.let <- job.Trained{}
		t.untilState(id, job.StateSucceeded)
		if err := s.Stop(t.ctx); err != nil {
			t.Errorf("stopping again: %v", err)
		}
	})
}

func TestStopBeforeStart(t *testing.T) {
	eachMode(t, func(t *bundle) {
		s := t.q.Serve(job.LaneTrain, 1, echo)
		if err := s.Stop(t.ctx); err != nil {
			t.Fatal(err)
		}
		if err := s.Start(t.ctx); err == nil {
			t.Error("it started after its stop")
		}
	})
}

// crash makes a worker take a job and vanish: nothing is acknowledged, nothing
// gives a sign of life.
func (b *bundle) crash(lane job.Lane) (dead *Server) {
	b.Helper()
	k := b.q.keys(lane)
	dead = b.q.Serve(lane, 1, echo)
	cmd := b.q.scripts.dequeue.Run(b.ctx, b.q.redis, []string{k.pending(), k.paused(), k.active(), k.lease()},
		time.Now().Add(time.Hour).Unix(), k.tasks(), dead.id, 1, k.own, dead.beginsAtOnce())
	if err := cmd.Err(); err != nil {
		b.Fatal(err)
	}
	return dead
}

func TestLostWorkersJobsRunAgain(t *testing.T) {
	eachMode(t, func(t *bundle) {
		id := t.submit(interact("x")).ID
		k := t.q.keys(job.LaneBatch)
		t.crash(job.LaneBatch)
		t.serve(t.q, job.LaneBatch, 1, echo)
		j := t.untilState(id, job.StateSucceeded)
		if j.Attempts != 2 {
			t.Errorf("%d attempts", j.Attempts)
		}
		if n := t.q.redis.LLen(t.ctx, k.active()).Val(); n != 0 {
			t.Errorf("%d tasks are still active", n)
		}
	})
}

func TestLostWorkersAskIsAnswered(t *testing.T) {
	eachMode(t, func(t *bundle) {
		answered := make(chan error, 1)
		go func() {
			a, _, err := t.q.Ask(t.ctx, interact("x"), 30*time.Second)
			if err == nil && a.Response != "x" {
				t.Errorf("answer is %+v", a)
			}
			answered <- err
		}()
		t.until("it waits", func() bool { return t.lane(job.LaneInteractive).Pending == 1 })
		t.crash(job.LaneInteractive)
		t.serve(t.q, job.LaneInteractive, 1, echo)
		if err := <-answered; err != nil {
			t.Error(err)
		}
	})
}

func TestJobThatKillsItsWorkersIsGivenUp(t *testing.T) {
	eachMode(t, func(t *bundle) {
		answered := make(chan error, 1)
		go func() {
			_, _, err := t.q.Ask(t.ctx, interact("poison"), 30*time.Second)
			answered <- err
		}()
		t.until("it waits", func() bool { return t.lane(job.LaneInteractive).Pending == 1 })
		q := t.open(Options{MaxLost: 1})
		t.crash(job.LaneInteractive)
		t.serve(q, job.LaneInteractive, 1, echo)
		wantCode(t.T, <-answered, job.CodeInternal)
	})
}

// A worker that was taken for dead comes back: what it brings is dropped, and
// the job's effect is that of the second run alone.
func TestLateWorkerIsFenced(t *testing.T) {
	eachMode(t, func(t *bundle) {
		g := newGate()
		s := t.serve(t.q, job.LaneBatch, 1, g.handle)
		id := t.submit(interact("x")).ID
		<-g.started
		if err := t.q.redis.HSet(t.ctx, s.keys.task(id), "owner", "another").Err(); err != nil {
			t.Fatal(err)
		}
		g.let <- job.Answer{Response: "late"}
		t.until("the late worker is free", func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return len(s.running) == 0
		})
		if j, err := t.q.Job(t.ctx, id); err != nil || j.State != job.StateRunning || j.Result != nil {
			t.Errorf("job %+v, error %v", j, err)
		}
		// The other one is dead; it runs again.
		<-g.started
		g.let <- job.Answer{Response: "right"}
		if got := answerOf(t.T, t.untilState(id, job.StateSucceeded)).Response; got != "right" {
			t.Errorf("response is %q", got)
		}
	})
}

func TestSlotsAreNeverExceeded(t *testing.T) {
	eachMode(t, func(t *bundle) {
		var now, most atomic.Int64
		t.serve(t.q, job.LaneBatch, 3, func(ctx context.Context, task *Task) (any, error) {
			n := now.Add(1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			lifecycle.Sleep(ctx, 2*time.Millisecond)
			now.Add(-1)
			return echo(ctx, task)
		})
		var last string
		for range 60 {
			last = t.submit(interact("x")).ID
		}
		t.untilState(last, job.StateSucceeded)
		if most.Load() > 3 {
			t.Errorf("%d ran at once", most.Load())
		}
	})
}

// Another process's submission wakes an idle worker without waiting for its
// next look.
func TestWakeAcrossProcesses(t *testing.T) {
	eachMode(t, func(t *bundle) {
		t.serve(t.open(Options{}), job.LaneInteractive, 1, echo)
		best := time.Hour
		for range 5 {
			began := time.Now()
			if _, _, err := t.q.Ask(t.ctx, interact("x"), 10*time.Second); err != nil {
				t.Fatal(err)
			}
			best = min(best, time.Since(began))
		}
		if best > maxRest/4 {
			t.Errorf("the fastest of five took %v", best)
		}
	})
}

// The reply to a dequeue is lost: Redis holds a task as the server's, which
// never heard of it.
func TestTaskThatItsWorkerNeverGotRunsAgain(t *testing.T) {
	eachMode(t, func(t *bundle) {
		s := t.serve(t.q, job.LaneBatch, 1, echo)
		if err := t.q.PauseLane(t.ctx, job.LaneBatch, true, "for the test"); err != nil {
			t.Fatal(err)
		}
		id := t.submit(interact("x")).ID
		k := s.keys
		if err := t.q.redis.RPopLPush(t.ctx, k.pending(), k.active()).Err(); err != nil {
			t.Fatal(err)
		}
		if err := t.q.redis.HSet(t.ctx, k.task(id), "state", "active", "owner", s.id).Err(); err != nil {
			t.Fatal(err)
		}
		if err := t.q.PauseLane(t.ctx, job.LaneBatch, false, ""); err != nil {
			t.Fatal(err)
		}
		t.untilState(id, job.StateSucceeded)
	})
}

// A queued and a running job whose tasks were deleted under them run after all.
func TestRecordsWithoutATaskAreAdopted(t *testing.T) {
	eachMode(t, func(t *bundle) {
		k := t.q.keys(job.LaneBatch)
		var ids []string
		for range 2 {
			ids = append(ids, t.submit(interact("x")).ID)
		}
		t.crash(job.LaneBatch)
		for _, id := range ids {
			if err := t.q.redis.Del(t.ctx, k.task(id)).Err(); err != nil {
				t.Fatal(err)
			}
		}
		t.serve(t.q, job.LaneBatch, 1, echo)
		for _, id := range ids {
			if got := answerOf(t.T, t.untilState(id, job.StateSucceeded)).Response; got != "x" {
				t.Errorf("response is %q", got)
			}
		}
	})
}

// Ids whose task was lost are stepped over and not left active.
func TestLostTasksAreSteppedOver(t *testing.T) {
	eachMode(t, func(t *bundle) {
		k := t.q.keys(job.LaneBatch)
		if err := t.q.redis.LPush(t.ctx, k.pending(), job.NewID(), job.NewID()).Err(); err != nil {
			t.Fatal(err)
		}
		id := t.submit(interact("x")).ID
		t.serve(t.q, job.LaneBatch, 1, echo)
		t.untilState(id, job.StateSucceeded)
		if n := t.q.redis.LLen(t.ctx, k.active()).Val(); n != 0 {
			t.Errorf("%d ids are left active", n)
		}
	})
}

// After a FLUSHALL under live processes new work is done as before.
func TestFlushAll(t *testing.T) {
	eachMode(t, func(t *bundle) {
		t.serve(t.q, job.LaneInteractive, 1, echo)
		t.serve(t.q, job.LaneBatch, 1, echo)
		ask := func() {
			if _, _, err := t.q.Ask(t.ctx, interact("x"), 10*time.Second); err != nil {
				t.Fatal(err)
			}
		}
		ask()
		if err := t.q.redis.FlushAll(t.ctx).Err(); err != nil {
			t.Fatal(err)
		}
		ask()
		t.untilState(t.submit(interact("x")).ID, job.StateSucceeded)
		t.until("asynq's tools find the queues", func() bool {
			return t.q.redis.SIsMember(t.ctx, "asynq:queues", string(job.LaneBatch)).Val()
		})
	})
}
