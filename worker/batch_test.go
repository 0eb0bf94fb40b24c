package worker

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/model"
)

// work is a model under the test's control.
type work struct {
	begun   chan []model.Query
	proceed chan error
	now     atomic.Int32
	most    atomic.Int32
}

func newWork() *work { return &work{begun: make(chan []model.Query, 1000), proceed: make(chan error)} }

func (w *work) ask(q []model.Query) ([]model.Verdict, *served, error) {
	n := w.now.Add(1)
	defer w.now.Add(-1)
	for {
		most := w.most.Load()
		if n <= most || w.most.CompareAndSwap(most, n) {
			break
		}
	}
	w.begun <- q
	err := <-w.proceed
	v := make([]model.Verdict, len(q))
	for i := range q {
		v[i].Response = q[i].Prompt
	}
	return v, &served{}, err
}

// wait polls what another goroutine does, with a deadline.
func wait(t *testing.T, ok func() bool) {
	t.Helper()
	(&bundle{T: t}).until("what the test waits for", ok)
}

func TestBatcherTakesWhatIsWaiting(t *testing.T) {
	t.Parallel()
	w := newWork()
	b := newBatcher(1, 100, w.ask)
	b.start()
	defer b.close()
	var asked sync.WaitGroup
	ask := func(urgent bool, prompt string) {
		asked.Go(func() {
			if r := b.do(t.Context(), model.Query{Prompt: prompt}, urgent); r.err != nil || r.verdict.Response != prompt {
				t.Errorf("asked %q: %+v", prompt, r)
			}
		})
	}
	// An idle slot begins at once, with one.
	ask(true, "first")
	if q := <-w.begun; len(q) != 1 {
		t.Errorf("the first batch has %d prompts", len(q))
	}
	for range 50 {
		ask(false, "later")
	}
	for range 10 {
		ask(true, "urgent")
	}
	wait(t, func() bool { return len(b.urgent)+len(b.later) == 60 })
	w.proceed <- nil
	q := <-w.begun
	if len(q) != model.MaxBatch {
		t.Errorf("the second batch has %d prompts, want %d", len(q), model.MaxBatch)
	}
	urgent := 0
	for _, one := range q {
		if one.Prompt == "urgent" {
			urgent++
		}
	}
	if urgent != 10 {
		t.Errorf("%d of 10 urgent prompts are in the first batch after they came", urgent)
	}
	close(w.proceed)
	asked.Wait()
}

// A slot is taken until its work has stopped, also when the caller has gone.
func TestSlotsAreFreedByWorkNotByCallers(t *testing.T) {
	t.Parallel()
	w := newWork()
	b := newBatcher(2, 100, w.ask)
	b.start()
	gone := errors.New("the caller has gone")
	for range 2 {
		ctx, cancel := context.WithCancelCause(t.Context())
		done := make(chan answered)
		go func() { done <- b.do(ctx, model.Query{}, true) }()
		<-w.begun
		cancel(gone)
		if r := <-done; !errors.Is(r.err, gone) {
			t.Errorf("a caller that has gone is told %v", r.err)
		}
	}
	if n := b.busy.Load(); n != 2 {
		t.Errorf("%d slots are busy, want 2", n)
	}
	// What nobody wants any more is not computed.
	ctx, cancel := context.WithCancelCause(t.Context())
	dropped := make(chan answered)
	go func() { dropped <- b.do(ctx, model.Query{Prompt: "dropped"}, true) }()
	wait(t, func() bool { return len(b.urgent) == 1 })
	cancel(gone)
	<-dropped
	wanted := make(chan answered)
	go func() { wanted <- b.do(t.Context(), model.Query{Prompt: "wanted"}, true) }()
	wait(t, func() bool { return len(b.urgent) == 2 })
	w.proceed <- nil
	if q := <-w.begun; len(q) != 1 || q[0].Prompt != "wanted" {
		t.Errorf("computed %+v", q)
	}
	close(w.proceed)
	if r := <-wanted; r.err != nil {
		t.Error(r.err)
	}
	b.close()
	if n := w.most.Load(); n > 2 {
		t.Errorf("%d computed at once in 2 slots", n)
	}
	if r := b.do(t.Context(), model.Query{}, true); !errors.Is(r.err, errStopped) {
		t.Errorf("a closed batcher says %v", r.err)
	}
}

func TestBreaker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		opened := 0
		b := newBreaker("storage", testLog(t), time.Now, func() { opened++ })
		fail := func() error { return errors.New("no") }
		// Five failures, but spread over more than a minute.
		for range 5 {
			_ = b.Do(fail)
			time.Sleep(20 * time.Second)
		}
		if b.Open() {
			t.Fatal("it opened for failures further apart than a minute")
		}
		// The first and the fifth are just within the minute.
		brim := newBreaker("storage", testLog(t), time.Now, nil)
		for range 5 {
			_ = brim.Do(fail)
			time.Sleep(14700 * time.Millisecond)
		}
		if !brim.Open() {
			t.Error("it is closed after five failures within 58.8 s")
		}
		time.Sleep(2 * time.Minute)
		for i := range 5 {
			if b.Open() {
				t.Fatalf("it opened after %d failures", i)
			}
			_ = b.Do(fail)
			_ = b.Do(func() error { return nil })
			_ = b.Do(func() error { return context.Canceled }) // counts for nothing
		}
		if !b.Open() || opened != 1 {
			t.Fatal("it is closed after 5 failures in a minute")
		}
		called := false
		err := b.Do(func() error { called = true; return nil })
		if e := job.AsError(err); called || e.Code != job.CodeUnavailable || e.RetryAfter != breakerRest {
			t.Errorf("while open: called %v, error %v", called, err)
		}
		time.Sleep(45 * time.Second)
		if e := job.AsError(b.Do(fail)); e.RetryAfter != 15*time.Second {
			t.Errorf("45 s later it says to come again after %v", e.RetryAfter)
		}
		time.Sleep(16 * time.Second)
		if s := b.state().State; s != "half-open" {
			t.Errorf("after a minute it is %s", s)
		}
		_ = b.Do(func() error { return nil })
		if s := b.state().State; s != "half-open" {
			t.Errorf("after one success it is %s", s)
		}
		_ = b.Do(func() error { return nil })
		if s := b.state(); s.State != "closed" || s.OpenedAt != nil {
			t.Errorf("after two successes it is %+v", s)
		}
	})
}
