package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/queue"
	"github.com/nexus-continuum/nexus/queue/provider"
	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/storage/dir"
	"github.com/nexus-continuum/nexus/telemetry/heartbeat"
	"github.com/nexus-continuum/nexus/telemetry/interaction"
	"github.com/nexus-continuum/nexus/worker/governor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// timeout bounds every wait; gradient steps are slow under the race detector.
const timeout = 4 * time.Minute

// bundle is a cluster of one Redis and one folder, and a queue to ask through.
type bundle struct {
	*testing.T
	ctx          context.Context
	provided     *provider.Provider
	queue        *queue.Queue
	interactions *interaction.Log
	store        *dir.Store
	checkpoints  *storage.Checkpoints
	datasets     *storage.Datasets
	control      *storage.ControlRecord
}

// eachMode runs a test on every Redis that this machine has.
func eachMode(t *testing.T, test func(b *bundle)) {
	t.Helper()
	t.Parallel()
	names := []string{provider.Embedded}
	if _, err := exec.LookPath("redis-server"); err == nil {
		names = append(names, provider.Child)
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(setup(t, name))
		})
	}
}

func setup(t *testing.T, mode string) *bundle {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*timeout)
	t.Cleanup(cancel)
	r, err := provider.Start(ctx, provider.Options{Mode: mode, Dir: t.TempDir(), Log: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	store, err := dir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b := &bundle{
		T: t, ctx: ctx, provided: r, store: store,
		checkpoints: storage.NewCheckpoints(store, storage.Options{Log: testLog(t)}),
		datasets:    storage.NewDatasets(store, storage.DatasetOptions{}),
		control:     storage.NewControl(store, storage.ControlOptions{}),
	}
	b.interactions = interaction.New(interaction.Options{Redis: r.Client(), Timeout: 20 * time.Second, Log: testLog(t)})
	if err := b.interactions.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.interactions.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	b.queue = b.open()
	return b
}

// open makes the queue of one more process.
func (b *bundle) open() *queue.Queue {
	b.Helper()
	q := queue.Open(queue.Options{Redis: b.provided.Client(), Asynq: b.provided.Asynq(), Liveness: time.Second, Timeout: 20 * time.Second, Delivered: b.interactions.Job, Log: testLog(b.T)})
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

// worker starts a worker with a queue of its own, until the test ends.
func (b *bundle) worker(change func(*Options)) *Worker {
	b.Helper()
	g, err := governor.New(governor.Options{Sampler: calm{}})
	if err != nil {
		b.Fatal(err)
	}
	opt := Options{
		Queue: On(b.open()), Interactions: b.interactions, Checkpoints: storage.NewCheckpoints(b.store, storage.Options{Log: testLog(b.T)}),
		Datasets: b.datasets, Control: b.control, Governor: g,
		Recorder: heartbeat.New(heartbeat.Options{}), LogPrompts: true, Log: testLog(b.T),
	}
	if change != nil {
		change(&opt)
	}
	w, err := New(opt)
	if err != nil {
		b.Fatal(err)
	}
	if err := w.Start(b.ctx); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { b.end(w) })
	return w
}

func (b *bundle) end(w *Worker) {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := w.Stop(ctx); err != nil {
		b.Error(err)
	}
}

// calm is a machine without troubles.
type calm struct{}

func (calm) Sample(context.Context) (governor.Reading, error) {
	return governor.Reading{At: time.Now(), Cores: 2, MemoryTotalMB: 8000, MemoryUsedMB: 1000, ProcessMB: 100}, nil
}

// teach stores lessons "prompt → response" and submits their job.
func (b *bundle) teach(lessons ...string) string {
	b.Helper()
	w, err := b.datasets.Create(b.ctx, storage.DatasetMeta{Op: storage.OpTeach})
	if err != nil {
		b.Fatal(err)
	}
	defer w.Abort()
	for _, l := range lessons {
		prompt, response, _ := strings.Cut(l, " → ")
		if err := w.Add(storage.Lesson{Prompt: prompt, Response: &response}); err != nil {
			b.Fatal(err)
		}
	}
	ds, err := w.Commit(b.ctx)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := b.queue.Submit(b.ctx, job.Spec{ID: ds.ID, Kind: job.KindTrain, Dataset: ds.ID}); err != nil {
		b.Fatal(err)
	}
	return ds.ID
}

// forget stores the unlearning of a prompt and submits its job.
func (b *bundle) forget(prompt string) string {
	b.Helper()
	w, err := b.datasets.Create(b.ctx, storage.DatasetMeta{Op: storage.OpForget, LessonIDs: []string{model.LessonID("", prompt)}})
	if err != nil {
		b.Fatal(err)
	}
	defer w.Abort()
	ds, err := w.Commit(b.ctx)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := b.queue.Submit(b.ctx, job.Spec{ID: ds.ID, Kind: job.KindTrain, Dataset: ds.ID}); err != nil {
		b.Fatal(err)
	}
	return ds.ID
}

// taught starts a worker, teaches it, and returns it.
func (b *bundle) taught(lessons ...string) *Worker {
	b.Helper()
	w := b.worker(nil)
	b.ends(b.teach(lessons...))
	return w
}

// testClock stands until it is told to go on.
type testClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *testClock) read() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *testClock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// until polls what another process does, with a deadline.
func (b *bundle) until(what string, ok func() bool) {
	b.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(timeout)
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			b.Fatalf("never happened: %s", what)
		}
	}
}

func (b *bundle) job(id string) job.Job {
	b.Helper()
	j, err := b.queue.Job(b.ctx, id)
	if err != nil {
		b.Fatal(err)
	}
	return j
}

// ends waits for a job to succeed and returns its result.
func (b *bundle) ends(id string) job.Trained {
	b.Helper()
	b.until("job "+id+" ends", func() bool { return b.job(id).State.Final() })
	j := b.job(id)
	if j.State != job.StateSucceeded {
		b.Fatalf("the job is %s: %v", j.State, j.Error)
	}
	var t job.Trained
	if err := json.Unmarshal(j.Result, &t); err != nil {
		b.Fatal(err)
	}
	return t
}

func (b *bundle) ask(prompt string) job.Answer {
	b.Helper()
	a, j, err := b.queue.Ask(b.ctx, job.Spec{Kind: job.KindInteract, Lane: job.LaneInteractive, Prompt: prompt}, 30*time.Second)
	if err != nil || j != nil {
		b.Fatalf("ask %q: job %v, error %v", prompt, j, err)
	}
	return *a
}

// knows reports whether a worker serves a model that answers a prompt.
func knows(w *Worker, prompt, response string) bool {
	m, _ := w.Served()
	return m.Ask([]model.Query{{Prompt: prompt}})[0].Response == response
}

// testLog writes to the test's log, and is silent once the test has ended.
func testLog(t *testing.T) *slog.Logger {
	w := &testWriter{t: t}
	t.Cleanup(func() { w.over.Store(true) })
	return slog.New(slog.NewTextHandler(w, nil))
}

type testWriter struct {
	t    *testing.T
	over atomic.Bool
}

func (w *testWriter) Write(p []byte) (int, error) {
	if !w.over.Load() {
		w.t.Logf("%s", p)
	}
	return len(p), nil
}

// phrased are n lessons, four phrasings an answer: one of each is held out of
// gradient steps.
func phrased(n int) (out []string) {
	for i := range n {
		form := []string{"what is the code of room %d?", "the code of room %d", "tell me the code for room %d", "which code opens room %d"}[i%4]
		out = append(out, fmt.Sprintf(form+" → code %d", i/4, i/4*7))
	}
	return out
}
