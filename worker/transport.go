package worker

import (
	"context"
	"time"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/queue"
)

// Queue is what a worker needs of the jobs' transport; On makes one of a *queue.Queue.
type Queue interface {
	// Serve makes a server that hands the jobs of a lane to h, as many at once as
	// concurrency says.
	Serve(lane job.Lane, concurrency int, h queue.Handler) LaneServer
	Lease(name string, ttl time.Duration) Lease
	Job(ctx context.Context, id string) (job.Job, error)
	Publish(ctx context.Context, channel, msg string) error
	Subscribe(ctx context.Context, channel string) <-chan string
	Coming(ctx context.Context, before string) ([]string, error)
	EndRest(ctx context.Context, lane job.Lane, why string) error
}

// LaneServer takes the jobs of one lane; *queue.Server is one.
type LaneServer interface {
	Start(ctx context.Context) error
	Stop(ctx context.Context) error
	// Hold takes no further jobs while why is not empty, and says why.
	Hold(ctx context.Context, why string) error
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

// Serve implements Queue.
func (o on) Serve(lane job.Lane, concurrency int, h queue.Handler) LaneServer {
	return o.Queue.Serve(lane, concurrency, h)
}

// Lease implements Queue.
func (o on) Lease(name string, ttl time.Duration) Lease { return o.Queue.Lease(name, ttl) }
