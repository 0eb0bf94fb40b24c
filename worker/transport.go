package worker

import (
	"context"
	"time"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/queue"
	"github.com/nexus-continuum/nexus/telemetry/interaction"
)

// Queue is what a worker needs from the transport of jobs. On makes one from a
// *queue.Queue.
type Queue interface {
	// Serve makes a server that hands the jobs of a lane to h, at most concurrency at
	// once.
	Serve(lane job.Lane, concurrency int, h queue.Handler) LaneServer
	Lease(name string, ttl time.Duration) Lease
	Job(ctx context.Context, id string) (job.Job, error)
	Publish(ctx context.Context, channel, msg string) error
	Subscribe(ctx context.Context, channel string) <-chan string
	UnfinishedDatasets(ctx context.Context, before string) ([]string, error)
	EndRest(ctx context.Context, lane job.Lane, why string) error
}

// Interactions is the log of what was asked and answered; *interaction.Log implements
// it.
type Interactions interface {
	// Attach writes an interaction just before the answer of its task is sent.
	Attach(t interaction.Task, it job.Interaction)
}

// LaneServer takes the jobs of one lane; *queue.Server implements it.
type LaneServer interface {
	Start(ctx context.Context) error
	Stop(ctx context.Context) error
	// Pause stops taking jobs while why is not empty. why is the reason that is
	// reported.
	Pause(ctx context.Context, why string) error
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

// Serve implements Queue.
func (o on) Serve(lane job.Lane, concurrency int, h queue.Handler) LaneServer {
	return o.Queue.Serve(lane, concurrency, h)
}

// Lease implements Queue.
func (o on) Lease(name string, ttl time.Duration) Lease { return o.Queue.Lease(name, ttl) }
