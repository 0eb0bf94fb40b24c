package trainer_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/queue"
	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/storage/dir"
	"github.com/nexus-continuum/nexus/worker/governor"
	"github.com/nexus-continuum/nexus/worker/trainer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// timeout bounds every wait for another goroutine.
const timeout = time.Minute

// bundle is a trainer's surroundings: a real folder, a real model, and gradient
// steps that do what the test says.
type bundle struct {
	*testing.T
	store       storage.Store
	checkpoints *storage.Checkpoints
	datasets    *storage.Datasets

	control  atomic.Pointer[storage.Control]
	governor *permits
	learning *fuse
	live     sync.Map // dataset → true: its job is still to come

	adopted  chan saved
	sessions chan *session // each one that begins
	plan     atomic.Pointer[plan]
	opt      trainer.Options
}

type saved struct {
	model    *model.Model
	manifest storage.Manifest
}

func setup(t *testing.T) *bundle {
	t.Helper()
	t.Parallel()
	store, err := dir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b := &bundle{
		T: t, store: store,
		checkpoints: storage.NewCheckpoints(store, storage.Options{Log: testLog(t)}),
		datasets:    storage.NewDatasets(store, storage.DatasetOptions{}),
		governor:    &permits{}, learning: &fuse{},
		adopted: make(chan saved, 1000), sessions: make(chan *session, 100),
	}
	b.control.Store(&storage.Control{Training: true})
	b.plan.Store(&plan{steps: 3, promoted: true})
	b.opt = trainer.Options{
		Checkpoints: b.checkpoints, Datasets: b.datasets, Governor: b.governor,
		Storage: &fuse{}, Learning: b.learning,
		Control: func() storage.Control { return *b.control.Load() },
		Coming: func(_ context.Context, before string) (ids []string, _ error) {
			b.live.Range(func(id, _ any) bool {
				if id := id.(string); id < before {
					ids = append(ids, id)
				}
				return true
			})
			return ids, nil
		},
		Learn:    b.learn,
		Replace:  b.replace,
		Adopt:    func(m *model.Model, s storage.Manifest) { b.adopted <- saved{m, s} },
		Announce: func(context.Context, string) {},
		Fence:    1, Small: 4, Quiet: 20 * time.Millisecond, MaxDelay: time.Hour, Log: testLog(t),
	}
	return b
}

// start runs a trainer until the test ends.
func (b *bundle) start() *trainer.Trainer {
	b.Helper()
	t := trainer.New(b.opt)
	if err := t.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { b.stop(t) })
	return t
}

func (b *bundle) stop(t *trainer.Trainer) {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := t.Stop(ctx); err != nil {
		b.Error(err)
	}
}

// teach stores a dataset of lessons "prompt → response".
func (b *bundle) teach(topic string, lessons ...string) string {
	b.Helper()
	return b.put(storage.DatasetMeta{Op: storage.OpTeach, Topic: topic}, lessons)
}

func (b *bundle) put(meta storage.DatasetMeta, lessons []string) string {
	b.Helper()
	w, err := b.datasets.Create(b.Context(), meta)
	if err != nil {
		b.Fatal(err)
	}
	defer w.Abort()
	for _, l := range lessons {
		prompt, response, ok := strings.Cut(l, " → ")
		lesson := storage.Lesson{Prompt: prompt, Response: &response}
		if !ok {
			lesson.Response = nil
		}
		if err := w.Add(lesson); err != nil {
			b.Fatal(err)
		}
	}
	ds, err := w.Commit(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	return ds.ID
}

// judge stores what a person said of an answer, or of a refusal if response is
// empty, as a dataset.
func (b *bundle) judge(interaction, prompt, response string, correct bool) string {
	b.Helper()
	w, err := b.datasets.Create(b.Context(), storage.DatasetMeta{Op: storage.OpJudge})
	if err != nil {
		b.Fatal(err)
	}
	defer w.Abort()
	l := storage.Lesson{Prompt: prompt, Judgement: &storage.Judgement{Interaction: interaction, Correct: correct}}
	if response != "" {
		l.Response = &response
	}
	if err := w.Add(l); err != nil {
		b.Fatal(err)
	}
	ds, err := w.Commit(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	return ds.ID
}

// many makes n lessons about something.
func many(n int, about string) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("what is the %s number %d → it is %s %d", about, i, about, i)
	}
	return out
}

// run is a train job under way.
type run struct {
	b      *bundle
	cancel context.CancelCauseFunc
	phases chan string
	done   chan struct{}

	trained job.Trained
	err     error
}

// train runs the job of a dataset.
func (b *bundle) train(t *trainer.Trainer, dataset string) *run {
	ctx, cancel := context.WithCancelCause(context.Background())
	r := &run{b: b, cancel: cancel, phases: make(chan string, 10_000), done: make(chan struct{})}
	b.Cleanup(func() { cancel(nil) })
	go func() {
		defer close(r.done)
		r.trained, r.err = t.Train(ctx, job.Spec{ID: job.NewID(), Kind: job.KindTrain, Dataset: dataset}, func(_ context.Context, p job.Progress) error {
			r.phases <- p.Phase
			return nil
		})
	}()
	return r
}

// reaches waits for a phase.
func (r *run) reaches(phase string) {
	r.b.Helper()
	limit := time.After(timeout)
	for {
		select {
		case p := <-r.phases:
			if p == phase {
				return
			}
		case <-r.done:
			for len(r.phases) > 0 {
				if <-r.phases == phase {
					return
				}
			}
			r.b.Fatalf("the job ended (%+v, %v) before it was %s", r.trained, r.err, phase)
		case <-limit:
			r.b.Fatalf("the job was never %s", phase)
		}
	}
}

func (r *run) wait() {
	r.b.Helper()
	select {
	case <-r.done:
	case <-time.After(timeout):
		r.b.Fatal("the job does not end")
	}
}

func (r *run) succeeds() job.Trained {
	r.b.Helper()
	r.wait()
	if r.err != nil {
		r.b.Fatalf("the job failed: %v", r.err)
	}
	return r.trained
}

// isHandedBack waits for the job to be handed back with a reason.
func (r *run) isHandedBack(why string) {
	r.b.Helper()
	r.wait()
	if r.err == nil || r.err.Error() != queue.HandBack(why, 0).Error() {
		r.b.Fatalf("the job ended (%+v) with %v; it should be handed back because %q", r.trained, r.err, why)
	}
}

// head is the model as any worker would load it.
func (b *bundle) head() (*model.Model, storage.Manifest) {
	b.Helper()
	manifest, parts, err := b.checkpoints.LoadLatest(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	m, err := trainer.Open(model.Config{}, manifest, parts)
	if err != nil {
		b.Fatal(err)
	}
	return m, manifest
}

// answers checks what the head answers to a prompt.
func (b *bundle) answers(prompt, want string) {
	b.Helper()
	m, _ := b.head()
	if v := m.Ask([]model.Query{{Prompt: prompt}})[0]; v.Response != want {
		b.Errorf("%q is answered %q (%s), want %q", prompt, v.Response, v.Reason, want)
	}
}

// session is one consolidation, in the test's hands.
type session struct {
	fresh    []string
	replaces *model.Config // of a replacement: what it is to be
	plan     *plan
	onto     chan *model.Model // what Finish was called with
	over     <-chan struct{}   // the test has ended
	entered  chan struct{}     // holds a value once a step began
	mu       sync.Mutex
	done     int
}

var errOver = errors.New("the test has ended")

// words are what the steps of a plan wait for; saying one never blocks.
func words() chan error { return make(chan error, 1000) }

// plan says how gradient steps go.
type plan struct {
	steps    int
	promoted bool
	why      string
	step     chan error // if set, each step waits for a word
	judge    chan error // if set, judging waits for a word
	begin    error
	panics   string // if set, each step panics with it
}

func (b *bundle) learn(_ *model.Model, fresh []string, _ uint64, _ func()) (trainer.Learner, error) {
	p := b.plan.Load()
	if p.begin != nil {
		return nil, p.begin
	}
	s := &session{fresh: fresh, plan: p, over: b.Context().Done(), onto: make(chan *model.Model, 1), entered: make(chan struct{}, 1)}
	b.sessions <- s
	return s, nil
}

func (b *bundle) replace(m *model.Model, cfg model.Config, _ uint64, _ func()) (trainer.Learner, error) {
	p := b.plan.Load()
	if p.begin != nil {
		return nil, p.begin
	}
	s := &session{replaces: &cfg, plan: p, over: b.Context().Done(), onto: make(chan *model.Model, 1), entered: make(chan struct{}, 1)}
	b.sessions <- s
	return s, nil
}

func (s *session) Step() (float64, error) {
	if s.plan.panics != "" {
		panic(s.plan.panics)
	}
	select {
	case s.entered <- struct{}{}:
	default:
	}
	if s.plan.step != nil {
		select {
		case err := <-s.plan.step:
			if err != nil {
				return 0, err
			}
		case <-s.over:
			return 0, errOver
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done++
	return 1 / float64(s.done), nil
}

func (s *session) Done() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.done
}

func (s *session) Total() int { return s.plan.steps }

func (s *session) Finish(onto *model.Model) (*model.Model, trainer.Report, error) {
	s.onto <- onto
	if s.plan.judge != nil {
		select {
		case err := <-s.plan.judge:
			if err != nil {
				return nil, trainer.Report{}, err
			}
		case <-s.over:
			return nil, trainer.Report{}, errOver
		}
	}
	if s.replaces != nil && s.plan.promoted {
		var err error
		if onto, err = model.Open(*s.replaces, onto.Parts()); err != nil {
			return nil, trainer.Report{}, err
		}
	}
	return onto, trainer.Report{
		Before: job.Figures{Accuracy: 0.5}, After: job.Figures{Accuracy: 0.9},
		Promoted: s.plan.promoted, Why: s.plan.why, Steps: s.plan.steps,
	}, nil
}

// begun waits for the next consolidation.
func (b *bundle) begun() *session {
	b.Helper()
	select {
	case s := <-b.sessions:
		return s
	case <-time.After(timeout):
		b.Fatal("no consolidation begins")
		return nil
	}
}

// permits is a governor that says what it is told.
type permits struct {
	permit atomic.Pointer[governor.Permit]
	spent  atomic.Int64
	asked  atomic.Int64
}

func (p *permits) Permit() governor.Permit {
	p.asked.Add(1)
	if v := p.permit.Load(); v != nil {
		return *v
	}
	return governor.Permit{}
}

func (p *permits) Spent(d time.Duration) { p.spent.Add(int64(d)) }

// fuse is a breaker that opens when told.
type fuse struct{ open atomic.Bool }

func (f *fuse) Do(do func() error) error { return do() }
func (f *fuse) Open() bool               { return f.open.Load() }

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
