package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/nexus-continuum/nexus/job"
)

const (
	// deliveredWithin limits how long after its creation an interact without a record
	// can be logged: the longest wait plus the batch of the writer.
	deliveredWithin = 150 * time.Second
	// findStep is how many entries one script reads, which takes Redis about 1 ms.
	findStep = 500
	// skew is how far the clock that dated an id may be ahead of the clock of Redis.
	skew = 10 * time.Second
)

func (q *Queue) logKey() string     { return q.shared("log", "interactions") }
func (q *Queue) logDropped() string { return q.shared("log", "dropped") }

// LogInteractions appends to the bounded log, in one exchange. Refusals and unsure
// answers whose text was kept also go to separate lists. A handler logs with Task.Log
// instead.
func (q *Queue) LogInteractions(ctx context.Context, batch []job.Interaction) error {
	if len(batch) == 0 {
		return nil
	}
	rctx, cancel := q.withTimeout(ctx)
	defer cancel()
	pipe := q.redis.Pipeline()
	for _, it := range batch {
		lines, err := q.linesOf(&it)
		if err != nil {
			return err
		}
		for _, l := range lines {
			pipe.XAdd(rctx, l)
		}
	}
	q.countHits(rctx, pipe, batch)
	if _, err := pipe.Exec(rctx); err != nil {
		return unavailable("log interactions", err)
	}
	return q.trimLog(ctx)
}

// linesOf returns the lines to write for an interaction: one in the log, and one in the
// inbox list that it belongs to.
func (q *Queue) linesOf(it *job.Interaction) ([]*redis.XAddArgs, error) {
	b, err := encodeLine(it)
	if err != nil {
		return nil, err
	}
	lines := []*redis.XAddArgs{lineOf(q.logKey(), it.ID, b)}
	if list := inboxOf(it); list != "" {
		lines = append(lines, lineOf(q.listKey(list), it.ID, b))
	}
	return lines, nil
}

func lineOf(key, id string, body []byte) *redis.XAddArgs {
	// The order of the fields is what find.lua reads.
	return &redis.XAddArgs{Stream: key, Values: []any{"id", id, "v", body}}
}

// trimLog cuts the log and the inbox lists to their limits, and counts the dropped
// entries.
func (q *Queue) trimLog(ctx context.Context) error {
	ctx, cancel := q.withTimeout(ctx)
	defer cancel()
	pipe := q.redis.Pipeline()
	oldest := millis(q.now().Add(-q.opt.LogRetention))
	bounds := map[string]int64{q.logKey(): q.opt.LogLength}
	for _, l := range lists {
		bounds[q.listKey(l)] = max(q.opt.LogLength/5, 1)
	}
	var trimmed []*redis.IntCmd
	for key, most := range bounds {
		trimmed = append(trimmed, pipe.XTrimMaxLenApprox(ctx, key, most, 0), pipe.XTrimMinIDApprox(ctx, key, oldest, 0))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return unavailable("cut the log of interactions", err)
	}
	var n int64
	for _, cmd := range trimmed {
		n += cmd.Val()
	}
	if n == 0 {
		return nil
	}
	if err := q.redis.HIncrBy(ctx, q.logDropped(), DroppedInteractions, n).Err(); err != nil {
		q.opt.Log.Warn("what left the log of interactions could not be counted", "entries", n, "error", err)
	}
	return nil
}

// Interaction finds an interaction in the log by its id. Errors: CodeNotFound,
// CodeUnavailable.
func (q *Queue) Interaction(ctx context.Context, id string) (job.Interaction, error) {
	made, err := job.IDTime(id)
	if err != nil {
		return job.Interaction{}, notFoundInteraction(id)
	}
	// A batch job may have waited long before it was answered.
	return q.findInteraction(ctx, id, made, made.Add(q.opt.LogRetention))
}

func notFoundInteraction(id string) *job.Error {
	return job.Errorf(job.CodeNotFound, "no interaction %q is in the log; it holds the most recent ones only", id)
}

// findInteraction searches the log from the time in the id on. Entries are in the order
// of logging, which happens after the id was made.
func (q *Queue) findInteraction(ctx context.Context, id string, made, until time.Time) (job.Interaction, error) {
	from := strconv.FormatInt(max(0, made.Add(-skew).UnixMilli()), 10)
	to := strconv.FormatInt(until.UnixMilli(), 10)
	for {
		rctx, cancel := q.withTimeout(ctx)
		got, err := q.scripts.find.Run(rctx, q.redis, []string{q.logKey()}, id, from, to, findStep).StringSlice()
		cancel()
		if err != nil && !errors.Is(err, redis.Nil) {
			return job.Interaction{}, unavailable("find interaction "+id, err)
		}
		switch {
		case len(got) == 2 && got[0] == "hit":
			return decodeLine(id, got[1])
		case len(got) == 2 && got[0] == "next":
			from = "(" + got[1]
		default:
			return job.Interaction{}, notFoundInteraction(id)
		}
	}
}

// delivered returns the job that a logged interaction was.
func delivered(it job.Interaction) (job.Job, error) {
	made, err := job.IDTime(it.ID)
	if err != nil {
		return job.Job{}, err
	}
	text := func(s string) *string {
		if s == "" {
			return nil
		}
		return &s
	}
	answer := job.Answer{
		JobID: it.ID, InteractionID: it.ID, Response: it.Response, Responded: it.Responded,
		Reason: text(it.Reason), Confidence: it.Confidence, Threshold: it.Threshold,
		Topic: text(it.Topic), Checkpoint: text(it.Checkpoint), Sources: []job.Source{},
	}
	for _, id := range it.Lessons {
		answer.Sources = append(answer.Sources, job.Source{LessonID: id})
	}
	b, err := json.Marshal(answer)
	if err != nil {
		return job.Job{}, fmt.Errorf("encode answer of %s: %w", it.ID, err)
	}
	j := newJob(job.Spec{ID: it.ID, Kind: job.KindInteract, Topic: it.Topic, Owner: it.Owner, CreatedAt: made})
	j.State, j.Attempts, j.Result = job.StateSucceeded, 1, b
	j.StartedAt, j.FinishedAt = j.CreatedAt, it.At
	return j, nil
}
