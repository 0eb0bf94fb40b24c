package queue

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/job"
)

// reconcile runs the elected reconciler until the test ends.
func (b *bundle) reconcile(token int64) {
	b.Helper()
	ctx, cancel := context.WithCancel(b.ctx)
	ended := make(chan error, 1)
	go func() { ended <- b.q.Reconcile(ctx, token) }()
	b.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			b.Error(err)
		}
	})
}

func (b *bundle) repairs(what string) int64 {
	b.Helper()
	all, err := b.q.Repairs(b.ctx)
	if err != nil {
		b.Fatal(err)
	}
	return all[what]
}

// A job's time is up while it waits, with no worker anywhere.
func TestWaitingJobFailsAtItsDeadline(t *testing.T) {
	eachMode(t, func(t *bundle) {
		t.reconcile(1)
		spec := interact("x")
		spec.CreatedAt = time.Now()
		spec.Deadline = spec.CreatedAt.Add(400 * time.Millisecond)
		j := t.untilState(t.submit(spec).ID, job.StateFailed)
		if j.Error == nil || j.Error.Code != job.CodeTimeout {
			t.Errorf("error is %+v", j.Error)
		}
		if took := j.FinishedAt.Sub(spec.CreatedAt); took < 399*time.Millisecond || took > 5*time.Second {
			t.Errorf("it failed %v after its making", took)
		}
		if n := t.repairs(RepairOverdue); n != 1 {
			t.Errorf("%d repairs are counted", n)
		}
		if n := t.lane(job.LaneBatch).Pending; n != 0 {
			t.Errorf("%d tasks are left", n)
		}
	})
}

// A worker whose clock is five minutes off, either way, keeps deadlines and
// dates as the others do.
func TestWorkersClockIsWrong(t *testing.T) {
	for _, off := range []time.Duration{-5 * time.Minute, 5 * time.Minute} {
		t.Run(off.String(), func(t *testing.T) {
			eachMode(t, func(t *bundle) {
				q := t.open(Options{Now: func() time.Time { return time.Now().Add(off) }})
				left := make(chan time.Duration, 1)
				t.serve(q, job.LaneBatch, 1, func(ctx context.Context, task *Task) (any, error) {
					at, ok := ctx.Deadline()
					if !ok {
						return nil, errors.New("no deadline")
					}
					left <- time.Until(at)
					return echo(ctx, task)
				})
				spec := interact("x")
				spec.Deadline = time.Now().Add(time.Minute)
				j := t.untilState(t.submit(spec).ID, job.StateSucceeded)
				if l := <-left; l > time.Minute || l < 20*time.Second {
					t.Errorf("the worker was given %v", l)
				}
				if d := j.FinishedAt.Sub(j.CreatedAt.Time); d < -5*time.Second || d > 40*time.Second {
					t.Errorf("dated %v after its making", d)
				}
			})
		})
	}
}

// The process whose caller waits dies: its prompts are not computed.
func TestPromptsOfADeadProcessAreDropped(t *testing.T) {
	forget := func(t *bundle) (id string) {
		spec := interact("x")
		spec.Lane, spec.ReplyTo = job.LaneInteractive, "dead"
		if err := t.q.fillSpec(&spec); err != nil {
			t.Fatal(err)
		}
		if _, err := t.q.put(t.ctx, payload{Spec: spec}, noRecord, time.Millisecond); err != nil {
			t.Fatal(err)
		}
		// Its wait ended long ago.
		if err := t.q.redis.HSet(t.ctx, t.q.keys(job.LaneInteractive).task(spec.ID), "until", "1000").Err(); err != nil {
			t.Fatal(err)
		}
		return spec.ID
	}
	gone := func(t *bundle, id string) {
		t.until("the task is gone", func() bool {
			return t.q.redis.Exists(t.ctx, t.q.keys(job.LaneInteractive).task(id)).Val() == 0
		})
		if n := t.repairs(RepairAbandoned); n != 1 {
			t.Errorf("%d repairs are counted", n)
		}
	}
	t.Run("by the worker", func(t *testing.T) {
		eachMode(t, func(t *bundle) {
			id := forget(t)
			asked := make(chan string, 2)
			t.serve(t.q, job.LaneInteractive, 1, func(ctx context.Context, task *Task) (any, error) {
				asked <- task.Spec.Prompt
				return echo(ctx, task)
			})
			gone(t, id)
			if _, _, err := t.q.Ask(t.ctx, interact("living"), 20*time.Second); err != nil {
				t.Fatal(err)
			}
			if p := <-asked; p != "living" {
				t.Errorf("%q was computed", p)
			}
		})
	})
	t.Run("by the reconciler", func(t *testing.T) {
		eachMode(t, func(t *bundle) {
			id := forget(t)
			t.reconcile(1)
			gone(t, id)
		})
	})
}

func TestFormerLeaderStops(t *testing.T) {
	eachMode(t, func(t *bundle) {
		t.reconcile(7)
		t.until("the leader has looked", func() bool {
			return t.q.redis.Exists(t.ctx, t.q.keys(job.LaneTrain).own+"leader").Val() == 1
		})
		if err := t.open(Options{}).Reconcile(t.ctx, 6); !errors.Is(err, ErrFormer) {
			t.Errorf("the former leader ended with %v", err)
		}
	})
}

// The worker of a canceled job dies before it could stop: the job ends all the same.
func TestCanceledJobOfALostWorkerEnds(t *testing.T) {
	eachMode(t, func(t *bundle) {
		id := t.submit(interact("x")).ID
		t.crash(job.LaneBatch)
		if j, err := t.q.Cancel(t.ctx, id); err != nil || j.State != job.StateRunning {
			t.Fatalf("job %+v, error %v", j, err)
		}
		t.reconcile(1)
		t.untilState(id, job.StateCanceled)
	})
}

// Prompts in hand are answered by the worker that stops, though there is no other.
func TestDrainFinishesPrompts(t *testing.T) {
	eachMode(t, func(t *bundle) {
		g := newGate()
		s := t.q.Serve(job.LaneInteractive, 2, g.handle)
		if err := s.Start(t.ctx); err != nil {
			t.Fatal(err)
		}
		answered := make(chan error, 1)
		go func() {
			a, _, err := t.q.Ask(t.ctx, interact("x"), 40*time.Second)
			if err == nil && a.Response != "in time" {
				t.Errorf("answer is %+v", a)
			}
			answered <- err
		}()
		<-g.started
		stopped := make(chan error, 1)
		go func() { stopped <- s.Stop(t.ctx) }()
		<-s.quit.Done()
		g.let <- job.Answer{Response: "in time"}
		if err := <-answered; err != nil {
			t.Error(err)
		}
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
}

// The caller of a prompt that a worker has taken goes away: the worker is told.
func TestWorkerHearsThatTheCallerHasGone(t *testing.T) {
	eachMode(t, func(t *bundle) {
		g := newGate()
		ended := make(chan error, 1)
		t.serve(t.q, job.LaneInteractive, 1, func(ctx context.Context, task *Task) (any, error) {
			v, err := g.handle(ctx, task)
			ended <- context.Cause(ctx)
			return v, err
		})
		ctx, cancel := context.WithCancel(t.ctx)
		gone := make(chan error, 1)
		go func() {
			_, _, err := t.q.Ask(ctx, interact("x"), 40*time.Second)
			gone <- err
		}()
		<-g.started
		cancel()
		wantCode(t.T, <-gone, job.CodeCanceled)
		if cause := <-ended; !errors.Is(cause, ErrCanceled) {
			t.Errorf("the handler ended by %v", cause)
		}
	})
}

// A job whose task Redis dropped keeps its place in line, with one entry, wherever its
// entry was left.
func TestAJobThatLostItsTaskHasOneEntry(t *testing.T) {
	eachMode(t, func(t *bundle) {
		var ids []string
		for range 3 {
			ids = append(ids, t.submit(interact("x")).ID)
		}
		k := t.q.keys(job.LaneBatch)
		drop := func(id string) {
			if err := t.q.redis.Del(t.ctx, k.task(id)).Err(); err != nil {
				t.Fatal(err)
			}
			(&reconciler{q: t.q, lane: job.LaneBatch, keys: k, me: t.q.id}).requeueOrphans(t.ctx)
		}
		drop(ids[1])
		want := []string{ids[2], ids[1], ids[0]} // the first stands last
		if got := t.q.redis.LRange(t.ctx, k.pending(), 0, -1).Val(); !slices.Equal(got, want) {
			t.Errorf("in line are %v, want %v", got, want)
		}
		s := t.crash(job.LaneBatch) // has taken the first
		drop(ids[0])
		if n := t.q.redis.LLen(t.ctx, k.active()).Val(); n != 0 {
			t.Errorf("%d entries of %s are active", n, s.id)
		}
		t.serve(t.q, job.LaneBatch, 1, echo)
		for _, id := range ids {
			t.untilState(id, job.StateSucceeded)
		}
		if n := t.q.redis.LLen(t.ctx, k.pending()).Val() + t.q.redis.LLen(t.ctx, k.active()).Val(); n != 0 {
			t.Errorf("%d entries are left", n)
		}
		if n := t.repairs(RepairRecord); n != 2 {
			t.Errorf("%d repairs are counted", n)
		}
	})
}
