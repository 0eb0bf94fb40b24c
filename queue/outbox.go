package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nexus-continuum/nexus/internal/redisreply"
	"github.com/nexus-continuum/nexus/job"
)

// A job with a webhook has an outbox: a list of the events that its receiver
// has not taken yet, written in the step that writes the event itself. Events
// of one job go out one after the other; a receiver that is slow or gone holds
// up its own job's events and nothing else.

// Delivery is an event on its way to the webhook of a job. The process that fetched it
// must report the result with Delivered, Postpone or Drop. Otherwise the event is lent
// again, so it may arrive twice.
type Delivery struct {
	JobID    string
	URL      string
	Failures int // so far, of this event
	At       time.Time
	// Event also has the job's id in its data. The data of a result event is the job
	// object as it is now.
	Event Event

	lane  job.Lane
	entry string
}

// LendDeliveries lends up to most due events, each for the duration lend. next is how long
// until another event is due, as far as is known now. Events whose job record has faded
// are dropped. Errors: CodeUnavailable.
func (q *Queue) LendDeliveries(ctx context.Context, most int, lend time.Duration) (due []Delivery, next time.Duration, err error) {
	next = -1
	for _, lane := range q.shards.of(job.Lanes()...) {
		if len(due) == most {
			return due, 0, nil
		}
		found, rest, err := q.fetch(ctx, lane, most-len(due), lend)
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

func (q *Queue) fetch(ctx context.Context, lane job.Lane, most int, lend time.Duration) ([]Delivery, time.Duration, error) {
	rctx, cancel := q.withTimeout(ctx)
	k := q.keys(lane)
	got, err := q.scripts.fetch.Run(rctx, q.redis, []string{k.outbox()}, k.own, most, lend.Milliseconds()).Slice()
	cancel()
	if err != nil {
		return nil, 0, unavailable("fetch events for webhooks", err)
	}
	if len(got) < 2 || len(got)%4 != 2 {
		return nil, 0, fmt.Errorf("fetch events for webhooks: a reply of %d parts", len(got))
	}
	rest, _ := got[0].(int64)
	if lost, _ := got[1].(int64); lost > 0 {
		q.opt.Log.Warn("events for webhooks were dropped: their jobs are no longer kept", "lane", lane, "events", lost)
	}
	var out []Delivery
	for parts := redisreply.Texts(got[2:]); len(parts) >= 4; parts = parts[4:] {
		p := Delivery{JobID: parts[0], URL: parts[2], lane: lane, entry: parts[1]}
		p.Failures, _ = strconv.Atoi(parts[3])
		err := q.readDelivery(ctx, &p)
		if errors.Is(err, errNoRecord) { // its job's time is over
			if n, err := q.Drop(ctx, p); err == nil {
				q.opt.Log.Warn("events for a webhook were dropped: their job is no longer kept", "job", p.JobID, "events", n)
			}
			continue
		}
		if err != nil {
			// It is lent again. If it can never be opened, it goes when its record
			// fades.
			q.opt.Log.Error("an event for a webhook cannot be read", "job", p.JobID, "error", err)
			continue
		}
		out = append(out, p)
	}
	return out, time.Duration(rest) * time.Millisecond, nil
}

// readDelivery reads the entry of an outbox: event id, type and data.
func (q *Queue) readDelivery(ctx context.Context, p *Delivery) error {
	parts := strings.SplitN(p.entry, " ", 3)
	if len(parts) != 3 {
		return fmt.Errorf("an entry of %d parts", len(parts))
	}
	ms, _, _ := strings.Cut(parts[0], "-")
	at, err := strconv.ParseInt(ms, 10, 64)
	if err != nil {
		return fmt.Errorf("event id: %w", err)
	}
	p.At = time.UnixMilli(at)
	p.Event = Event{ID: parts[0], Type: parts[1]}
	if p.Event.Type == EventResult {
		j, _, err := q.readRecord(ctx, p.JobID)
		if err != nil {
			return err
		}
		p.Event.Data, err = json.Marshal(j)
		return err
	}
	data := map[string]any{}
	if err := json.Unmarshal([]byte(parts[2]), &data); err != nil {
		return fmt.Errorf("event data: %w", err)
	}
	data["id"] = p.JobID
	p.Event.Data, err = json.Marshal(data)
	return err
}

// Delivered ends a posting that its receiver has accepted.
func (q *Queue) Delivered(ctx context.Context, p Delivery) error {
	_, err := q.recordDelivery(ctx, p, DeliveryAccepted, 0, 0)
	return err
}

// Postpone schedules the posting again after a delay. failures is the next value of
// Failures.
func (q *Queue) Postpone(ctx context.Context, p Delivery, failures int, after time.Duration) error {
	_, err := q.recordDelivery(ctx, p, DeliveryRetried, failures, after)
	return err
}

// Drop discards the events that wait for the job's receiver and returns how many there
// were.
func (q *Queue) Drop(ctx context.Context, p Delivery) (int, error) {
	return q.recordDelivery(ctx, p, DeliveryDropped, 0, 0)
}

func (q *Queue) recordDelivery(ctx context.Context, p Delivery, what string, failures int, after time.Duration) (int, error) {
	ctx, cancel := q.withTimeout(ctx)
	defer cancel()
	k := q.keys(p.lane)
	n, err := q.scripts.recordDelivery.Run(ctx, q.redis, []string{k.outbox()},
		k.own, p.JobID, p.entry, what, failures, after.Milliseconds()).Int()
	if err != nil {
		return 0, unavailable("write what became of an event", err)
	}
	return n, nil
}

// Outcomes of webhook events, as counted by DeliveryCounts.
const (
	DeliveryAccepted = "delivered"
	DeliveryRetried  = "retried"
	DeliveryDropped  = "dropped" // the receiver did not take it, or the outboxes were full
)

// DeliveryCounts returns the number of webhook events by outcome, for the whole cluster and for
// as long as Redis keeps its data. Errors: CodeUnavailable.
func (q *Queue) DeliveryCounts(ctx context.Context) (map[string]int64, error) {
	sums := map[string]int64{DeliveryAccepted: 0, DeliveryRetried: 0, DeliveryDropped: 0}
	for _, lane := range q.shards.of(job.Lanes()...) {
		rctx, cancel := q.withTimeout(ctx)
		got, err := q.redis.HGetAll(rctx, q.keys(lane).deliveryCounts()).Result()
		cancel()
		if err != nil {
			return nil, unavailable("count events for webhooks", err)
		}
		for outcome := range sums {
			n, _ := strconv.ParseInt(got[outcome], 10, 64) // 0 before the first
			sums[outcome] += n
		}
	}
	return sums, nil
}

// DeliveriesAdded signals each time a webhook event is written, until ctx ends. Signals may
// be missed, so the receiver must also poll.
func (q *Queue) DeliveriesAdded(ctx context.Context) <-chan struct{} {
	news := newNotifier()
	offs := map[job.Lane]func(){}
	listen := func() (more <-chan struct{}) {
		more = q.shards.whenAdded()
		for _, shard := range q.shards.of(job.Lanes()...) {
			if offs[shard] == nil {
				offs[shard] = q.bus.Listen(ctx, q.keys(shard).outbox(), func(string, bool) { news.notify() })
			}
		}
		return more
	}
	end := func() {
		for _, off := range offs {
			off()
		}
	}
	more := listen()
	follow := func(life context.Context) {
		defer end()
		for {
			select {
			case <-more:
				more = listen()
				news.notify()
			case <-ctx.Done():
				return
			case <-life.Done():
				return
			}
		}
	}
	if !q.spawn(follow) {
		end()
	}
	return news
}
