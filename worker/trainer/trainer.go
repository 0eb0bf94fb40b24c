// Package trainer is the one place where the model learns. The process that
// holds the trainer's lease runs it: lessons enter the memory first and answer
// at once, gradient steps fold them into the weights afterwards, in slices, and
// new weights are judged before they serve.
//
// One goroutine, the actor, owns the model that learns. Jobs hand it requests
// and wait; it looks at them between any two slices, so that a lesson never
// waits for gradient steps.
package trainer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/nexus-continuum/nexus/internal/lifecycle"
	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/queue"
	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/worker/governor"
)

// Checkpoints is what the trainer needs of storage.Checkpoints.
type Checkpoints interface {
	Head(ctx context.Context) (storage.Head, error)
	LoadLatest(ctx context.Context) (storage.Manifest, []storage.Part, error)
	Lineage(ctx context.Context, id string) (storage.Lineage, error)
	List(ctx context.Context) ([]storage.Manifest, error)
	Save(ctx context.Context, parent string, parts []storage.Part, meta storage.Meta) (storage.Manifest, error)
}

// Datasets is what the trainer needs of storage.Datasets.
type Datasets interface {
	SingleIDs(ctx context.Context) ([]string, error)
	Op(ctx context.Context, id string) (storage.Op, error)
	Lessons(ctx context.Context, id string) (storage.Dataset, []storage.Lesson, error)
}

// Governor says between slices whether training may go on.
type Governor interface {
	Permit() governor.Permit
	Spent(cpu time.Duration)
}

// Breaker keeps from trying again what keeps failing.
type Breaker interface {
	// Do runs f unless the breaker is open; an error of f counts against it.
	Do(f func() error) error
	// Open reports whether Do would refuse now.
	Open() bool
}

// Learner takes gradient steps on a copy of a model's weights;
// *model.Learner is one, but for types.
type Learner interface {
	// Step takes one minibatch, some ten milliseconds, and returns its loss.
	Step() (loss float64, err error)
	Done() int
	Total() int
	// Finish gives the memory of onto to the new weights and judges them. The
	// returned model is the one to serve, with the new weights or the old.
	Finish(onto *model.Model) (*model.Model, Report, error)
}

// Report says what became of new weights.
type Report struct {
	Before, After job.Figures
	Promoted      bool
	Why           string
	Steps         int
}

// Options of a Trainer. Those without a default are required.
type Options struct {
	Checkpoints Checkpoints
	Datasets    Datasets
	Governor    Governor
	// Storage and Learning are circuit breakers.
	Storage, Learning Breaker
	// Control returns what operators told the cluster; it must be quick.
	Control func() storage.Control
	// Coming lists the datasets, older than the given one, whose jobs are still to be
	// done, so that they are learned before a younger one although their own jobs have
	// not come up yet.
	Coming func(ctx context.Context, before string) ([]string, error)
	// Dropped tells whether a dataset's job was canceled before it was done: what
	// such a dataset unlearns is not carried out.
	Dropped func(ctx context.Context, dataset string) bool
	// Late says that datasets may come later than their jobs: another host took
	// them and has not brought them to the storage that both share.
	Late bool
	// Model is what to build: architecture, size, seed.
	Model model.Config
	// Learn begins gradient steps over what m remembers; fresh are the ids of
	// lessons that no steps have seen. yield is to be called in Finish every
	// some milliseconds; it returns when the governor lets training go on.
	Learn func(m *model.Model, fresh []string, seed uint64, yield func()) (Learner, error)
	// Replace begins gradient steps of a model of cfg's architecture and size
	// over all that m remembers; Finish judges it against the model that serves.
	// yield is that of Learn.
	Replace func(m *model.Model, cfg model.Config, seed uint64, yield func()) (Learner, error)
	// Adopt puts a saved model to work in this process.
	Adopt func(m *model.Model, saved storage.Manifest)
	// Failed, if not nil, is told when gradient steps ended with an error.
	Failed func()
	// Announce tells the other processes of a checkpoint.
	Announce func(ctx context.Context, checkpoint string)
	// Embed gives the vectors of an embedding server, in which lessons are seen beside
	// the own ones; nil is none.
	Embed Embedder
	// Fence is the lease's fencing token.
	Fence int64
	// CPU returns the CPU time that was used for learning and what else this
	// process does besides serving; differences of it are charged to training.
	CPU func() time.Duration

	// Small is the number of new lessons below which a job does not wait for
	// gradient steps: memory answers them, and the steps come together with
	// those of later lessons; 16.
	Small int
	// Quiet is how long after the last lesson such steps are taken at the
	// earliest, 10 s, and MaxDelay how long they are put off at most, 10 min.
	Quiet, MaxDelay time.Duration

	Now func() time.Time
	Log *slog.Logger
}

func (o *Options) fill() {
	if o.Model.Architecture == "" {
		o.Model.Architecture = model.Flowing
	}
	if o.Model.Size == "" {
		o.Model.Size = model.Small
	}
	if o.Small == 0 {
		o.Small = 16
	}
	if o.Quiet == 0 {
		o.Quiet = 10 * time.Second
	}
	if o.MaxDelay == 0 {
		o.MaxDelay = 10 * time.Minute
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.CPU == nil {
		o.CPU = func() time.Duration { d, _ := governor.CPUTime(); return d }
	}
	if o.Coming == nil {
		o.Coming = func(context.Context, string) ([]string, error) { return nil, nil }
	}
}

// Trainer learns. Train may be called by many goroutines at once.
type Trainer struct {
	opt           Options
	requests      chan *request
	poke          chan struct{} // latched: look around
	running       atomic.Pointer[string]
	unsaved       atomic.Bool // somebody asked for a save
	recalibration atomic.Bool // somebody asked for a recalibration

	replacement atomic.Pointer[Replacement]
	aside       atomic.Pointer[[]SetAside]
	absent      atomic.Pointer[[]Absent]

	life  lifecycle.Life
	ended chan struct{} // closed when the actor has gone
	lost  chan struct{} // closed when another trainer has saved
}

// request is one train job on its way through the actor.
type request struct {
	ctx      context.Context
	spec     job.Spec
	progress func(context.Context, job.Progress) error
	done     chan outcome // holds one
	began    time.Time
	told     time.Time // of the last progress
	phase    string    // that it told
}

type outcome struct {
	trained job.Trained
	err     error
}

// end tells the caller what became of its job. Only the first outcome counts.
func (r *request) end(t job.Trained, err error) {
	select {
	case r.done <- outcome{t, err}:
	default:
	}
}

// New makes a trainer.
func New(opt Options) *Trainer {
	opt.fill()
	return &Trainer{
		opt:      opt,
		requests: make(chan *request, 256),
		poke:     make(chan struct{}, 1),
		ended:    make(chan struct{}),
		lost:     make(chan struct{}),
	}
}

// Start loads the latest checkpoint, or begins with an untaught model, and
// begins to serve Train.
func (t *Trainer) Start(ctx context.Context) error {
	return t.life.Start(ctx, func(context.Context) error {
		a := newActor(t)
		if err := a.load(ctx); err != nil {
			return err
		}
		t.life.Go(func(ctx context.Context) {
			defer close(t.ended)
			a.run(ctx)
		})
		if t.opt.Embed != nil {
			t.life.Go(a.views.run)
		}
		return nil
	})
}

// Stop ends learning after the slice in hand; jobs are handed back.
func (t *Trainer) Stop(ctx context.Context) error {
	if err := t.life.Stop(ctx); err != nil {
		return fmt.Errorf("stop the trainer: %w", err)
	}
	return nil
}

// Lost is closed when another trainer has saved since: this one must end.
func (t *Trainer) Lost() <-chan struct{} { return t.lost }

// Nudge makes the trainer look at the control state and the head at once.
func (t *Trainer) Nudge() {
	select {
	case t.poke <- struct{}{}:
	default:
	}
}

// Save asks for a checkpoint of what was not saved yet. Lessons and new weights
// are saved as they come, so that most of the time there is nothing to do.
func (t *Trainer) Save() {
	t.unsaved.Store(true)
	t.Nudge()
}

// Recalibrate asks for the threshold to be set by what memory holds now.
func (t *Trainer) Recalibrate() {
	t.recalibration.Store(true)
	t.Nudge()
}

// Running is the id of a job that gradient steps are being taken for; empty if
// there is none.
func (t *Trainer) Running() string {
	if id := t.running.Load(); id != nil {
		return *id
	}
	return ""
}

// Train runs one train job to its end. It returns at once when ctx ends, with
// ctx's cause; what was memorised by then stays. A job that must wait is handed
// back (queue.HandBack).
func (t *Trainer) Train(ctx context.Context, spec job.Spec, progress func(context.Context, job.Progress) error) (job.Trained, error) {
	r := &request{ctx: ctx, spec: spec, progress: progress, done: make(chan outcome, 1), began: t.opt.Now()}
	select {
	case t.requests <- r:
	case <-ctx.Done():
		return job.Trained{}, context.Cause(ctx)
	case <-t.ended:
		return job.Trained{}, errStopping()
	}
	select {
	case o := <-r.done:
		return o.trained, o.err
	case <-ctx.Done():
		t.Nudge()
		return job.Trained{}, context.Cause(ctx)
	case <-t.ended:
		select {
		case o := <-r.done:
			return o.trained, o.err
		default:
			return job.Trained{}, errStopping()
		}
	}
}

func errStopping() error { return queue.HandBack("the trainer is changing hands", 0) }

// canceled reports whether the caller took the job back, as opposed to this
// process being stopped.
func canceled(ctx context.Context) bool {
	return ctx.Err() != nil && errors.Is(context.Cause(ctx), queue.ErrCanceled)
}
