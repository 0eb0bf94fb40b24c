// Package scheduler is the role that does the work for which no request waits: it
// recovers jobs that were lost between processes, restores lost jobs of datasets,
// deletes old checkpoints, and applies the pause to the train lane. Any number of
// schedulers may run. Only the one that holds the leader's lease acts, so that
// everything happens once.
package scheduler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/nexus-continuum/nexus/internal/lifecycle"
	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/queue"
	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/telemetry/interaction"
)

// Queue is what a scheduler needs from the transport of jobs. On makes one from a
// *queue.Queue.
type Queue interface {
	Lease(name string, ttl time.Duration) Lease
	Submit(ctx context.Context, spec job.Spec) (job.Job, error)
	Job(ctx context.Context, id string) (job.Job, error)
	Lanes(ctx context.Context) ([]queue.LaneState, error)
	PauseLane(ctx context.Context, lane job.Lane, paused bool, reason string) error
	Reconcile(ctx context.Context, token int64) error
	Repaired(ctx context.Context, what string, n int)
	Publish(ctx context.Context, channel, msg string) error
	Subscribe(ctx context.Context, channel string) <-chan string
}

// Interactions is the log of what was asked and answered; *interaction.Log implements
// it.
type Interactions interface {
	CleanUp(ctx context.Context) (int64, error)
	Usage(ctx context.Context) (u interaction.Usage, known bool, err error)
	RestoreUsage(ctx context.Context, u interaction.Usage) error
}

// Lease is a right that only one process of the cluster has at a time; *lease.Lease
// implements it.
type Lease interface {
	// Acquire takes the lease if it is free. If held is true, token is its fencing
	// token.
	Acquire(ctx context.Context) (token int64, held bool, err error)
	Lost() <-chan struct{}
	Release(ctx context.Context) error
}

// On makes a Queue from q.
func On(q *queue.Queue) Queue { return on{q} }

type on struct{ *queue.Queue }

// Lease implements Queue.
func (o on) Lease(name string, ttl time.Duration) Lease { return o.Queue.Lease(name, ttl) }

// Datasets is the log of what was taught; *storage.Datasets implements it.
type Datasets interface {
	IDs(ctx context.Context) ([]string, error)
	Stat(ctx context.Context, id string) (storage.Dataset, error)
	Delete(ctx context.Context, id string) error
	Compactor
}

// Compactor combines many small datasets into one object.
type Compactor interface {
	Compact(ctx context.Context, which storage.Compaction) (storage.Compacted, error)
}

// Checkpoints holds what was learned; *storage.Checkpoints implements it.
type Checkpoints interface {
	Head(ctx context.Context) (storage.Head, error)
	Lineage(ctx context.Context, id string) (storage.Lineage, error)
	List(ctx context.Context) ([]storage.Manifest, error)
	Registry(ctx context.Context) (storage.Registry, error)
	Scrub(ctx context.Context) (storage.Scrubbed, error)
	Pruner
}

// Pruner deletes checkpoints that the retention does not keep.
type Pruner interface {
	Prune(ctx context.Context, keep storage.Retention) (storage.Pruned, error)
}

// Control is the record of the cluster-wide settings that operators made;
// *storage.ControlRecord implements it.
type Control interface {
	Read(ctx context.Context) (storage.Control, error)
}

// Options of a Scheduler. Those without a default are required.
type Options struct {
	Queue        Queue
	Interactions Interactions
	// Redis is where asynq keeps the periodic tasks, and where their runs are claimed.
	Redis       redis.UniversalClient
	Datasets    Datasets
	Checkpoints Checkpoints
	Control     Control
	// Usage keeps a copy of the counts in Redis; nil means no copy.
	Usage Usage
	// SweepEvery is how often the scheduler looks for datasets without a job; default
	// 1 min.
	SweepEvery time.Duration
	// Schedules of the periodic tasks. A task with an empty schedule does not run.
	Schedules Schedules
	// MaxCheckpoints is how many of the newest checkpoints are kept; default 10.
	// KeepDaily and KeepWeekly are the numbers of days and weeks for which one more
	// checkpoint is kept.
	MaxCheckpoints, KeepDaily, KeepWeekly int
	// Pruner deletes checkpoints instead of Checkpoints, in the bucket that folders
	// follow; nil means Checkpoints.
	Pruner Pruner
	// Compactor combines datasets instead of Datasets; nil means Datasets.
	Compactor Compactor
	// Backup writes a backup and returns where it is; nil means no backups.
	Backup func(ctx context.Context) (done string, err error)
	// Young is the age below which a dataset without a job is left alone, because its
	// job is probably being made; default 3 s.
	Young time.Duration
	// LeaseTTL is how long after a leader's death another scheduler leads; default 5 s.
	LeaseTTL time.Duration
	Now      func() time.Time
	Log      *slog.Logger
}

func (o *Options) fill() {
	for _, d := range []struct {
		value    *time.Duration
		standard time.Duration
	}{
		{&o.SweepEvery, time.Minute},
		{&o.Young, 3 * time.Second},
		{&o.LeaseTTL, 5 * time.Second},
	} {
		if *d.value == 0 {
			*d.value = d.standard
		}
	}
	if o.MaxCheckpoints == 0 {
		o.MaxCheckpoints = 10
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

// Scheduler competes for the leader's lease and looks after the cluster while it leads.
type Scheduler struct {
	opt     Options
	leading atomic.Bool

	// again holds jobs that this leader made for datasets whose first job ended without
	// adding them to the lineage.
	again map[string]string
	// young says that the last sweep skipped a dataset because of its age.
	young bool
	// applied is whether the lane was last seen in the pause state of the control
	// record; nil if it was not seen yet.
	applied   *bool
	appliedAt time.Time
	// kept is the usage that was copied last.
	kept []byte

	life lifecycle.Life
}

// New makes a scheduler. Nothing runs before Start. It returns an error if an option is
// missing or invalid.
func New(opt Options) (*Scheduler, error) {
	if opt.Queue == nil || opt.Interactions == nil || opt.Redis == nil || opt.Datasets == nil || opt.Checkpoints == nil || opt.Control == nil {
		return nil, errors.New("scheduler: Queue, Interactions, Redis, Datasets, Checkpoints and Control are needed")
	}
	if opt.MaxCheckpoints < 0 || opt.KeepDaily < 0 || opt.KeepWeekly < 0 || opt.SweepEvery < 0 {
		return nil, errors.New("scheduler: periods and the numbers of checkpoints must not be negative")
	}
	if err := opt.Schedules.check(); err != nil {
		return nil, fmt.Errorf("scheduler: %w", err)
	}
	if opt.Pruner == nil {
		opt.Pruner = opt.Checkpoints
	}
	if opt.Compactor == nil {
		opt.Compactor = opt.Datasets
	}
	opt.fill()
	return &Scheduler{opt: opt, again: map[string]string{}}, nil
}

// Start begins to compete for the leader's lease.
func (s *Scheduler) Start(ctx context.Context) error {
	return s.life.Start(ctx, func(context.Context) error {
		s.life.Go(s.campaign)
		return nil
	})
}

// Stop ends the current task and releases the lease for the next leader.
func (s *Scheduler) Stop(ctx context.Context) error {
	if err := s.life.Stop(ctx); err != nil {
		return fmt.Errorf("stop the scheduler: %w", err)
	}
	return nil
}

// Leading reports whether this scheduler leads.
func (s *Scheduler) Leading() bool { return s.leading.Load() }
