package queue

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/nexus-continuum/nexus/job"
)

// LaneState is the state of a lane as /api/status reports it.
type LaneState struct {
	Name      job.Lane `json:"name"`
	Pending   int64    `json:"pending"`
	Active    int64    `json:"active"`
	Delayed   int64    `json:"delayed"` // handed back or to be retried, resting
	Paused    bool     `json:"paused"`
	PausedWhy string   `json:"paused_why,omitempty"` // or why its server holds
	// PausedSince is when the lane was paused; zero if that is not known.
	PausedSince time.Time `json:"paused_since,omitzero"`
	// PausedByTool says that the lane was paused with asynq's tools, not by nexus.
	PausedByTool bool    `json:"paused_by_tool,omitempty"`
	Processed    int64   `json:"processed"`
	Failed       int64   `json:"failed"`
	OldestMS     float64 `json:"oldest_ms"` // how long the first in line has waited
	Max          int     `json:"max"`       // pending at which the lane is full
}

// Lanes returns the state of every lane, most urgent first.
func (q *Queue) Lanes(ctx context.Context) ([]LaneState, error) {
	ctx, cancel := q.withTimeout(ctx)
	defer cancel()
	lanes := job.Lanes()
	out := make([]LaneState, len(lanes))
	for i, l := range lanes {
		out[i] = LaneState{Name: l, Max: q.opt.MaxQueue}
		for _, shard := range q.shards.of(l) {
			s, err := q.shardState(ctx, shard)
			if err != nil {
				return nil, err
			}
			out[i].add(s)
		}
	}
	return out, nil
}

// add merges the state of a shard into the state of its lane.
func (s *LaneState) add(o LaneState) {
	s.Pending += o.Pending
	s.Active += o.Active
	s.Delayed += o.Delayed
	s.Processed += o.Processed
	s.Failed += o.Failed
	s.OldestMS = max(s.OldestMS, o.OldestMS)
	s.Paused = s.Paused || o.Paused
	s.PausedByTool = s.PausedByTool || o.PausedByTool
	if s.PausedSince.IsZero() {
		s.PausedSince = o.PausedSince
	}
	if o.PausedWhy != "" {
		s.PausedWhy = o.PausedWhy
	}
}

func (q *Queue) shardState(ctx context.Context, shard job.Lane) (LaneState, error) {
	k := q.keys(shard)
	got, err := q.scripts.laneState.Run(ctx, q.redis, []string{
		k.pending(), k.active(), k.scheduled(), k.retry(),
		k.paused(), k.pauseReason(), k.processed(), k.failed(), k.serverPauseReason(),
	}, k.tasks()).Slice()
	if err != nil {
		return LaneState{}, unavailable("read lane "+string(shard), err)
	}
	return decodeLane(shard, got)
}

func decodeLane(l job.Lane, got []any) (LaneState, error) {
	if len(got) != 8 {
		return LaneState{}, fmt.Errorf("decode lane %s: %d parts instead of 8", l, len(got))
	}
	n := func(i int) int64 {
		switch v := got[i].(type) {
		case int64:
			return v
		case string:
			x, _ := strconv.ParseInt(v, 10, 64)
			return x
		}
		return 0
	}
	why, _ := got[4].(string)
	s := LaneState{
		Name: l, Pending: n(0), Active: n(1), Delayed: n(2), PausedWhy: why,
		Processed: n(5), Failed: n(6),
	}
	if since, _ := got[3].(string); since != "" {
		s.Paused, s.PausedSince, s.PausedByTool = true, unixTime(since), why == ""
		if why == "" {
			s.PausedWhy = pausedByTool(s.PausedSince)
		}
	}
	age, _ := got[7].(string)
	s.OldestMS, _ = strconv.ParseFloat(age, 64)
	return s, nil
}

// pausedByTool is the reason shown for a lane that nexus has not paused: a person
// paused it with asynqmon, asynq's Inspector or its command.
func pausedByTool(since time.Time) string {
	at := ""
	if !since.IsZero() {
		at = " since " + since.UTC().Format(time.RFC3339)
	}
	return "the queue is paused in asynq's tools" + at + "; resume it there, such as in /monitoring"
}

// unixTime parses the seconds that asynq writes; zero if s is not a time.
func unixTime(s string) time.Time {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n <= 1 {
		return time.Time{}
	}
	return time.Unix(n, 0)
}

// PauseLane stops or resumes taking jobs from a lane, in every process. Running jobs
// continue. reason is shown as waiting_for of the waiting jobs. Errors:
// CodeUnavailable.
func (q *Queue) PauseLane(ctx context.Context, lane job.Lane, paused bool, reason string) error {
	ctx, cancel := q.withTimeout(ctx)
	defer cancel()
	for _, shard := range q.shards.of(lane) {
		k := q.keys(shard)
		_, err := q.redis.TxPipelined(ctx, func(p redis.Pipeliner) error {
			if paused {
				p.Set(ctx, k.paused(), q.now().Unix(), 0)
				p.Set(ctx, k.pauseReason(), reason, 0)
			} else {
				p.Del(ctx, k.paused(), k.pauseReason())
				p.Publish(ctx, k.wake(), "")
			}
			return nil
		})
		if err != nil {
			return unavailable("pause lane "+string(shard), err)
		}
		q.wakes.notify(shard)
	}
	return nil
}

// EndRest is called when the reason why no longer applies. Jobs of the lane that were
// handed back for that reason and still rest can then run at once.
func (q *Queue) EndRest(ctx context.Context, lane job.Lane, why string) error {
	ctx, cancel := q.withTimeout(ctx)
	defer cancel()
	for _, shard := range q.shards.of(lane) {
		k := q.keys(shard)
		n, err := q.scripts.forward.Run(ctx, q.redis, []string{k.retry(), k.pending()}, k.tasks(), k.own, why).Int()
		if err != nil {
			return unavailable("end the rest of jobs in lane "+string(shard), err)
		}
		if n > 0 {
			q.wakes.notify(shard)
		}
	}
	return nil
}
