// Package worker is the role that computes: it answers prompts from a model
// behind one atomic pointer, follows the checkpoints that the cluster makes,
// and, in the one process that holds the trainer's lease, learns.
//
// Who follows a prompt meets interact.go (the handler), batch.go (the compute
// slots) and serving.go (the model); who follows a lesson meets campaign.go and
// package worker/trainer.
package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/nexus-continuum/nexus/internal/lifecycle"
	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/telemetry/heartbeat"
	"github.com/nexus-continuum/nexus/worker/accelerator"
	"github.com/nexus-continuum/nexus/worker/governor"
	"github.com/nexus-continuum/nexus/worker/trainer"
)

// Checkpoints is where models are kept; *storage.Checkpoints is one.
type Checkpoints interface {
	trainer.Checkpoints
	Rollback(ctx context.Context, failing, good, why string) (bool, error)
}

// Control is the record of what operators told the cluster;
// *storage.ControlRecord is one.
type Control interface {
	Read(ctx context.Context) (storage.Control, error)
}

// Governor decides how much of the machine training may have;
// *governor.Governor is one. Starting and stopping it is the caller's.
type Governor interface {
	trainer.Governor
	Touch()
	Pause(reason string)
	// Near says why no further train jobs should be taken; empty if they may.
	Near() string
	State() governor.State
}

// Device computes batches beside the cores; *accelerator.Accelerator does.
type Device interface {
	model.Device
	// Rest is how long to wait before the next batch, after one that took so long.
	Rest(took time.Duration) time.Duration
	State() []heartbeat.Card
	Counts() accelerator.Counts
}

// Options of a Worker. Those without a default are required.
type Options struct {
	Queue       Queue
	Checkpoints Checkpoints
	Datasets    Datasets
	Control     Control
	// Validity tells when answers may be given; nil is always.
	Validity Validity
	Governor Governor
	// Teacher writes the lessons of jobs that ask for it; nil is none.
	Teacher Teacher
	// Embeddings is an embedding server that sees prompts too; nil is none.
	Embeddings *Embeddings
	// Late is that of trainer.Options.
	Late bool
	// Model is what to build when nothing was learned yet.
	Model model.Config
	// Shadow is the share of prompts that a challenger answers too, 0 to 1, and
	// Challengers where it is found; nil is none.
	Shadow      float64
	Challengers Challengers
	// Device computes batches beside the cores; nil is the cores alone. Starting and
	// stopping it is the caller's.
	Device Device
	// Slots is how many prompts are computed at once; one per core.
	Slots int
	// Serving, if not nil, is told of facts for the heartbeat. Its Fill is
	// called once, by New.
	Recorder *heartbeat.Recorder
	// Hardware is shown in the heartbeat.
	Hardware heartbeat.Hardware
	// LogPrompts keeps the text of prompts and answers in the log of interactions.
	LogPrompts bool
	// ServeOnly keeps this process from standing for trainer.
	ServeOnly bool
	// Unobserved leaves counting out; it is for measuring what that costs.
	Unobserved bool
	Now        func() time.Time
	Log        *slog.Logger

	// Learn and Ask stand in for the model's own, so that tests can have learning
	// and answering fail; nil is the model's.
	Learn func(m *model.Model, fresh []string, seed uint64, yield func()) (trainer.Learner, error)
	Ask   func(m *model.Model, queries []model.Query) []model.Verdict
}

// Worker serves prompts and, at times, trains.
type Worker struct {
	opt      Options
	batcher  *batcher
	breakers breakers
	metrics  *metrics
	control  control
	validity validity
	shadow   *shadow
	views    *views // nil without an embedding server
	started  time.Time

	served   atomic.Pointer[served]
	trainer  atomic.Pointer[trainer.Trainer] // nil while another process trains
	rejected atomic.Pointer[string]          // checkpoint that failed in service
	rollback atomic.Pointer[rollback]        // from it, to be made durable
	unloaded atomic.Pointer[unloaded]        // head whose load failed, told once
	wake     chan struct{}                   // latched: look at the head now

	life  lifecycle.Life
	lanes []LaneServer
}

// New makes a worker; nothing runs before Start.
func New(opt Options) (*Worker, error) {
	switch {
	case opt.Queue == nil, opt.Checkpoints == nil, opt.Datasets == nil, opt.Control == nil, opt.Governor == nil:
		return nil, errors.New("worker: Queue, Checkpoints, Datasets, Control and Governor are needed")
	case opt.Slots < 0:
		return nil, fmt.Errorf("worker: %d slots; it must be 0 (one per core) or more", opt.Slots)
	}
	if opt.Slots == 0 {
		opt.Slots = runtime.GOMAXPROCS(0)
	}
	if opt.Learn == nil {
		opt.Learn = learn
	}
	if opt.Ask == nil {
		opt.Ask = (*model.Model).Ask
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	w := &Worker{opt: opt, metrics: newMetrics(), started: time.Now(), wake: make(chan struct{}, 1), shadow: newShadow(opt.Shadow)}
	w.breakers = newBreakers(opt.Log, opt.Now)
	if opt.Embeddings != nil {
		w.breakers.embeddings = newBreaker("embeddings", opt.Log, opt.Now, nil)
		w.views = newViews(*opt.Embeddings, w.breakers.embeddings)
	}
	w.batcher = newBatcher(opt.Slots, opt.Slots*handlersPerSlot, w.ask)
	if opt.Device != nil {
		w.batcher.rest = opt.Device.Rest
	}
	if opt.Recorder != nil {
		opt.Recorder.Fill(w.fill)
	}
	if opt.Unobserved {
		w.opt.Recorder = nil
	}
	return w, nil
}

const (
	// handlersPerSlot is how many prompts may wait in this process for a slot:
	// enough to fill a batch, few enough that other workers get theirs.
	handlersPerSlot = model.MaxBatch
	// batchHandlersPerSlot is the same for prompts that nobody waits for.
	batchHandlersPerSlot = 16
	retryLoad            = time.Second
)

// Start loads the model and begins to serve. While the storage cannot be read
// it keeps trying until ctx ends: a worker that knew nothing would refuse
// everything.
func (w *Worker) Start(ctx context.Context) error {
	return w.life.Start(ctx, func(context.Context) error { return w.start(ctx) })
}

func (w *Worker) start(ctx context.Context) error {
	w.readControl(ctx)
	w.readValidity(ctx)
	for {
		err := w.loadFirst(ctx)
		if err == nil {
			break
		}
		w.opt.Log.Error("the model cannot be loaded; trying again", "error", err)
		select {
		case <-ctx.Done():
			return fmt.Errorf("load the model: %w", err)
		case <-time.After(retryLoad):
		}
	}
	w.batcher.start()
	w.life.Go(w.follow)
	w.life.Go(w.followControl)
	if w.opt.Validity != nil {
		w.life.Go(w.followValidity)
	}
	if w.views != nil {
		w.life.Go(w.views.gatherer.Run)
		w.life.Go(w.keepBoth)
	}
	if w.opt.Shadow > 0 && w.opt.Challengers != nil {
		w.life.Go(w.runShadow)
	}
	for lane, handlers := range map[job.Lane]int{
		job.LaneInteractive: w.opt.Slots * handlersPerSlot,
		job.LaneBatch:       w.opt.Slots * batchHandlersPerSlot,
	} {
		s := w.opt.Queue.Serve(lane, handlers, w.interact)
		if err := s.Start(ctx); err != nil {
			return errors.Join(fmt.Errorf("serve lane %s: %w", lane, err), w.stopServing(ctx))
		}
		w.lanes = append(w.lanes, s)
	}
	if !w.opt.ServeOnly {
		w.life.Go(w.campaign)
	}
	return nil
}

// Stop takes no more jobs, ends those that can end and hands the others back.
func (w *Worker) Stop(ctx context.Context) error {
	if err := w.life.Stop(ctx, w.stopServing); err != nil {
		return fmt.Errorf("stop the worker: %w", err)
	}
	return nil
}

// stopServing ends the lanes and what answers their prompts.
func (w *Worker) stopServing(ctx context.Context) error {
	errs := make(chan error, len(w.lanes))
	for _, s := range w.lanes {
		go func() { errs <- s.Stop(ctx) }()
	}
	var failed error
	for range w.lanes {
		failed = errors.Join(failed, <-errs)
	}
	w.batcher.close()
	return failed
}

// Served returns the model that answers now, and the checkpoint that it came
// from: empty for an untaught one. Before Start the model is nil.
func (w *Worker) Served() (*model.Model, string) {
	s := w.served.Load()
	if s == nil {
		return nil, ""
	}
	return s.model, s.checkpoint
}
