package queue

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/queue/provider"
	"github.com/nexus-continuum/nexus/queue/provider/providertest"
	"github.com/nexus-continuum/nexus/telemetry/interaction"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bundle is a Redis and a queue on it.
type bundle struct {
	*testing.T
	provided *provider.Provider
	q        *Queue
	log      *interaction.Log // knows the jobs that left no record
	ctx      context.Context
}

// eachMode runs a test on every Redis that this machine has.
func eachMode(t *testing.T, test func(t *bundle)) {
	t.Helper()
	providertest.EachMode(t, func(t *testing.T, mode string) { test(setup(t, mode, Options{})) })
}

func setup(t *testing.T, mode string, opt Options) *bundle {
	t.Helper()
	ctx, r := providertest.Start(t, provider.Options{Mode: mode, Log: testLog(t)})
	return newBundle(ctx, t, r, opt)
}

func newBundle(ctx context.Context, t *testing.T, r *provider.Provider, opt Options) *bundle {
	t.Helper()
	b := &bundle{T: t, provided: r, ctx: ctx, log: interaction.New(interaction.Options{Redis: r.Client(), Log: testLog(t), Timeout: 20 * time.Second})}
	if err := b.log.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.log.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	b.q = b.open(opt)
	return b
}

// open makes one more process, as it were, on the same Redis.
func (b *bundle) open(opt Options) *Queue {
	b.Helper()
	opt.Redis = b.provided.Client()
	opt.Asynq = b.provided.Asynq()
	opt.Log = testLog(b.T)
	opt.Delivered = b.log.Job
	if opt.Timeout == 0 {
		opt.Timeout = 20 * time.Second // the machine may be busy with other tests
	}
	if opt.Liveness == 0 {
		opt.Liveness = 600 * time.Millisecond
	}
	q := Open(opt)
	if err := q.Start(b.ctx); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := q.Stop(context.Background()); err != nil {
			b.Error(err)
		}
	})
	return q
}

// serve runs a handler until the test ends.
func (b *bundle) serve(q *Queue, lane job.Lane, concurrency int, h Handler) *Server {
	b.Helper()
	s := q.Serve(lane, concurrency, h)
	if err := s.Start(b.ctx); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			b.Error(err)
		}
	})
	return s
}

func (b *bundle) submit(spec job.Spec) job.Job {
	b.Helper()
	j, err := b.q.Submit(b.ctx, spec)
	if err != nil {
		b.Fatal(err)
	}
	return j
}

// until polls what another process does, with the test's own deadline.
func (b *bundle) until(what string, ok func() bool) {
	b.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.NewTimer(20 * time.Second)
	defer limit.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-limit.C:
			b.Fatalf("never happened: %s", what)
		}
	}
}

// untilState waits for a job to come to a state.
func (b *bundle) untilState(id string, want job.State) job.Job {
	b.Helper()
	var j job.Job
	b.until("job is "+string(want), func() bool {
		var err error
		if j, err = b.q.Job(b.ctx, id); err != nil {
			b.Fatal(err)
		}
		if j.State.Final() && j.State != want {
			b.Fatalf("job ended %s (%v), want %s", j.State, j.Error, want)
		}
		return j.State == want
	})
	return j
}

// echo answers a prompt with itself.
func echo(_ context.Context, t *Task) (any, error) {
	return job.Answer{JobID: t.Spec.ID, InteractionID: t.Spec.ID, Response: t.Spec.Prompt, Responded: true}, nil
}

func interact(prompt string) job.Spec { return job.Spec{Kind: job.KindInteract, Prompt: prompt} }

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	if err == nil || job.AsError(err).Code != code {
		t.Fatalf("error is %v, want code %s", err, code)
	}
}

func answerOf(t *testing.T, j job.Job) job.Answer {
	t.Helper()
	var a job.Answer
	if err := json.Unmarshal(j.Result, &a); err != nil {
		t.Fatalf("result %s: %v", j.Result, err)
	}
	return a
}

// testLog writes to the test's log, and is silent once the test has ended.
func testLog(t *testing.T) *slog.Logger {
	w := &testWriter{t: t}
	t.Cleanup(w.end)
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelInfo}))
}

type testWriter struct {
	mu   sync.Mutex
	t    *testing.T
	over bool
}

func (w *testWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.over {
		w.t.Logf("%s", p)
	}
	return len(p), nil
}

func (w *testWriter) end() {
	w.mu.Lock()
	w.over = true
	w.mu.Unlock()
}

// gate is a handler that reports each start and waits to be let through.
type gate struct {
	started chan *Task
	let     chan any // result or error
}

func newGate() *gate { return &gate{started: make(chan *Task, 100), let: make(chan any)} }

func (g *gate) handle(ctx context.Context, t *Task) (any, error) {
	g.started <- t
	select {
	case v := <-g.let:
		if err, ok := v.(error); ok {
			return nil, err
		}
		return v, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
