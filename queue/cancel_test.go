package queue

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/job"
)

func TestCancelQueued(t *testing.T) {
	eachMode(t, func(t *bundle) {
		id := t.submit(interact("x")).ID
		j, err := t.q.Cancel(t.ctx, id)
		if err != nil || j.State != job.StateCanceled || j.FinishedAt == nil || j.Error == nil {
			t.Fatalf("job %+v, error %v", j, err)
		}
		if s := t.lane(job.LaneBatch); s.Pending != 0 {
			t.Errorf("lane is %+v", s)
		}
		keys, err := t.q.redis.Keys(t.ctx, "asynq:{batch}:t:*").Result()
		if err != nil || len(keys) != 0 {
			t.Errorf("tasks left: %v, %v", keys, err)
		}
		_, err = t.q.Cancel(t.ctx, id)
		wantCode(t.T, err, job.CodeJobEnded)
	})
}

func TestCancelRunning(t *testing.T) {
	eachMode(t, func(t *bundle) {
		g := newGate()
		causes := make(chan error, 1)
		t.serve(t.open(Options{}), job.LaneBatch, 1, func(ctx context.Context, task *Task) (any, error) {
			defer func() { causes <- context.Cause(ctx) }()
			return g.handle(ctx, task)
		})
		id := t.submit(interact("x")).ID
		<-g.started
		began := time.Now()
		if _, err := t.q.Cancel(t.ctx, id); err != nil {
			t.Fatal(err)
		}
		if cause := <-causes; !errors.Is(cause, ErrCanceled) {
			t.Errorf("cause is %v", cause)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("the work went on for %v", took)
		}
		j := t.untilState(id, job.StateCanceled)
		if j.Error == nil || j.Error.Code != job.CodeCanceled {
			t.Errorf("error is %+v", j.Error)
		}
		_, err := t.q.Cancel(t.ctx, id)
		wantCode(t.T, err, job.CodeJobEnded)
	})
}

// The message to the worker is lost; the flag in the record is not.
func TestCancelRunningWithoutItsMessage(t *testing.T) {
	eachMode(t, func(t *bundle) {
		g := newGate()
		s := t.serve(t.q, job.LaneBatch, 1, g.handle)
		id := t.submit(interact("x")).ID
		<-g.started
		if err := t.q.redis.HSet(t.ctx, s.keys.record(id), "cancel", "1").Err(); err != nil {
			t.Fatal(err)
		}
		t.untilState(id, job.StateCanceled)
	})
}

// A job that is handed back after its cancellation ends canceled.
func TestCancelWinsOverHandBack(t *testing.T) {
	eachMode(t, func(t *bundle) {
		g := newGate()
		s := t.serve(t.q, job.LaneBatch, 1, func(_ context.Context, task *Task) (any, error) {
			g.started <- task
			return nil, (<-g.let).(error)
		})
		id := t.submit(interact("x")).ID
		<-g.started
		if err := t.q.redis.HSet(t.ctx, s.keys.record(id), "cancel", "1").Err(); err != nil {
			t.Fatal(err)
		}
		g.let <- HandBack("too hot", time.Second)
		t.untilState(id, job.StateCanceled)
	})
}

func TestCancelResting(t *testing.T) {
	eachMode(t, func(t *bundle) {
		t.serve(t.q, job.LaneBatch, 1, func(context.Context, *Task) (any, error) {
			return nil, HandBack("too hot", time.Hour)
		})
		id := t.submit(interact("x")).ID
		t.until("it rests", func() bool { return t.lane(job.LaneBatch).Delayed == 1 })
		j, err := t.q.Cancel(t.ctx, id)
		if err != nil || j.State != job.StateCanceled {
			t.Fatalf("job %+v, error %v", j, err)
		}
		if n := t.lane(job.LaneBatch).Delayed; n != 0 {
			t.Errorf("%d still rest", n)
		}
	})
}

func TestCancelOfADeliveredAnswer(t *testing.T) {
	eachMode(t, func(t *bundle) {
		it := job.Interaction{ID: job.NewID(), Prompt: "x", Response: "y", Responded: true, At: job.At(time.Now())}
		if err := t.log.Append(t.ctx, []job.Interaction{it}); err != nil {
			t.Fatal(err)
		}
		_, err := t.q.Cancel(t.ctx, it.ID)
		wantCode(t.T, err, job.CodeJobEnded)
	})
}
