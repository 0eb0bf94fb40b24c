package queue

import (
	"strings"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/job"
)

// slow makes a lane that is known to take a second for each of n waiting jobs.
func (b *bundle) slow(lane job.Lane, n int) {
	b.Helper()
	for range n {
		if _, err := b.q.Submit(b.ctx, job.Spec{Kind: job.KindInteract, Lane: lane, Prompt: "x"}); err != nil {
			b.Fatal(err)
		}
	}
	b.flow(lane, "span", 64_000, "tasks", 64)
}

func (b *bundle) flow(lane job.Lane, fields ...any) {
	b.Helper()
	if err := b.q.redis.HSet(b.ctx, b.q.keys(lane).own+"flow", fields...).Err(); err != nil {
		b.Fatal(err)
	}
}

// A job that cannot begin before its caller gives up is refused at once, and
// told when another would be taken; one whose caller waits longer is taken.
func TestJobThatWouldBeLateIsRefused(t *testing.T) {
	eachMode(t, func(t *bundle) {
		t.slow(job.LaneInteractive, 10)
		began := time.Now()
		_, _, err := t.q.Ask(t.ctx, interact("x"), 4*time.Second)
		wantCode(t.T, err, job.CodeQueueFull)
		if after := job.AsError(err).RetryAfter; after < 5*time.Second || after > 7*time.Second {
			t.Errorf("it is to try again after %v", after)
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("it was told so after %v", took)
		}
		if n := t.lane(job.LaneInteractive).Pending; n != 10 {
			t.Errorf("%d jobs wait", n)
		}
		answered := make(chan error, 1)
		go func() {
			_, _, err := t.q.Ask(t.ctx, interact("x"), 40*time.Second)
			answered <- err
		}()
		t.until("it waits", func() bool { return t.lane(job.LaneInteractive).Pending == 11 })
		t.serve(t.q, job.LaneInteractive, 4, echo)
		if err := <-answered; err != nil {
			t.Error(err)
		}

		t.slow(job.LaneBatch, 10)
		spec := interact("x")
		spec.Deadline = time.Now().Add(4 * time.Second)
		_, err = t.q.Submit(t.ctx, spec)
		wantCode(t.T, err, job.CodeQueueFull)
		spec.Deadline = time.Now().Add(time.Minute)
		t.submit(spec)
	})
}

// While a lane does not run empty, only so much waits; a burst may be longer, and
// 64 callers are no overload on a machine of any pace.
func TestLastingOverloadIsRefused(t *testing.T) {
	eachMode(t, func(t *bundle) {
		q := t.open(Options{MaxQueueDelay: 3 * time.Second})
		ask := func(wait time.Duration) error {
			_, _, err := q.Ask(t.ctx, interact("x"), wait)
			return err
		}
		t.slow(job.LaneInteractive, 63)
		now := time.Now().UnixMilli()
		t.flow(job.LaneInteractive, "span", 6_400, "empty", now-10_000)
		answered := make(chan error, 2)
		go func() { answered <- ask(40 * time.Second) }()
		t.until("the caller waits", func() bool { return t.lane(job.LaneInteractive).Pending == 64 })
		t.slow(job.LaneInteractive, 1)
		t.flow(job.LaneInteractive, "span", 6_400)
		err := ask(40 * time.Second)
		wantCode(t.T, err, job.CodeQueueFull)
		if after := job.AsError(err).RetryAfter; after != 6500*time.Millisecond {
			t.Errorf("it is to try again after %v", after)
		}
		// It ran empty a moment ago, as lanes do under overload. The clock of the
		// flow is Redis's.
		t.flow(job.LaneInteractive, "empty", now+60_000)
		t.until("the process asks Redis again", func() bool { return q.Overloaded() == nil })
		wantCode(t.T, ask(40*time.Second), job.CodeQueueFull)
		// Nobody was refused of late: this is a burst.
		t.flow(job.LaneInteractive, "refused", now-10_000)
		t.until("the process asks Redis again", func() bool { return q.Overloaded() == nil })
		go func() { answered <- ask(40 * time.Second) }()
		t.until("it waits", func() bool { return t.lane(job.LaneInteractive).Pending == 66 })
		t.serve(t.q, job.LaneInteractive, 4, echo)
		for range 2 {
			if err := <-answered; err != nil {
				t.Error(err)
			}
		}
	})
}

// A lane that is full and paused says that waiting does not help.
func TestAFullLaneThatIsPausedSaysSo(t *testing.T) {
	eachMode(t, func(t *bundle) {
		q := t.open(Options{MaxQueue: 2})
		if err := q.PauseLane(t.ctx, job.LaneTrain, true, job.WhyPaused); err != nil {
			t.Fatal(err)
		}
		var err error
		for range 3 {
			_, err = q.Submit(t.ctx, job.Spec{Kind: job.KindTrain})
		}
		wantCode(t.T, err, job.CodeQueueFull)
		if e := job.AsError(err); !strings.Contains(e.Detail, job.WhyPaused) || e.RetryAfter != time.Minute {
			t.Errorf("it says %q, to try again after %v", e.Detail, e.RetryAfter)
		}
	})
}

// The pace of a lane is learned from its workers.
func TestPaceIsMeasured(t *testing.T) {
	eachMode(t, func(t *bundle) {
		g := newGate()
		t.serve(t.q, job.LaneBatch, 1, g.handle)
		for range 6 {
			t.submit(interact("x"))
		}
		began := time.Now()
		for range 5 {
			<-g.started
			g.let <- job.Answer{}
		}
		<-g.started
		took := time.Since(began)
		got, err := t.q.redis.HMGet(t.ctx, t.q.keys(job.LaneBatch).own+"flow", "span", "tasks").Result()
		if err != nil || got[0] == nil || got[1] == nil {
			t.Fatalf("flow is %v, %v", got, err)
		}
		t.Logf("5 tasks in %v; flow %v", took, got)
		g.let <- job.Answer{}
	})
}
