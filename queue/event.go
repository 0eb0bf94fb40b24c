package queue

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/nexus-continuum/nexus/internal/streamid"
	"github.com/nexus-continuum/nexus/job"
)

// Event is one event of a job.
type Event struct {
	ID   string // resumes after it
	Type string // EventState, EventProgress or EventResult
	// Data depends on Type. A state event has {state, attempts, waiting_for}, a
	// progress event a job.Progress, and a result event the whole job object.
	Data json.RawMessage
}

// Types of events. The result event is the last one.
const (
	EventState    = "state"
	EventProgress = "progress"
	EventResult   = "result"
)

// followPoll is how often a follower polls. It must poll, because messages are lost
// while the connection is down.
const followPoll = 2 * time.Second

// Follow sends the events of a job, from its beginning or after lastEventID. It closes
// the channel after the result, or when ctx ends. For the time before the first
// follower, it sends only the states and the latest progress. The history is bounded:
// older progress of a long job may be missing, but never the result. Errors:
// CodeNotFound, CodeInvalid (lastEventID), CodeUnavailable.
func (q *Queue) Follow(ctx context.Context, id, lastEventID string) (<-chan Event, error) {
	if lastEventID != "" && !streamid.Valid(lastEventID) {
		return nil, job.Errorf(job.CodeInvalid, "Last-Event-ID %q is not the id of an event", lastEventID).On("Last-Event-ID")
	}
	j, lane, err := q.readRecord(ctx, id)
	if errors.Is(err, errNoRecord) {
		j, err = q.Job(ctx, id)
	}
	if err != nil {
		return nil, err
	}
	out := make(chan Event)
	f := &follower{q: q, id: id, keys: q.keys(lane), lastID: lastEventID, out: out}
	if lane != "" && !j.State.Final() {
		rctx, cancel := q.withTimeout(ctx)
		defer cancel()
		if err := q.scripts.follow.Run(rctx, q.redis, []string{f.keys.record(id), f.keys.events(id)}, f.keys.own, id).Err(); err != nil {
			return nil, unavailable("follow job "+id, err)
		}
	}
	if lane == "" { // delivered while its caller waited: there is no stream
		f.lastID = "0-0"
		if !q.spawn(func(life context.Context) { defer close(out); f.sendResult(ctx, life, j, "1-0") }) {
			close(out)
		}
		return out, nil
	}
	if !q.spawn(func(life context.Context) { defer close(out); f.run(ctx, life) }) {
		close(out)
	}
	return out, nil
}

type follower struct {
	q      *Queue
	id     string
	keys   laneKeys
	lastID string
	out    chan<- Event
}

func (f *follower) run(ctx, life context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(life, cancel)()
	news := newNotifier()
	off := f.q.Listen(ctx, f.keys.event(f.id), func(string, bool) { news.notify() })
	defer off()
	poll := time.NewTicker(followPoll)
	defer poll.Stop()
	for {
		if f.catchUp(ctx, life) {
			return
		}
		select {
		case <-news:
		case <-poll.C:
		case <-ctx.Done():
			return
		}
	}
}

// catchUp sends new events. It returns done after the result.
func (f *follower) catchUp(ctx, life context.Context) (done bool) {
	from := "-"
	if f.lastID != "" {
		from = "(" + f.lastID
	}
	rctx, cancel := f.q.withTimeout(ctx)
	entries, err := f.q.redis.XRangeN(rctx, f.keys.events(f.id), from, "+", 500).Result()
	cancel()
	if _, refused := errors.AsType[redis.Error](err); refused && !errors.Is(err, redis.Nil) {
		f.q.opt.Log.Error("the events of a job cannot be read; its stream ends", "job", f.id, "error", err)
		return true
	}
	if err != nil {
		return ctx.Err() != nil // Redis is away: the next poll looks again
	}
	for _, e := range entries {
		kind, _ := e.Values["t"].(string)
		data, _ := e.Values["d"].(string)
		if kind == EventResult {
			j, _, err := f.q.readRecord(ctx, f.id)
			if err != nil {
				return ctx.Err() != nil || errors.Is(err, errNoRecord)
			}
			f.sendResult(ctx, life, j, e.ID)
			return true
		}
		if !f.send(ctx, life, Event{ID: e.ID, Type: kind, Data: json.RawMessage(data)}) {
			return true
		}
	}
	if len(entries) > 0 {
		return false
	}
	return f.endedWithoutEvent(ctx, life)
}

// endedWithoutEvent ends a follower of an ended job. The follower either has the result
// already, or the stream is gone and it receives the end from the record.
func (f *follower) endedWithoutEvent(ctx, life context.Context) bool {
	j, _, err := f.q.readRecord(ctx, f.id)
	if errors.Is(err, errNoRecord) {
		return true
	}
	if err != nil || !j.State.Final() {
		return ctx.Err() != nil
	}
	rctx, cancel := f.q.withTimeout(ctx)
	defer cancel()
	last, err := f.q.redis.XRevRangeN(rctx, f.keys.events(f.id), "+", "-", 1).Result()
	switch {
	case err != nil && !errors.Is(err, redis.Nil):
		return ctx.Err() != nil
	case len(last) == 0:
		f.sendEnd(ctx, life, j)
		return true
	}
	return last[0].ID == f.lastID || !streamid.Newer(last[0].ID, f.lastID)
}

// Sequence numbers in the ids of a job's last two events, as in record.lua.
const (
	lastState  = "-99998"
	lastResult = "-99999"
)

// sendEnd sends the last state and the result if the follower does not have them yet.
func (f *follower) sendEnd(ctx, life context.Context, j job.Job) {
	at := millis(j.FinishedAt.Time)
	if streamid.Newer(at+lastState, f.lastID) {
		state, err := json.Marshal(map[string]any{"state": j.State, "attempts": j.Attempts, "waiting_for": nil})
		if err != nil || !f.send(ctx, life, Event{ID: at + lastState, Type: EventState, Data: state}) {
			return
		}
	}
	if streamid.Newer(at+lastResult, f.lastID) {
		f.sendResult(ctx, life, j, at+lastResult)
	}
}

func (f *follower) sendResult(ctx, life context.Context, j job.Job, id string) {
	b, err := json.Marshal(j)
	if err != nil {
		f.q.opt.Log.Error("a job cannot be encoded", "job", j.ID, "error", err)
		return
	}
	f.send(ctx, life, Event{ID: id, Type: EventResult, Data: b})
}

func (f *follower) send(ctx, life context.Context, e Event) bool {
	select {
	case f.out <- e:
		f.lastID = e.ID
		return true
	case <-ctx.Done():
	case <-life.Done():
	}
	return false
}
