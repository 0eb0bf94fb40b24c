package scheduler

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/queue"
	"github.com/nexus-continuum/nexus/queue/provider"
	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/storage/dir"
	"github.com/nexus-continuum/nexus/telemetry/interaction"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 30 * time.Second

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
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
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
		checkpoints: storage.NewCheckpoints(store, storage.Options{}),
		datasets:    storage.NewDatasets(store, storage.DatasetOptions{}),
		control:     storage.NewControl(store, storage.ControlOptions{}),
	}
	b.interactions = interaction.New(interaction.Options{Redis: r.Client(), Timeout: 10 * time.Second, Log: testLog(t)})
	b.queue = b.open()
	return b
}

func (b *bundle) open() *queue.Queue {
	b.Helper()
	q := queue.Open(queue.Options{Redis: b.provided.Client(), Asynq: b.provided.Asynq(), Timeout: 10 * time.Second, Log: testLog(b.T)})
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

// scheduler makes one that is not started, so that tests call its tasks.
func (b *bundle) scheduler(change func(*Options)) *Scheduler {
	b.Helper()
	opt := Options{
		Queue: On(b.queue), Interactions: b.interactions, Redis: b.provided.Client(), Datasets: b.datasets, Checkpoints: b.checkpoints, Control: b.control,
		Young: time.Nanosecond, Log: testLog(b.T),
	}
	if change != nil {
		change(&opt)
	}
	s, err := New(opt)
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func (b *bundle) start(s *Scheduler) {
	b.Helper()
	if err := s.Start(b.ctx); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { b.stop(s) })
}

func (b *bundle) stop(s *Scheduler) {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		b.Error(err)
	}
}

func (b *bundle) teach(prompt string) string {
	b.Helper()
	w, err := b.datasets.Create(b.ctx, storage.DatasetMeta{Op: storage.OpTeach, Topic: "t"})
	if err != nil {
		b.Fatal(err)
	}
	defer w.Abort()
	yes := "yes"
	if err := w.Add(storage.Lesson{Prompt: prompt, Response: &yes}); err != nil {
		b.Fatal(err)
	}
	ds, err := w.Commit(b.ctx)
	if err != nil {
		b.Fatal(err)
	}
	return ds.ID
}

// learn saves a checkpoint onto parent whose lineage gains the datasets.
func (b *bundle) learn(parent string, datasets ...string) string {
	b.Helper()
	m, err := b.checkpoints.Save(b.ctx, parent, []storage.Part{{Name: "x", Data: []byte(job.NewID())}}, storage.Meta{Learned: datasets})
	if err != nil {
		b.Fatal(err)
	}
	return m.ID
}

func (b *bundle) trainJobs() []job.Job {
	b.Helper()
	jobs, _, err := b.queue.Jobs(b.ctx, queue.Filter{Kind: job.KindTrain})
	if err != nil {
		b.Fatal(err)
	}
	return jobs
}

func (b *bundle) until(what string, ok func() bool) {
	b.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			b.Fatalf("never happened: %s", what)
		}
	}
}

func TestSweepMakesLostJobsAgain(t *testing.T) {
	eachMode(t, func(b *bundle) {
		learned, lost, queued := b.teach("learned"), b.teach("lost"), b.teach("queued")
		b.learn("", learned)
		if _, err := b.queue.Submit(b.ctx, job.Spec{ID: queued, Kind: job.KindTrain, Dataset: queued}); err != nil {
			b.Fatal(err)
		}
		b.start(b.scheduler(nil)) // at start, without waiting a minute
		b.until("the lost job is there", func() bool {
			j, err := b.queue.Job(b.ctx, lost)
			return err == nil && j.State == job.StateQueued && j.Topic == "t"
		})
		// Others, and again, make nothing more.
		for range 3 {
			if err := b.scheduler(nil).sweep(b.ctx); err != nil {
				b.Fatal(err)
			}
		}
		if jobs := b.trainJobs(); len(jobs) != 2 {
			b.Errorf("%d train jobs, want 2", len(jobs))
		}
	})
}

func TestSweepLeavesYoungDatasetsAlone(t *testing.T) {
	t.Parallel()
	b := setup(t, provider.Embedded)
	id := b.teach("young")
	now := time.Now()
	s := b.scheduler(func(o *Options) { o.Young = time.Minute; o.Now = func() time.Time { return now } })
	if err := s.sweep(b.ctx); err != nil {
		b.Fatal(err)
	}
	if jobs := b.trainJobs(); len(jobs) != 0 {
		b.Errorf("%d jobs", len(jobs))
	}
	now = now.Add(2 * time.Minute)
	if err := s.sweep(b.ctx); err != nil {
		b.Fatal(err)
	}
	if _, err := b.queue.Job(b.ctx, id); err != nil {
		b.Error(err)
	}
}

func TestSweepForgetsCanceledUploads(t *testing.T) {
	t.Parallel()
	b := setup(t, provider.Embedded)
	id := b.teach("canceled")
	if _, err := b.queue.Submit(b.ctx, job.Spec{ID: id, Kind: job.KindTrain, Dataset: id}); err != nil {
		b.Fatal(err)
	}
	if _, err := b.queue.Cancel(b.ctx, id); err != nil {
		b.Fatal(err)
	}
	if err := b.scheduler(nil).sweep(b.ctx); err != nil {
		b.Fatal(err)
	}
	if ids, err := b.datasets.IDs(b.ctx); err != nil || len(ids) != 0 {
		b.Errorf("datasets %v, %v", ids, err)
	}
}

// The newest checkpoint is damaged: what only it had learned is learned again,
// by one job however often the sweep comes.
func TestSweepLearnsAgainWhatADamagedCheckpointKnew(t *testing.T) {
	t.Parallel()
	b := setup(t, provider.Embedded)
	first, second := b.teach("first"), b.teach("second")
	whole := b.learn("", first)
	damaged := b.learn(whole, second)
	done := b.queue.Serve(job.LaneTrain, 1, func(context.Context, *queue.Task) (any, error) { return job.Trained{}, nil })
	if err := done.Start(b.ctx); err != nil {
		b.Fatal(err)
	}
	if _, err := b.queue.Submit(b.ctx, job.Spec{ID: second, Kind: job.KindTrain, Dataset: second}); err != nil {
		b.Fatal(err)
	}
	b.until("its job ends", func() bool {
		j, err := b.queue.Job(b.ctx, second)
		return err == nil && j.State == job.StateSucceeded
	})
	if err := done.Stop(b.ctx); err != nil {
		b.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(b.store.String(), "checkpoint_"+damaged+".json"), 10); err != nil {
		b.Fatal(err)
	}
	fresh := storage.NewCheckpoints(b.store, storage.Options{})
	if m, _, err := fresh.LoadLatest(b.ctx); err != nil || m.ID != whole {
		b.Fatalf("loaded %s, %v", m.ID, err)
	}
	s := b.scheduler(func(o *Options) { o.Checkpoints = fresh })
	for range 3 {
		if err := s.sweep(b.ctx); err != nil {
			b.Fatal(err)
		}
	}
	waiting := slices.DeleteFunc(b.trainJobs(), func(j job.Job) bool { return j.State.Final() })
	if len(waiting) != 1 || waiting[0].State != job.StateQueued {
		b.Errorf("jobs %+v", waiting)
	}
}

// learnedMeanwhile is a queue whose jobs end, lessons learned, just before they
// are looked at.
type learnedMeanwhile struct {
	Queue
	learn func()
}

func (q learnedMeanwhile) Job(ctx context.Context, id string) (job.Job, error) {
	q.learn()
	return job.Job{ID: id, Kind: job.KindTrain, State: job.StateSucceeded}, nil
}

// What is learned between the look at the lineage and that at its job was not
// lost with a checkpoint.
func TestSweepMakesNoJobForWhatIsLearnedMeanwhile(t *testing.T) {
	t.Parallel()
	b := setup(t, provider.Embedded)
	taught := b.teach("taught")
	s := b.scheduler(func(o *Options) {
		o.Queue = learnedMeanwhile{Queue: On(b.queue), learn: func() { b.learn("", taught) }}
	})
	if err := s.sweep(b.ctx); err != nil {
		b.Fatal(err)
	}
	if jobs := b.trainJobs(); len(jobs) != 0 {
		b.Errorf("jobs %+v", jobs)
	}
}

func TestSweepDoesNotUndoARollback(t *testing.T) {
	t.Parallel()
	b := setup(t, provider.Embedded)
	good, bad := b.teach("good"), b.teach("bad")
	before := b.learn("", good)
	b.learn(before, bad)
	if _, err := b.checkpoints.Promote(b.ctx, before); err != nil {
		b.Fatal(err)
	}
	after := b.teach("after")
	if err := b.scheduler(nil).sweep(b.ctx); err != nil {
		b.Fatal(err)
	}
	jobs := b.trainJobs()
	if len(jobs) != 1 || jobs[0].ID != after {
		b.Errorf("jobs %+v, want one for %s", jobs, after)
	}
}

func TestThePauseOfTheLaneIsApplied(t *testing.T) {
	eachMode(t, func(b *bundle) {
		if _, err := b.control.Update(b.ctx, func(c *storage.Control) { c.Paused = true }); err != nil {
			b.Fatal(err)
		}
		b.start(b.scheduler(nil))
		paused := func(want bool) func() bool {
			return func() bool {
				lanes, err := b.queue.Lanes(b.ctx)
				if err != nil {
					b.Fatal(err)
				}
				i := slices.IndexFunc(lanes, func(l queue.LaneState) bool { return l.Name == job.LaneTrain })
				return lanes[i].Paused == want && (lanes[i].PausedWhy != "") == want
			}
		}
		b.until("the lane is paused", paused(true))
		id := b.teach("waits")
		if _, err := b.queue.Submit(b.ctx, job.Spec{ID: id, Kind: job.KindTrain, Dataset: id}); err != nil {
			b.Fatal(err)
		}
		j, err := b.queue.Job(b.ctx, id)
		if err != nil || j.WaitingFor == nil || *j.WaitingFor != job.WhyPaused {
			b.Errorf("job %+v, %v", j, err)
		}
		// Somebody resumes the lane behind our back; the record holds.
		if err := b.queue.PauseLane(b.ctx, job.LaneTrain, false, ""); err != nil {
			b.Fatal(err)
		}
		b.until("the lane is paused again", paused(true))
		if _, err := b.control.Update(b.ctx, func(c *storage.Control) { c.Paused = false }); err != nil {
			b.Fatal(err)
		}
		if err := b.queue.Publish(b.ctx, job.ChannelControl, job.MessageChanged); err != nil {
			b.Fatal(err)
		}
		b.until("the lane goes on", paused(false))
	})
}

// counting counts the requests for a save.
type counting struct {
	Queue
	saves *atomic.Int64
}

func (c counting) Publish(ctx context.Context, channel, msg string) error {
	if msg == job.MessageSave {
		c.saves.Add(1)
	}
	return c.Queue.Publish(ctx, channel, msg)
}

func TestOneOfManyLeads(t *testing.T) {
	eachMode(t, func(b *bundle) {
		var saves atomic.Int64
		var all []*Scheduler
		for range 3 {
			q := b.open()
			s := b.scheduler(func(o *Options) {
				o.Queue = counting{On(q), &saves}
				o.Schedules.Checkpoint, o.LeaseTTL = "@every 1s", time.Second
			})
			b.start(s)
			all = append(all, s)
		}
		leading := func() (n int) {
			for _, s := range all {
				if s.Leading() {
					n++
				}
			}
			return n
		}
		b.until("one leads and ticks", func() bool { return leading() == 1 && saves.Load() > 1 })
		for i, s := range all {
			if s.Leading() {
				b.stop(s)
				b.stop(s) // twice is safe
				all = slices.Delete(all, i, i+1)
				break
			}
		}
		b.until("another leads", func() bool { return leading() == 1 })
		if n := leading(); n != 1 {
			b.Errorf("%d lead", n)
		}
	})
}

func TestPruneKeepsTheNumberSet(t *testing.T) {
	t.Parallel()
	b := setup(t, provider.Embedded)
	id, parent := b.teach("kept"), ""
	for range 6 {
		parent = b.learn(parent, id)
	}
	challenger, err := b.checkpoints.List(b.ctx)
	if err != nil {
		b.Fatal(err)
	}
	if err := b.checkpoints.SetChallenger(b.ctx, challenger[5].ID); err != nil {
		b.Fatal(err)
	}
	if _, err := b.scheduler(func(o *Options) { o.MaxCheckpoints = 2 }).prune(b.ctx); err != nil {
		b.Fatal(err)
	}
	list, err := b.checkpoints.List(b.ctx)
	if err != nil || len(list) != 3 || list[0].ID != parent || list[2].ID != challenger[5].ID {
		b.Errorf("%d checkpoints, %v", len(list), err)
	}
	if ids, err := b.datasets.IDs(b.ctx); err != nil || len(ids) != 1 {
		b.Errorf("a learned dataset was deleted: %v, %v", ids, err)
	}
}

func TestStopBeforeStart(t *testing.T) {
	t.Parallel()
	b := setup(t, provider.Embedded)
	b.stop(b.scheduler(nil))
	if _, err := New(Options{}); err == nil {
		t.Error("a scheduler without anything was made")
	}
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
