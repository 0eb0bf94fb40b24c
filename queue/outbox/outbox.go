// Package outbox lends the events of jobs to those who deliver them to webhooks.
//
// The scripts of package queue write each event of a job with a webhook to the job's
// outbox, a list in Redis, in the step that changes the job. The events of one job go out
// one after the other. A receiver that is slow or gone holds up its own job's events and
// nothing else.
package outbox

import (
	"context"
	_ "embed" // the scripts
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/nexus-continuum/nexus/internal/redisfault"
	"github.com/nexus-continuum/nexus/internal/redisreply"
	"github.com/nexus-continuum/nexus/job"
)

// Limits that the scripts of the queue apply when they write.
const (
	MaxBoxes     = 10_000                 // outboxes of a shard
	MaxEvents    = 32                     // that wait in one outbox
	ProgressRest = 500 * time.Millisecond // between two progress events of a job
)

// resultEvent is the type of a job's last event. Its data is the job object.
const resultEvent = "result"

var (
	//go:embed lend.lua
	lendLua string
	//go:embed record.lua
	recordLua string

	lendScript   = redis.NewScript(lendLua)
	recordScript = redis.NewScript(recordLua)
)

// Queue is what an Outbox needs of the queue that writes the events; *queue.Queue
// implements it.
type Queue interface {
	// Shards lists the shards of all lanes. more is closed when there are more.
	Shards() (shards []job.Lane, more <-chan struct{})
	// Recorded returns a job from its record; ok is false if it has none.
	Recorded(ctx context.Context, id string) (j job.Job, ok bool, err error)
	// Listen calls onMessage for each message on a channel of Redis until off is called.
	Listen(ctx context.Context, channel string, onMessage func(msg string, renewed bool)) (off func())
}

// Options configure an Outbox. Redis and Queue are required.
type Options struct {
	Redis  redis.UniversalClient
	Queue  Queue
	Prefix string // of every key; "nexus:"
	// Timeout is how long one command to Redis may take; default 900 ms.
	Timeout time.Duration
	Log     *slog.Logger
}

// Outbox lends the events of all jobs. It is safe for concurrent use.
type Outbox struct{ opt Options }

// New makes an Outbox. It sends nothing to Redis before the first use.
func New(opt Options) *Outbox {
	if opt.Prefix == "" {
		opt.Prefix = "nexus:"
	}
	if opt.Timeout == 0 {
		opt.Timeout = 900 * time.Millisecond
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	return &Outbox{opt: opt}
}

// Delivery is an event on its way to the webhook of a job. The process that borrowed it
// must report the result with Delivered, Postpone or Drop. Otherwise the event is lent
// again, so it may arrive twice.
type Delivery struct {
	JobID    string
	URL      string
	Failures int // so far, of this event
	At       time.Time
	EventID  string
	Type     string          // of the event
	Data     json.RawMessage // with the job's id; of a result event, the job object as it is now

	shard job.Lane
	entry string
}

// Lend lends up to most due events, each for the duration lend. next is how long until
// another event is due, as far as is known now. Events whose job record has expired are
// dropped. Errors: CodeUnavailable.
func (o *Outbox) Lend(ctx context.Context, most int, lend time.Duration) (due []Delivery, next time.Duration, err error) {
	next = -1
	shards, _ := o.opt.Queue.Shards()
	for _, shard := range shards {
		if len(due) == most {
			return due, 0, nil
		}
		found, rest, err := o.lendShard(ctx, shard, most-len(due), lend)
		if err != nil {
			return due, 0, err
		}
		due = append(due, found...)
		if rest >= 0 && (next < 0 || rest < next) {
			next = rest
		}
	}
	if next < 0 {
		next = time.Hour
	}
	return due, next, nil
}

func (o *Outbox) lendShard(ctx context.Context, shard job.Lane, most int, lend time.Duration) ([]Delivery, time.Duration, error) {
	rctx, cancel := context.WithTimeout(ctx, o.opt.Timeout)
	got, err := lendScript.Run(rctx, o.opt.Redis, []string{o.key(shard, "outbox")}, o.key(shard, ""), most, lend.Milliseconds()).Slice()
	cancel()
	if err != nil {
		return nil, 0, redisfault.Unavailable("lend events for webhooks", err)
	}
	if len(got) < 2 || len(got)%4 != 2 {
		return nil, 0, fmt.Errorf("lend events for webhooks: a reply of %d parts", len(got))
	}
	rest, _ := got[0].(int64)
	if lost, _ := got[1].(int64); lost > 0 {
		o.opt.Log.Warn("events for webhooks were dropped: their jobs are no longer kept", "lane", shard, "events", lost)
	}
	var out []Delivery
	for parts := redisreply.Texts(got[2:]); len(parts) >= 4; parts = parts[4:] {
		d := Delivery{JobID: parts[0], URL: parts[2], shard: shard, entry: parts[1]}
		d.Failures, _ = strconv.Atoi(parts[3])
		err := o.read(ctx, &d)
		if errors.Is(err, errNoRecord) {
			if n, err := o.Drop(ctx, d); err == nil {
				o.opt.Log.Warn("events for a webhook were dropped: their job is no longer kept", "job", d.JobID, "events", n)
			}
			continue
		}
		if err != nil {
			// It is lent again. If it can never be read, it goes when its record
			// expires.
			o.opt.Log.Error("an event for a webhook cannot be read", "job", d.JobID, "error", err)
			continue
		}
		out = append(out, d)
	}
	return out, time.Duration(rest) * time.Millisecond, nil
}

// errNoRecord means that the retention of a job is over.
var errNoRecord = errors.New("no record")

// read decodes an entry: event id, type and data.
func (o *Outbox) read(ctx context.Context, d *Delivery) error {
	parts := strings.SplitN(d.entry, " ", 3)
	if len(parts) != 3 {
		return fmt.Errorf("an entry of %d parts", len(parts))
	}
	d.EventID, d.Type = parts[0], parts[1]
	ms, _, _ := strings.Cut(d.EventID, "-")
	at, err := strconv.ParseInt(ms, 10, 64)
	if err != nil {
		return fmt.Errorf("event id: %w", err)
	}
	d.At = time.UnixMilli(at)
	if d.Type == resultEvent {
		j, ok, err := o.opt.Queue.Recorded(ctx, d.JobID)
		if err != nil {
			return err
		}
		if !ok {
			return errNoRecord
		}
		d.Data, err = json.Marshal(j)
		return err
	}
	data := map[string]any{}
	if err := json.Unmarshal([]byte(parts[2]), &data); err != nil {
		return fmt.Errorf("event data: %w", err)
	}
	data["id"] = d.JobID
	d.Data, err = json.Marshal(data)
	return err
}

// Delivered ends a delivery that its receiver has accepted.
func (o *Outbox) Delivered(ctx context.Context, d Delivery) error {
	_, err := o.record(ctx, d, Accepted, 0, 0)
	return err
}

// Postpone schedules the delivery again after a delay. failures is the next value of
// Failures.
func (o *Outbox) Postpone(ctx context.Context, d Delivery, failures int, after time.Duration) error {
	_, err := o.record(ctx, d, Retried, failures, after)
	return err
}

// Drop discards the events that wait for the job's receiver and returns how many there
// were.
func (o *Outbox) Drop(ctx context.Context, d Delivery) (int, error) {
	return o.record(ctx, d, Dropped, 0, 0)
}

func (o *Outbox) record(ctx context.Context, d Delivery, outcome string, failures int, after time.Duration) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, o.opt.Timeout)
	defer cancel()
	n, err := recordScript.Run(ctx, o.opt.Redis, []string{o.key(d.shard, "outbox")},
		o.key(d.shard, ""), d.JobID, d.entry, outcome, failures, after.Milliseconds(), ProgressRest.Milliseconds()).Int()
	if err != nil {
		return 0, redisfault.Unavailable("write the outcome of a delivery", err)
	}
	return n, nil
}

// Outcomes of deliveries, as counted by Counts.
const (
	Accepted = "delivered"
	Retried  = "retried"
	Dropped  = "dropped" // the receiver did not take it, or the outboxes were full
)

// Counts returns the number of events by outcome, for the whole cluster and for as long
// as Redis keeps its data. Errors: CodeUnavailable.
func (o *Outbox) Counts(ctx context.Context) (map[string]int64, error) {
	sums := map[string]int64{Accepted: 0, Retried: 0, Dropped: 0}
	shards, _ := o.opt.Queue.Shards()
	for _, shard := range shards {
		rctx, cancel := context.WithTimeout(ctx, o.opt.Timeout)
		got, err := o.opt.Redis.HGetAll(rctx, o.key(shard, "posted")).Result()
		cancel()
		if err != nil {
			return nil, redisfault.Unavailable("count events for webhooks", err)
		}
		for outcome := range sums {
			n, _ := strconv.ParseInt(got[outcome], 10, 64) // 0 before the first
			sums[outcome] += n
		}
	}
	return sums, nil
}

// Watch calls notify each time an event is written, until ctx ends. Calls may be missed,
// so the caller must also poll. notify must not block.
func (o *Outbox) Watch(ctx context.Context, notify func()) {
	offs := map[job.Lane]func(){}
	defer func() {
		for _, off := range offs {
			off()
		}
	}()
	for ctx.Err() == nil {
		shards, more := o.opt.Queue.Shards()
		for _, shard := range shards {
			if offs[shard] == nil {
				offs[shard] = o.opt.Queue.Listen(ctx, o.key(shard, "outbox"), func(string, bool) { notify() })
			}
		}
		notify()
		select {
		case <-more:
		case <-ctx.Done():
		}
	}
}

// key is a key of a shard. "outbox" is the sorted set of the due outboxes, and also the
// channel on which new events are announced.
func (o *Outbox) key(shard job.Lane, rest string) string {
	return o.opt.Prefix + "{" + string(shard) + "}:" + rest
}
