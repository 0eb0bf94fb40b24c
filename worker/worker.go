// Package worker is the role that computes. It answers prompts from a model behind one
// atomic pointer and follows the checkpoints of the cluster. The one process that holds
// the trainer's lease also learns.
//
// To follow a prompt, read interact.go (the handler), batch.go (the compute slots) and
// serving.go (the model). To follow a lesson, read campaign.go and package
// worker/trainer.
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

// Checkpoints is where models are kept; *storage.Checkpoints implements it.
type Checkpoints interface {
	trainer.Checkpoints
	Rollback(ctx context.Context, failing, good, why string) (bool, error)
}

// Control is the record of the cluster-wide settings that operators made;
// *storage.ControlRecord implements it.
type Control interface {
	Read(ctx context.Context) (storage.Control, error)
}

// Governor decides how much of the machine training may use; *governor.Governor
// implements it. The caller starts and stops it.
type Governor interface {
	trainer.Governor
	Touch()
	Pause(reason string)
	// Near says why no further train jobs should be taken; empty means that they may be
	// taken.
	Near() string
	State() governor.State
}

// Device computes batches beside the CPU cores; *accelerator.Accelerator implements it.
type Device interface {
	model.Device
	// Rest returns how long to wait before the next batch, after a batch that took the
	// given time.
	Rest(took time.Duration) time.Duration
	State() []heartbeat.Card
	Counts() accelerator.Counts
}

// Options of a Worker. Those without a default are required.
type Options struct {
	Queue Queue
	// Interactions is the log that answers are written to; nil means that there is none.
	Interactions Interactions
	Checkpoints  Checkpoints
	Datasets     Datasets
	Control      Control
	// Validity says when answers may be given; nil means always.
	Validity Validity
	Governor Governor
	// Teacher writes the lessons of jobs that ask for it; nil means that there is no
	// teacher.
	Teacher Teacher
	// Embeddings is an embedding server that also sees prompts; nil means that there is
	// none.
	Embeddings *Embeddings
	// Late has the meaning of trainer.Options.Late.
	Late bool
	// Model is the configuration of a new model, used while nothing has been learned.
	Model model.Config
	// Shadow is the share of prompts that a challenger answers too, from 0 to 1.
	// Challengers says where the challenger is found; nil means that there is none.
	Shadow      float64
	Challengers Challengers
	// Device computes batches beside the CPU cores; nil means the cores alone. The
	// caller starts and stops it.
	Device Device
	// Slots is how many prompts are computed at once; the default is one per core.
	Slots int
	// Recorder, if not nil, receives facts for the heartbeat. New calls its Fill once.
	Recorder *heartbeat.Recorder
	// Hardware is shown in the heartbeat.
	Hardware heartbeat.Hardware
	// LogPrompts keeps the text of prompts and answers in the log of interactions.
	LogPrompts bool
	// ServeOnly keeps this process from becoming the trainer.
	ServeOnly bool
	// Unobserved disables counting. It is used to measure what counting costs.
	Unobserved bool
	Now        func() time.Time
	Log        *slog.Logger

	// Learn and Ask replace the model's own functions, so that tests can make learning
	// and answering fail; nil means the model's own.
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

// New makes a worker. Nothing runs before Start.
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
	// handlersPerSlot is how many prompts may wait in this process for a slot: enough
	// to fill a batch, and few enough that other workers get their share.
	handlersPerSlot = model.MaxBatch
	// batchHandlersPerSlot is the same for prompts whose callers do not wait: enough that
	// the worker computes while others are on their way from and to Redis.
	batchHandlersPerSlot = 64
	retryLoad            = time.Second
)

// Start loads the model and begins to serve. While the storage cannot be read, Start
// keeps trying until ctx ends, because a worker without lessons would refuse
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

// Stop takes no more jobs, finishes those that can finish, and hands the others back.
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

// Served returns the model that answers now and the id of its checkpoint. The id is
// empty for an untaught model. Before Start the model is nil.
func (w *Worker) Served() (*model.Model, string) {
	s := w.served.Load()
	if s == nil {
		return nil, ""
	}
	return s.model, s.checkpoint
}
