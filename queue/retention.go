package queue

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/queue/outbox"
)

// Bounds are the limits on what is kept in Redis.
type Bounds struct {
	Results      time.Duration // records of jobs that succeeded or were canceled
	Failed       time.Duration // records of jobs that failed
	ResultBytes  int64         // records of all ended jobs together; 0 is no bound
	EventHistory int           // events of one job
	WebhookBox   int           // events of one job that wait for its webhook
	WebhookBoxes int           // jobs of a lane whose webhooks are behind
}

// Bounds returns the limits that this process applies.
func (q *Queue) Bounds() Bounds {
	return Bounds{
		Results: q.opt.ResultRetention, Failed: q.opt.FailedRetention, ResultBytes: q.opt.ResultBytes,
		EventHistory: q.opt.EventHistory, WebhookBox: outbox.MaxEvents, WebhookBoxes: outbox.MaxBoxes,
	}
}

// EndedBytes returns the approximate size in Redis of the records of ended jobs, in
// bytes. Errors: CodeUnavailable.
func (q *Queue) EndedBytes(ctx context.Context) (int64, error) {
	all, err := q.endedBytes(ctx)
	var sum int64
	for _, n := range all {
		sum += n
	}
	return sum, err
}

// endedBytes returns the size for each shard of each lane, in bytes.
func (q *Queue) endedBytes(ctx context.Context) (map[job.Lane]int64, error) {
	ctx, cancel := q.withTimeout(ctx)
	defer cancel()
	shards := q.shards.of(job.Lanes()...)
	pipe := q.redis.Pipeline()
	cmds := make([]*redis.StringCmd, len(shards))
	for i, l := range shards {
		cmds[i] = pipe.Get(ctx, q.keys(l).endedBytes())
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, unavailable("read what ended jobs take", err)
	}
	all := make(map[job.Lane]int64, len(shards))
	for i, l := range shards {
		all[l], _ = cmds[i].Int64() // redis.Nil: nothing has ended there
	}
	return all, nil
}

// excess returns how many bytes of ended jobs a shard must drop: its share of the
// amount by which all shards together exceed the limit.
func (q *Queue) excess(ctx context.Context, shard job.Lane) (int64, error) {
	if q.opt.ResultBytes <= 0 {
		return 0, nil
	}
	all, err := q.endedBytes(ctx)
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, n := range all {
		sum += n
	}
	if sum <= q.opt.ResultBytes || all[shard] <= 0 {
		return 0, nil
	}
	return int64(math.Ceil(float64(sum-q.opt.ResultBytes) * float64(all[shard]) / float64(sum))), nil
}

// What the limits dropped, as counted by Dropped.
const (
	DroppedJobs          = "jobs"           // records of ended jobs whose time was over, or that were too many
	DroppedWebhookEvents = "webhook_events" // see outbox.Counts
)

// Dropped returns what the limits have dropped, for the whole cluster and for as long
// as Redis keeps its data. Errors: CodeUnavailable.
func (q *Queue) Dropped(ctx context.Context) (map[string]int64, error) {
	sums := map[string]int64{DroppedJobs: 0, DroppedWebhookEvents: 0}
	if err := q.sum(ctx, laneKeys.dropped, sums); err != nil {
		return nil, err
	}
	deliveries := map[string]int64{}
	if err := q.sum(ctx, laneKeys.deliveryCounts, deliveries); err != nil {
		return nil, err
	}
	sums[DroppedWebhookEvents] = deliveries[outbox.Dropped]
	return sums, nil
}
