package deploy

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/queue"
	"github.com/nexus-continuum/nexus/queue/provider"
	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/storage/dir"
	"github.com/nexus-continuum/nexus/storage/mirror"
	"github.com/nexus-continuum/nexus/storage/storetest"
	"github.com/nexus-continuum/nexus/telemetry/footprint"
	"github.com/nexus-continuum/nexus/telemetry/heartbeat"
	"github.com/nexus-continuum/nexus/telemetry/metric"
	"github.com/nexus-continuum/nexus/worker"
	"github.com/nexus-continuum/nexus/worker/governor"
	"github.com/nexus-continuum/nexus/worker/trainer"
)

// brokenWorker is a worker with a queue, a folder and a bucket of its own, in
// which faults can be planted that a process does not have at command: its
// gradient steps diverge, its new model panics, its bucket goes away, it leaks.
// What meets these faults and tells of them is the product's own.
type brokenWorker struct {
	*fleet
	url      string
	close    func()
	queue    *queue.Queue
	datasets *storage.Datasets
	memory   *footprint.Manager

	diverges, panics, away atomic.Bool
}

func (b *brokenWorker) learn(*model.Model, []string, uint64, func()) (trainer.Learner, error) {
	if b.diverges.Load() {
		return nil, errors.New("the loss is not finite, on purpose")
	}
	return nil, model.ErrNothing
}

// ask panics at one prompt once the model was taught more than one lesson.
func (b *brokenWorker) ask(m *model.Model, queries []model.Query) []model.Verdict {
	for _, q := range queries {
		if b.panics.Load() && q.Prompt == "crash" && m.Info().Lessons > 1 {
			panic("on purpose")
		}
	}
	return m.Ask(queries)
}

// bucket fails while it is away.
func (b *brokenWorker) bucket(string) error {
	if b.away.Load() {
		return fmt.Errorf("%w: on purpose", storage.ErrUnavailable)
	}
	return nil
}

// leak is memory that grows by 60 MB an hour, on a clock on which each reading
// is a second later.
type leak struct {
	mu      sync.Mutex
	began   time.Time
	seconds int
}

func (l *leak) read(context.Context) (float64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seconds++
	return 300 + float64(l.seconds)/60, nil
}

func (l *leak) now() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.began.Add(time.Duration(l.seconds) * time.Second)
}

func startBrokenWorker(f *fleet) *brokenWorker {
	f.Helper()
	b := &brokenWorker{fleet: f}
	must := func(err error) {
		f.Helper()
		if err != nil {
			f.Fatal(err)
		}
	}
	// The test's context ends before its clean-up, and so do these parts.
	ends := func(stop func(context.Context) error) { f.Cleanup(func() { _ = stop(context.Background()) }) }
	provided, err := provider.Start(f.Context(), provider.Options{Mode: provider.Embedded, Dir: f.TempDir()})
	must(err)
	ends(provided.Stop)
	b.queue = queue.Open(queue.Options{Redis: provided.Client(), Asynq: provided.Asynq()})
	must(b.queue.Start(f.Context()))
	ends(b.queue.Stop)
	folder, err := dir.Open(filepath.Join(f.TempDir(), "folder"))
	must(err)
	bucket, err := dir.Open(filepath.Join(f.TempDir(), "bucket"))
	must(err)
	store := mirror.New(folder, storetest.NewFaulty(bucket, b.bucket), mirror.Options{Every: 100 * time.Millisecond, Whole: true})
	must(store.Start(f.Context()))
	ends(store.Stop)
	gov, err := governor.New(governor.Options{Sampler: &gpuWorker{}})
	must(err)
	must(gov.Start(f.Context()))
	ends(gov.Stop)
	l := &leak{began: time.Now()}
	// A process that is warm, less than a day away from its bound.
	b.memory, err = footprint.New(footprint.Options{Read: l.read, Now: l.now, Every: 5 * time.Millisecond, WarningMB: 1500})
	must(err)
	started := true
	recorder := heartbeat.New(heartbeat.Options{Now: func() time.Time {
		if started {
			started = false
			return time.Now().Add(-2 * time.Hour)
		}
		return time.Now()
	}})
	recorder.Fill(b.memory.Fill)
	recorder.Fill(func(beat *heartbeat.Beat) {
		s := store.State()
		beat.Uploads = &heartbeat.Uploads{Bucket: s.Bucket, Pending: s.Pending, Fault: s.Fault}
		if !s.Since.IsZero() {
			beat.Uploads.LagSeconds = time.Since(s.Since).Seconds()
		}
	})
	b.datasets = storage.NewDatasets(store, storage.DatasetOptions{})
	w, err := worker.New(worker.Options{
		Queue: worker.On(b.queue), Checkpoints: storage.NewCheckpoints(store, storage.Options{}), Datasets: b.datasets,
		Control: storage.NewControl(store, storage.ControlOptions{}), Governor: gov, Recorder: recorder, Learn: b.learn, Ask: b.ask,
	})
	must(err)
	must(w.Start(f.Context()))
	ends(w.Stop)
	registry := metric.NewRegistry("test")
	must(registry.Register(metric.NewProcess(recorder)))
	must(registry.Register(metric.NewUploads(recorder)))
	must(w.Register(registry))
	server := httptest.NewServer(metric.Handler(registry))
	f.Cleanup(server.Close)
	b.url, b.close = server.URL, server.Close
	return b
}

// teach stores n lessons, submits their job, and returns its id.
func (b *brokenWorker) teach(n int) string {
	b.Helper()
	ctx := b.Context()
	w, err := b.datasets.Create(ctx, storage.DatasetMeta{Op: storage.OpTeach})
	if err != nil {
		b.Fatal(err)
	}
	defer w.Abort()
	for range n {
		id := job.NewID()
		if err := w.Add(storage.Lesson{Prompt: "Where is " + id + "?", Response: &id}); err != nil {
			b.Fatal(err)
		}
	}
	ds, err := w.Commit(ctx)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := b.queue.Submit(ctx, job.Spec{ID: ds.ID, Kind: job.KindTrain, Dataset: ds.ID}); err != nil {
		b.Fatal(err)
	}
	return ds.ID
}

// learned waits until a job has ended well.
func (b *brokenWorker) learned(id string) {
	b.Helper()
	eventually(b.T, "lessons are learned", func() string {
		j, err := b.queue.Job(b.Context(), id)
		if err != nil {
			return err.Error()
		}
		if j.State != job.StateSucceeded {
			return fmt.Sprintf("%s %v", j.State, j.Error)
		}
		return ""
	})
}

// plant has each fault happen and waits for its alert.
func (b *brokenWorker) plant(w *watcher) {
	b.Helper()
	// A model that fails within a minute of its swap.
	b.learned(b.teach(1))
	b.learned(b.teach(1))
	b.panics.Store(true)
	for range 5 {
		if _, _, err := b.queue.Ask(b.Context(), job.Spec{Kind: job.KindInteract, Lane: job.LaneInteractive, Prompt: "crash"}, time.Minute); err == nil {
			b.Error("a model that panics answers")
		}
	}
	w.firing(nil, "NexusModelRolledBack")
	b.panics.Store(false)

	// Gradient steps that end with an error, twice.
	b.diverges.Store(true)
	b.teach(20)
	b.teach(20)
	w.firing(nil, "NexusConsolidationFailing")
	b.diverges.Store(false)

	// A bucket that is away while lessons come.
	b.away.Store(true)
	b.teach(1)
	w.firing(nil, "NexusUploadLag")
	b.away.Store(false)

	if err := b.memory.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = b.memory.Stop(context.Background()) }()
	w.firing(nil, "NexusMemoryGrowth")
}
