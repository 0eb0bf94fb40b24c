package queue

import (
	"context"
	"strconv"
	"time"
)

// Bounds are the limits of what is kept in Redis.
type Bounds struct {
	Results      time.Duration // records of jobs that succeeded or were canceled
	Failed       time.Duration // records of jobs that failed
	Interactions time.Duration // age of the log of interactions
	LogLength    int64         // entries of the log of interactions
	EventHistory int           // events of one job
	WebhookBox   int           // events of one job that wait for its webhook
	WebhookBoxes int           // jobs of a lane whose webhooks are behind
}

// Bounds tells what this process keeps to.
func (q *Queue) Bounds() Bounds {
	return Bounds{
		Results: q.opt.ResultRetention, Failed: q.opt.FailedRetention,
		Interactions: q.opt.LogRetention, LogLength: q.opt.LogLength, EventHistory: q.opt.EventHistory,
		WebhookBox: mostWaiting, WebhookBoxes: mostBoxes,
	}
}

// Bounds of the outboxes, as record.lua has them.
const (
	mostBoxes   = 10_000
	mostWaiting = 32
)

// What bounds dropped, as Dropped counts it.
const (
	DroppedJobs          = "jobs"           // records of ended jobs whose time was over
	DroppedInteractions  = "interactions"   // entries of the log of interactions
	DroppedWebhookEvents = "webhook_events" // see Posted
)

// Dropped counts what the bounds dropped, of the whole cluster and for as long as
// Redis remembers. Errors: CodeUnavailable.
func (q *Queue) Dropped(ctx context.Context) (map[string]int64, error) {
	sums := map[string]int64{DroppedJobs: 0, DroppedInteractions: 0, DroppedWebhookEvents: 0}
	if err := q.sum(ctx, laneKeys.dropped, sums); err != nil {
		return nil, err
	}
	posted, err := q.Posted(ctx)
	if err != nil {
		return nil, err
	}
	sums[DroppedWebhookEvents] = posted[PostDropped]
	rctx, cancel := q.patience(ctx)
	defer cancel()
	entries, err := q.redis.HGetAll(rctx, q.logDropped()).Result()
	if err != nil {
		return nil, unavailable("read counters", err)
	}
	for what, n := range entries {
		v, _ := strconv.ParseInt(n, 10, 64)
		sums[what] += v
	}
	return sums, nil
}
