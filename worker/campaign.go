package worker

import (
	"context"
	"fmt"
	"time"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/queue"
	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/worker/governor"
	"github.com/nexus-continuum/nexus/worker/trainer"
)

const (
	// leaseTTL is how long after its last sign of life a trainer can be replaced. One that
	// was killed is replaced sooner (see package lease).
	leaseTTL      = 5 * time.Second
	campaignEvery = 500 * time.Millisecond
	// trainConcurrency is how many train jobs wait in the trainer at once. Jobs that
	// wait together are saved together.
	trainConcurrency = 64
	stopGrace        = 60 * time.Second
)

// campaign waits for the trainer's lease and trains while it is held.
func (w *Worker) campaign(ctx context.Context) {
	lease := w.opt.Queue.Lease(job.LeaseTrainer, leaseTTL)
	for ctx.Err() == nil {
		token, held, err := lease.Acquire(ctx)
		if err == nil && held {
			if err := w.train(ctx, token, lease.Lost()); err != nil && ctx.Err() == nil {
				w.opt.Log.Error("training cannot go on here; trying again", "error", err)
			}
			release, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			if err := lease.Release(release); err != nil {
				w.opt.Log.Warn("the trainer's lease could not be released; it runs out by itself", "error", err)
			}
			cancel()
		}
		select {
		case <-ctx.Done():
		case <-time.After(campaignEvery):
		}
	}
}

// train runs the trainer and the train lane until ctx ends or the lease is lost.
func (w *Worker) train(ctx context.Context, token int64, lost <-chan struct{}) error {
	var embed trainer.Embedder
	if w.views != nil {
		embed = lessonEmbedder{w.views}
	}
	t := trainer.New(trainer.Options{
		Checkpoints: w.opt.Checkpoints, Datasets: w.opt.Datasets, Governor: w.opt.Governor,
		Storage: w.breakers.storage, Learning: w.breakers.learning,
		Control: w.control.now, Coming: w.opt.Queue.UnfinishedDatasets, Dropped: w.dropped, Late: w.opt.Late,
		Model: w.opt.Model, Learn: w.metrics.watch(w.opt.Learn), Replace: w.metrics.watchReplacements(replacementOf), Adopt: w.swapModelLogged, Announce: w.announce, Failed: w.metrics.failedSteps, Embed: embed,
		Fence: token, CPU: w.trainingCPU, Now: w.opt.Now, Log: w.opt.Log,
	})
	if err := t.Start(ctx); err != nil {
		return fmt.Errorf("start the trainer: %w", err)
	}
	w.trainer.Store(t)
	defer w.trainer.Store(nil)
	lane := w.opt.Queue.Serve(job.LaneTrain, trainConcurrency, func(ctx context.Context, task *queue.Task) (any, error) {
		spec, err := w.withLessons(ctx, task)
		if err != nil {
			return nil, err
		}
		return t.Train(ctx, spec, task.Progress)
	})
	err := lane.Start(ctx)
	if err == nil {
		w.opt.Log.Info("this process trains", "fence", token)
		w.watchGovernor(ctx, lane, lost, t.Lost())
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
	defer cancel()
	// Draining the lane hands its jobs back; then nothing waits for the trainer.
	if e := lane.Stop(stop); err == nil {
		err = e
	}
	if e := t.Stop(stop); err == nil {
		err = e
	}
	return err
}

// governorEvery is how often the governor is asked whether train jobs may be taken.
const governorEvery = time.Second

// watchGovernor pauses the train lane while the governor says that a limit is near. It
// ends when this process must stop training.
func (w *Worker) watchGovernor(ctx context.Context, lane LaneServer, lost, overtaken <-chan struct{}) {
	tick := time.NewTicker(governorEvery)
	defer tick.Stop()
	told := ""
	for {
		why := w.opt.Governor.Near()
		if err := lane.Pause(ctx, why); err != nil && ctx.Err() == nil {
			w.opt.Log.Debug("the reason why train jobs are not taken could not be told", "error", err)
		}
		if (why == "") != (told == "") {
			w.opt.Log.Info("train jobs are taken or not by the governor", "taken", why == "", "reason", why)
		}
		told = why
		select {
		case <-ctx.Done():
			return
		case <-lost:
			return
		case <-overtaken:
			return
		case <-tick.C:
		}
	}
}

// dropped reports whether the job of a dataset was canceled before it was done. A
// dataset's job has the dataset's id.
func (w *Worker) dropped(ctx context.Context, dataset string) bool {
	j, err := w.opt.Queue.Job(ctx, dataset)
	return err == nil && j.State == job.StateCanceled
}

func (w *Worker) swapModelLogged(m *model.Model, saved storage.Manifest) {
	// The new lessons may be drafts whose record this process has not seen yet.
	ctx, cancel := context.WithTimeout(context.Background(), validityTimeout)
	defer cancel()
	w.readValidity(ctx)
	w.swapModel(m, saved)
	w.opt.Log.Info("model swapped", "checkpoint", saved.ID, "lessons", saved.Meta.Lessons, "why", saved.Meta.Why)
}

func (w *Worker) announce(ctx context.Context, checkpoint string) {
	err := w.breakers.redis.Do(func() error { return w.opt.Queue.Publish(ctx, job.ChannelCheckpoint, checkpoint) })
	if err != nil && ctx.Err() == nil {
		w.opt.Log.Warn("a checkpoint could not be announced; workers find it at their next look", "checkpoint", checkpoint, "error", err)
	}
}

// trainingCPU is the CPU time of this process minus the time that serving used. Where
// the system does not report CPU time, training is charged by the clock.
func (w *Worker) trainingCPU() time.Duration {
	if used, ok := governor.CPUTime(); ok {
		return used - time.Duration(w.batcher.spent.Load())
	}
	return time.Since(w.started)
}
