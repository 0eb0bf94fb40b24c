package queue

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/queue/outbox"
	"github.com/nexus-continuum/nexus/queue/provider"
	"github.com/nexus-continuum/nexus/queue/provider/redistest"
)

// onURL is a bundle on an external Redis.
func onURL(t *testing.T, url string, opt Options) *bundle {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	r, err := provider.Start(ctx, provider.Options{URL: url, Timeout: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Stop(context.Background()) })
	return newBundle(ctx, t, r, opt)
}

// Everything that the queue does works on every kind of Redis, so every script
// keeps to one slot of a Cluster.
func TestEveryForm(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]func(t *testing.T) string{
		"TLS": func(t *testing.T) string {
			s := redistest.StartTLS(t)
			return "rediss://" + s.Addr + "?ca=" + s.CA + "&cert=" + s.Cert + "&key=" + s.Key
		},
		"Sentinel": func(t *testing.T) string { return redistest.StartSentinel(t).URL },
		"Cluster":  func(t *testing.T) string { return redistest.StartCluster(t, 3).URL },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			everything(onURL(t, url(t), Options{}))
		})
	}
}

// On a Cluster no node knows the listeners of the others, and a killed worker is found
// all the same.
func TestKilledWorkersOfACluster(t *testing.T) {
	t.Parallel()
	jobsOfAKilledWorker(onURL(t, redistest.StartCluster(t, 3).URL, Options{}))
}

// everything uses the whole of a queue once.
func everything(t *bundle) {
	far := t.open(Options{}) // another process, as it were
	hold := newGate()
	for _, lane := range []job.Lane{job.LaneInteractive, job.LaneBatch} {
		t.serve(far, lane, 4, func(ctx context.Context, task *Task) (any, error) {
			t.log.Attach(task, job.Interaction{ID: task.Spec.ID, Prompt: task.Spec.Prompt, Response: task.Spec.Prompt, Responded: true, At: job.At(time.Now())})
			return echo(ctx, task)
		})
	}
	train := t.serve(far, job.LaneTrain, 1, hold.handle)

	for i := range 20 { // prompts whose caller waits
		prompt := strconv.Itoa(i)
		a, _, err := t.q.Ask(t.ctx, interact(prompt), time.Minute)
		if err != nil || a == nil || a.Response != prompt {
			t.Fatalf("asked %s: %+v, %v", prompt, a, err)
		}
		if it, err := t.log.Find(t.ctx, a.InteractionID); err != nil || it.Prompt != prompt {
			t.Fatalf("the interaction of an answer that was given is %+v, %v", it, err)
		}
	}
	spec := interact("later")
	spec.Webhook = "https://example.com/hook"
	box := outbox.New(outbox.Options{Redis: t.q.redis, Queue: t.q, Timeout: time.Minute})
	news := newNotifier()
	watching, stop := context.WithCancel(t.ctx)
	var watcher sync.WaitGroup
	watcher.Go(func() { box.Watch(watching, news.notify) })
	defer watcher.Wait()
	defer stop()
	receive(t.T, news) // the watcher listens
	later := t.submit(spec)
	events, err := t.q.Follow(t.ctx, later.ID, "")
	if err != nil {
		t.Fatal(err)
	}
	var last Event
	for e := range events {
		last = e
	}
	if last.Type != EventResult {
		t.Errorf("the last event is %+v", last)
	}
	if a := answerOf(t.T, t.untilState(later.ID, job.StateSucceeded)); a.Response != "later" {
		t.Errorf("the result is %+v", a)
	}
	receive(t.T, news)
	delivered := 0
	t.until("all events are posted", func() bool {
		due, _, err := box.Lend(t.ctx, 10, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range due {
			delivered++
			if err := box.Delivered(t.ctx, p); err != nil {
				t.Fatal(err)
			}
		}
		return delivered >= 3 // queued, running, succeeded and the result, some joined
	})

	running := t.submit(job.Spec{Kind: job.KindTrain, Dataset: job.NewID()})
	receive(t.T, hold.started)
	waiting := t.submit(job.Spec{Kind: job.KindTrain, Dataset: job.NewID()})
	if j, err := t.q.Cancel(t.ctx, waiting.ID); err != nil || j.State != job.StateCanceled {
		t.Errorf("cancel a waiting job: %+v, %v", j, err)
	}
	if _, err := t.q.Cancel(t.ctx, running.ID); err != nil {
		t.Error(err)
	}
	t.untilState(running.ID, job.StateCanceled)
	if err := t.q.PauseLane(t.ctx, job.LaneTrain, true, "a test"); err != nil {
		t.Error(err)
	}
	lanes, err := t.q.Lanes(t.ctx)
	if err != nil || len(lanes) != 3 || !lanes[2].Paused {
		t.Errorf("lanes %+v, %v", lanes, err)
	}
	list, _, err := t.q.Jobs(t.ctx, Filter{})
	if err != nil || len(list) != 3 || list[0].ID != waiting.ID {
		t.Errorf("listed %d jobs, %v", len(list), err)
	}
	if err := train.Stop(t.ctx); err != nil {
		t.Error(err)
	}
	beside(t)
}

// beside uses what a queue offers besides jobs.
func beside(t *bundle) {
	lease, other := t.q.Lease("form", time.Minute), t.q.Lease("form", time.Minute)
	if _, ok, err := lease.Acquire(t.ctx); err != nil || !ok {
		t.Errorf("acquire: %v, %v", ok, err)
	}
	if _, ok, err := other.Acquire(t.ctx); err != nil || ok {
		t.Errorf("acquired twice: %v, %v", ok, err)
	}
	if err := lease.Release(t.ctx); err != nil {
		t.Error(err)
	}
	id := job.NewID()
	if err := t.log.Append(t.ctx, []job.Interaction{{ID: id, Prompt: "why", Response: "no", At: job.At(time.Now())}}); err != nil {
		t.Error(err)
	}
	if it, err := t.log.Find(t.ctx, id); err != nil || it.Prompt != "why" {
		t.Errorf("logged %+v, %v", it, err)
	}
	if refused, _, err := t.log.Refusals(t.ctx, nil, "", nil); err != nil || len(refused) != 1 {
		t.Errorf("refusals %+v, %v", refused, err)
	}
	heard := t.q.Subscribe(t.ctx, "form")
	if err := t.q.Publish(t.ctx, "form", "hello"); err != nil {
		t.Error(err)
	}
	if got := receive(t.T, heard); got != "hello" {
		t.Errorf("heard %q", got)
	}
}

func receive[V any](t *testing.T, from <-chan V) (v V) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(time.Minute):
		t.Fatal("nothing came within a minute")
	}
	return v
}

// The master dies under load and a Sentinel makes another: workers and callers
// go on by themselves, and nothing that is asked from then on fails.
func TestSentinelFailover(t *testing.T) {
	t.Parallel()
	s := redistest.StartSentinel(t)
	b := onURL(t, s.URL, Options{Timeout: 2 * time.Second})
	far := b.open(Options{Timeout: 2 * time.Second})
	b.serve(far, job.LaneInteractive, 4, echo)
	b.serve(far, job.LaneBatch, 4, echo)
	before := b.submit(interact("before"))
	b.untilState(before.ID, job.StateSucceeded)

	var answered atomic.Int64
	over := make(chan struct{})
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				a, _, err := b.q.Ask(b.ctx, interact("hello"), 5*time.Second)
				switch {
				case err == nil && a != nil && a.Response == "hello":
					answered.Add(1)
				case err != nil && job.AsError(err).Code != job.CodeUnavailable:
					t.Errorf("asked: %v", err)
				}
			}
		})
	}
	b.until("callers are served", func() bool { return answered.Load() > 20 })
	s.FailOver()
	after := answered.Load()
	b.until("callers are served by the new master", func() bool { return answered.Load() > after+20 })
	close(over)
	callers.Wait()
	// What runs without a waiting caller does, too.
	var later job.Job
	b.until("a job is taken", func() bool {
		var err error
		later, err = b.q.Submit(b.ctx, interact("later"))
		if err != nil && !errors.Is(err, context.Canceled) && job.AsError(err).Code != job.CodeUnavailable {
			t.Fatal(err)
		}
		return err == nil
	})
	b.untilState(later.ID, job.StateSucceeded)
}
