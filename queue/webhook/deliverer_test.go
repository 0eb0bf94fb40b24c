package webhook

import (
	"encoding/json"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/queue"
	"github.com/nexus-continuum/nexus/queue/outbox"
)

func taken(_ int, w http.ResponseWriter) { w.WriteHeader(http.StatusNoContent) }

func TestEventsArriveInOrderAndSigned(t *testing.T) {
	b := setup(t)
	url, calls := b.receiver(taken)
	j := b.train(url)
	var got []call
	for len(got) == 0 || got[len(got)-1].body.Type != queue.EventResult {
		got = append(got, b.next(calls))
	}
	ids := map[string]bool{}
	var states []string
	var progress []call
	for i, c := range got {
		ids[c.id()] = true
		if i > 0 && c.body.Timestamp.Before(got[i-1].body.Timestamp.Time) {
			t.Errorf("event %d is older than the one before it", i)
		}
		var data struct{ ID, State, Phase string }
		b.must(json.Unmarshal(c.body.Data, &data))
		if data.ID != j.ID {
			t.Errorf("data %s is not of job %s", c.body.Data, j.ID)
		}
		switch c.body.Type {
		case queue.EventState:
			states = append(states, data.State)
		case queue.EventProgress:
			progress = append(progress, c)
		}
	}
	if len(ids) != len(got) {
		t.Errorf("%d events have %d ids", len(got), len(ids))
	}
	if want := []string{"queued", "running", "succeeded"}; !slices.Equal(states, want) {
		t.Errorf("states are %v, want %v", states, want)
	}
	if len(progress) == 0 {
		t.Error("no progress arrived")
	}
	for i := 1; i < len(progress); i++ {
		// A little less than the 500 ms: one clock is Redis's, one this test's.
		if gap := progress[i].at.Sub(progress[i-1].at); gap < 400*time.Millisecond {
			t.Errorf("progress came %v after progress", gap)
		}
	}
	var last job.Job
	b.must(json.Unmarshal(got[len(got)-1].body.Data, &last))
	if last.State != job.StateSucceeded || last.Result == nil || last.FinishedAt == nil {
		t.Errorf("the result is %s", got[len(got)-1].body.Data)
	}
	b.untilDeliveries(outbox.Accepted, int64(len(got)))
}

func TestOnlyTheEventsThatWereAskedFor(t *testing.T) {
	b := setup(t)
	url, calls := b.receiver(taken)
	b.train(url, queue.EventResult)
	if c := b.next(calls); c.body.Type != queue.EventResult {
		t.Errorf("the first event is %s", c.raw)
	}
	b.untilDeliveries(outbox.Accepted, 1)
}

// An interact job is told of like any other.
func TestInteract(t *testing.T) {
	b := setup(t)
	url, calls := b.receiver(taken)
	j, err := b.q.Submit(b.ctx, job.Spec{Kind: job.KindInteract, Prompt: "hi", Webhook: url})
	b.must(err)
	if c := b.next(calls); c.body.Type != queue.EventState {
		t.Errorf("the first event is %s", c.raw)
	}
	_, err = b.q.Cancel(b.ctx, j.ID)
	b.must(err)
	b.next(calls)
	var last job.Job
	b.must(json.Unmarshal(b.next(calls).body.Data, &last))
	if last.State != job.StateCanceled {
		t.Errorf("the result says %s", last.State)
	}
}

func TestAReceiverFailsTwice(t *testing.T) {
	b := setup(t)
	url, calls := b.receiver(func(n int, w http.ResponseWriter) {
		if n <= 2 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	b.train(url, queue.EventResult)
	first, second, third := b.next(calls), b.next(calls), b.next(calls)
	if first.id() != second.id() || second.id() != third.id() {
		t.Errorf("the tries have ids %s, %s, %s", first.id(), second.id(), third.id())
	}
	b.untilDeliveries(outbox.Accepted, 1)
	b.untilDeliveries(outbox.Retried, 2)
}

// The receiver never answers while the job runs, and the job ends all the same.
func TestAStuckReceiverDelaysNoJob(t *testing.T) {
	b := setup(t)
	free := make(chan struct{})
	url, calls := b.receiver(func(int, http.ResponseWriter) { <-free })
	if j := b.train(url); j.State != job.StateSucceeded {
		t.Errorf("the job ended %s", j.State)
	}
	b.next(calls)
	got, err := b.outbox.Counts(b.ctx)
	b.must(err)
	if got[outbox.Accepted] != 0 {
		t.Errorf("the receiver held back, yet %d were delivered", got[outbox.Accepted])
	}
	close(free)
	for b.next(calls).body.Type != queue.EventResult {
	}
}

func TestADeadReceiverIsGivenUp(t *testing.T) {
	b := setup(t)
	url, calls := b.receiver(func(_ int, w http.ResponseWriter) { w.WriteHeader(http.StatusBadGateway) })
	if j := b.train(url, queue.EventResult); j.State != job.StateSucceeded {
		t.Errorf("the job ended %s", j.State)
	}
	b.untilDeliveries(outbox.Dropped, 1)
	if n := len(calls); n != 5 {
		t.Errorf("%d tries, want 5", n)
	}
}

func TestGoneEndsItAtOnce(t *testing.T) {
	b := setup(t)
	url, calls := b.receiver(func(_ int, w http.ResponseWriter) { w.WriteHeader(http.StatusGone) })
	b.train(url, queue.EventResult)
	b.untilDeliveries(outbox.Dropped, 1)
	if n := len(calls); n != 1 {
		t.Errorf("%d tries, want 1", n)
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	b := setup(t)
	other, otherCalls := b.receiver(taken)
	url, _ := b.receiver(func(_ int, w http.ResponseWriter) {
		w.Header().Set("Location", other)
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	b.train(url, queue.EventResult)
	b.untilDeliveries(outbox.Dropped, 1)
	if len(otherCalls) != 0 {
		t.Error("the redirect was followed")
	}
}

func TestTheGuardDropsWithoutCalling(t *testing.T) {
	b := setup(t, func(o *Options) { o.Guard = Guard{} })
	url, calls := b.receiver(taken)
	b.train(url, queue.EventResult)
	b.untilDeliveries(outbox.Dropped, 1)
	if len(calls) != 0 {
		t.Error("a receiver on this host was called")
	}
}

func TestBackoffEndsAfterAboutADay(t *testing.T) {
	t.Parallel()
	var sum, before time.Duration
	n := 1
	for ; ; n++ {
		rest, again := Backoff(n)
		if !again {
			break
		}
		if rest < before/2 {
			t.Errorf("rest %d is %v after %v", n, rest, before)
		}
		before, sum = rest, sum+rest
	}
	if sum < 18*time.Hour || sum > 30*time.Hour {
		t.Errorf("%d tries in %v", n, sum)
	}
}
