package queue

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/internal/lifecycle"
	"github.com/nexus-continuum/nexus/job"
)

func TestAskAnswers(t *testing.T) {
	eachMode(t, func(t *bundle) {
		t.serve(t.q, job.LaneInteractive, 4, echo)
		a, j, err := t.q.Ask(t.ctx, interact("hello"), 5*time.Second)
		if err != nil || j != nil {
			t.Fatalf("job %v, error %v", j, err)
		}
		if a.Response != "hello" {
			t.Errorf("response is %q", a.Response)
		}
		// A delivered answer leaves nothing behind but counters.
		keys, err := t.q.redis.Keys(t.ctx, t.q.opt.Prefix+"*").Result()
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range keys {
			own := t.q.keys(job.LaneInteractive).own
			if k != own+"turn" && k != own+"flow" && !strings.HasPrefix(k, own+"owner:") {
				t.Errorf("%s was left", k)
			}
		}
	})
}

func TestAskManyAtOnce(t *testing.T) {
	eachMode(t, func(t *bundle) {
		t.serve(t.q, job.LaneInteractive, 8, echo)
		other := t.open(Options{})
		t.serve(other, job.LaneInteractive, 8, echo)
		var wg sync.WaitGroup
		for i := range 200 {
			q := []*Queue{t.q, other}[i%2]
			wg.Go(func() {
				want := fmt.Sprint("prompt ", i)
				a, j, err := q.Ask(t.ctx, interact(want), 20*time.Second)
				if err != nil || j != nil || a.Response != want {
					t.Errorf("asked %q: answer %v, job %v, error %v", want, a, j, err)
				}
			})
		}
		wg.Wait()
	})
}

func TestAskOutlivesItsWaitWhileQueued(t *testing.T) {
	eachMode(t, func(t *bundle) {
		a, j, err := t.q.Ask(t.ctx, interact("later"), 30*time.Millisecond)
		if err != nil || a != nil {
			t.Fatalf("answer %v, error %v", a, err)
		}
		if j.State != job.StateQueued || j.QueuePosition == nil || *j.QueuePosition != 1 {
			t.Errorf("job is %+v", j)
		}
		t.serve(t.q, job.LaneInteractive, 1, echo)
		done := t.untilState(j.ID, job.StateSucceeded)
		if got := answerOf(t.T, done).Response; got != "later" {
			t.Errorf("response is %q", got)
		}
		if done.Attempts != 1 || done.StartedAt == nil || done.FinishedAt == nil {
			t.Errorf("job is %+v", done)
		}
	})
}

func TestAskOutlivesItsWaitWhileRunning(t *testing.T) {
	eachMode(t, func(t *bundle) {
		g := newGate()
		t.serve(t.q, job.LaneInteractive, 1, g.handle)
		_, j, err := t.q.Ask(t.ctx, interact("slow"), 300*time.Millisecond)
		if err != nil || j == nil {
			t.Fatalf("job %v, error %v", j, err)
		}
		if j.State != job.StateRunning || j.Attempts != 1 || j.StartedAt == nil {
			t.Errorf("job is %+v", j)
		}
		g.let <- job.Answer{Response: "at last"}
		done := t.untilState(j.ID, job.StateSucceeded)
		if got := answerOf(t.T, done).Response; got != "at last" {
			t.Errorf("response is %q", got)
		}
	})
}

// The wait runs out at the moment of the answer: each ask gets exactly one of
// answer and job, and every job ends with the answer in its record.
func TestAskRacesItsWait(t *testing.T) {
	eachMode(t, func(t *bundle) {
		// The handler answers when the callers' waits are about to run out.
		t.serve(t.q, job.LaneInteractive, 16, func(ctx context.Context, task *Task) (any, error) {
			lifecycle.Sleep(ctx, time.Duration(len(task.Spec.Prompt))*time.Millisecond)
			return echo(ctx, task)
		})
		var wg sync.WaitGroup
		var mu sync.Mutex
		var answers, jobs int
		for i := range 120 {
			wg.Go(func() {
				prompt := fmt.Sprintf("%*d", 5+i%15, i)
				a, j, err := t.q.Ask(t.ctx, interact(prompt), time.Duration(8+i%11)*time.Millisecond)
				if err != nil || (a == nil) == (j == nil) {
					t.Errorf("answer %v, job %v, error %v", a, j, err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				if a != nil {
					answers++
					return
				}
				jobs++
				if got := answerOf(t.T, t.untilState(j.ID, job.StateSucceeded)).Response; got != prompt {
					t.Errorf("record of %q holds %q", prompt, got)
				}
			})
		}
		wg.Wait()
		t.Logf("%d answers, %d jobs", answers, jobs)
	})
}

func TestAskReturnsTheJobsError(t *testing.T) {
	eachMode(t, func(t *bundle) {
		t.serve(t.q, job.LaneInteractive, 1, func(context.Context, *Task) (any, error) {
			return nil, job.Errorf(job.CodeUnknownTopic, "no such topic").On("topic")
		})
		_, _, err := t.q.Ask(t.ctx, interact("x"), 5*time.Second)
		wantCode(t.T, err, job.CodeUnknownTopic)
		if job.AsError(err).Field != "topic" {
			t.Errorf("field is %q", job.AsError(err).Field)
		}
	})
}

func TestAskWhoseCallerWentAwayIsDropped(t *testing.T) {
	eachMode(t, func(t *bundle) {
		ctx, cancel := context.WithCancel(t.ctx)
		gone := make(chan error, 1)
		go func() {
			_, _, err := t.q.Ask(ctx, interact("never mind"), 20*time.Second)
			gone <- err
		}()
		t.until("the job waits", func() bool { return t.lane(job.LaneInteractive).Pending == 1 })
		cancel()
		wantCode(t.T, <-gone, job.CodeCanceled)
		if n := t.lane(job.LaneInteractive).Pending; n != 0 {
			t.Errorf("%d jobs still wait", n)
		}
	})
}

func TestAskPastItsDeadlineIsNotComputed(t *testing.T) {
	eachMode(t, func(t *bundle) {
		spec := interact("too late")
		spec.Deadline = time.Now().Add(-time.Millisecond)
		ran := make(chan struct{}, 1)
		t.serve(t.q, job.LaneInteractive, 1, func(ctx context.Context, task *Task) (any, error) {
			ran <- struct{}{}
			return echo(ctx, task)
		})
		_, _, err := t.q.Ask(t.ctx, spec, 5*time.Second)
		wantCode(t.T, err, job.CodeTimeout)
		select {
		case <-ran:
			t.Error("it was computed")
		default:
		}
	})
}

func TestAskOfAFullLaneIsRefused(t *testing.T) {
	eachMode(t, func(t *bundle) {
		q := t.open(Options{MaxQueue: 2})
		for range 2 {
			if _, err := q.Submit(t.ctx, job.Spec{Kind: job.KindInteract, Lane: job.LaneInteractive, Prompt: "x"}); err != nil {
				t.Fatal(err)
			}
		}
		_, _, err := q.Ask(t.ctx, interact("x"), time.Second)
		wantCode(t.T, err, job.CodeQueueFull)
		if job.AsError(err).RetryAfter <= 0 {
			t.Error("it does not say when to try again")
		}
	})
}

func (b *bundle) lane(l job.Lane) LaneState {
	b.Helper()
	lanes, err := b.q.Lanes(b.ctx)
	if err != nil {
		b.Fatal(err)
	}
	for _, s := range lanes {
		if s.Name == l {
			return s
		}
	}
	b.Fatalf("no lane %s", l)
	return LaneState{}
}
