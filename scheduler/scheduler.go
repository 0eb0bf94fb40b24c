// Package scheduler is the role that looks after what nobody else waits for:
// jobs that fell between processes, datasets whose jobs were lost, old
// checkpoints, the pause of the train lane.
// Any number of schedulers may run; the one that holds the leader's lease acts,
// so that everything happens once.
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
)

// Queue is what a scheduler needs of the jobs' transport; On makes one of a
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
	Tick(ctx context.Context, name string, due func(last time.Time) bool) (ok bool, err error)
	CleanUp(ctx context.Context) (int64, error)
	Usage(ctx context.Context) (u queue.Usage, known bool, err error)
	RestoreUsage(ctx context.Context, u queue.Usage) error
}

// Lease is a right that one process of the cluster has at a time; *queue.Lease is one.
type Lease interface {
	// Acquire returns the fencing token of the lease if it is held now.
	Acquire(ctx context.Context) (token int64, held bool, err error)
	Lost() <-chan struct{}
	Release(ctx context.Context) error
}

// On makes a Queue of q.
func On(q *queue.Queue) Queue { return on{q} }

type on struct{ *queue.Queue }

// Lease implements Queue.
func (o on) Lease(name string, ttl time.Duration) Lease { return o.Queue.Lease(name, ttl) }

// Datasets is the log of what was taught; *storage.Datasets is one.
type Datasets interface {
	IDs(ctx context.Context) ([]string, error)
	Stat(ctx context.Context, id string) (storage.Dataset, error)
	Delete(ctx context.Context, id string) error
	Compactor
}

// Compactor puts many small datasets into one object.
type Compactor interface {
	Compact(ctx context.Context, which storage.Compaction) (storage.Compacted, error)
}

// Checkpoints is what was learned; *storage.Checkpoints is one.
type Checkpoints interface {
	Head(ctx context.Context) (storage.Head, error)
	Lineage(ctx context.Context, id string) (storage.Lineage, error)
	List(ctx context.Context) ([]storage.Manifest, error)
	Registry(ctx context.Context) (storage.Registry, error)
	Scrub(ctx context.Context) (storage.Scrubbed, error)
	Pruner
}

// Pruner deletes what retention does not want.
type Pruner interface {
	Prune(ctx context.Context, keep storage.Retention) (storage.Pruned, error)
}

// Control is the record of what operators told the cluster;
// *storage.ControlRecord is one.
type Control interface {
	Read(ctx context.Context) (storage.Control, error)
}

// Options of a Scheduler. Those without a default are required.
type Options struct {
	Queue Queue
	// Redis is where asynq keeps the periodic tasks.
	Redis       redis.UniversalClient
	Datasets    Datasets
	Checkpoints Checkpoints
	Control     Control
	// Usage keeps a copy of what Redis counts; nil is none.
	Usage Usage
	// SweepEvery is how often datasets without a job are looked for; 1 min.
	SweepEvery time.Duration
	// Schedules of the periodic tasks; those left empty do not run.
	Schedules Schedules
	// MaxCheckpoints is how many of the newest are kept; 10. KeepDaily and
	// KeepWeekly are for how many days and weeks one is kept besides.
	MaxCheckpoints, KeepDaily, KeepWeekly int
	// Pruner is where they are deleted, if that is not Checkpoints: the bucket
	// that folders follow.
	Pruner Pruner
	// Compactor is where datasets are put together, if that is not Datasets.
	Compactor Compactor
	// Backup writes a backup and says where; nil is none.
	Backup func(ctx context.Context) (done string, err error)
	// Young is the age below which a dataset without a job is left alone: its
	// job is most likely just being made; 3 s.
	Young time.Duration
	// LeaseTTL is how long after a leader's death another leads; 5 s.
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

// Scheduler stands for leader and, while it leads, looks after the cluster.
type Scheduler struct {
	opt     Options
	leading atomic.Bool

	// again are jobs that this leader made for datasets whose first job ended
	// without them being in the lineage.
	again map[string]string
	// young tells that the last sweep left a dataset alone for its age.
	young bool
	// applied is whether the lane was last seen paused as the control record
	// says, nil if it was not seen yet.
	applied   *bool
	appliedAt time.Time
	// kept is the usage that was copied last.
	kept []byte

	life lifecycle.Life
}

// New makes a scheduler; nothing runs before Start.
func New(opt Options) (*Scheduler, error) {
	if opt.Queue == nil || opt.Redis == nil || opt.Datasets == nil || opt.Checkpoints == nil || opt.Control == nil {
		return nil, errors.New("scheduler: Queue, Redis, Datasets, Checkpoints and Control are needed")
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

// Start begins to stand for leader.
func (s *Scheduler) Start(ctx context.Context) error {
	return s.life.Start(ctx, func(context.Context) error {
		s.life.Go(s.campaign)
		return nil
	})
}

// Stop ends the task in hand and gives the lease to the next.
func (s *Scheduler) Stop(ctx context.Context) error {
	if err := s.life.Stop(ctx); err != nil {
		return fmt.Errorf("stop the scheduler: %w", err)
	}
	return nil
}

// Leading reports whether this scheduler is the one that acts.
func (s *Scheduler) Leading() bool { return s.leading.Load() }
