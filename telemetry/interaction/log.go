// Package interaction is the log of what was asked and answered, and what people look
// at because of it: the refused, the unsure and the wrong answers in groups, how often
// each lesson answered, and the newest runs of the checks. It owns its keys in Redis;
// all begin with "nexus:{log}:".
package interaction

import (
	"context"
	_ "embed" // find.lua
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/nexus-continuum/nexus/internal/lifecycle"
	"github.com/nexus-continuum/nexus/internal/redisfault"
	"github.com/nexus-continuum/nexus/job"
)

//go:embed find.lua
var findLua string

var find = redis.NewScript(findLua)

const (
	// deliveredWithin limits how long after its creation an interact without a record
	// can be logged: the longest wait plus the batch of the writer.
	deliveredWithin = 150 * time.Second
	// findStep is how many entries one script reads, which takes Redis about 1 ms.
	findStep = 500
	// skew is how far the clock that dated an id may be ahead of the clock of Redis.
	skew = 10 * time.Second
)

// Options configure a Log. Zero values take the default named beside each field.
type Options struct {
	// Redis holds the log; the caller closes it. It is required.
	Redis     redis.UniversalClient
	Prefix    string        // of every key; "nexus:"
	Retention time.Duration // of the entries; 7 days
	Length    int64         // entries that are kept; 10 000
	// Timeout is how long one command to Redis may take; default 900 ms.
	Timeout time.Duration
	Log     *slog.Logger
	Now     func() time.Time
}

func (o *Options) fill() {
	if o.Prefix == "" {
		o.Prefix = "nexus:"
	}
	if o.Retention == 0 {
		o.Retention = 7 * 24 * time.Hour
	}
	if o.Length == 0 {
		o.Length = 10_000
	}
	if o.Timeout == 0 {
		o.Timeout = 900 * time.Millisecond
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

// Log is the connection of one process to the log. It is safe for concurrent use.
type Log struct {
	opt   Options
	redis redis.UniversalClient
	tally tally
	books books
	life  lifecycle.Life
}

// New makes a Log. It sends nothing to Redis before the first use.
func New(opt Options) *Log {
	opt.fill()
	return &Log{opt: opt, redis: opt.Redis}
}

// Start makes the log ready to count what Attach adds.
func (log *Log) Start(ctx context.Context) error {
	return log.life.Start(ctx, func(context.Context) error { return nil })
}

// Stop writes the counts that wait. What attaches to the log must be stopped first.
func (log *Log) Stop(ctx context.Context) error { return log.life.Stop(ctx) }

// key names a key of the log. They share a hash tag, so that a transaction may touch
// several of them in a Redis Cluster.
func (log *Log) key(rest string) string { return log.opt.Prefix + "{log}:" + rest }

func (log *Log) entriesKey() string { return log.key("interactions") }
func (log *Log) droppedKey() string { return log.key("dropped") }

// withTimeout limits one exchange with Redis to Options.Timeout.
func (log *Log) withTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, log.opt.Timeout)
}

func (log *Log) now() time.Time { return log.opt.Now() }

// Task is the job whose answer an interaction is; *queue.Task implements it.
type Task interface {
	// WriteAhead writes entries of streams just before the answer is sent, and says
	// whether Redis took them.
	WriteAhead(entries []*redis.XAddArgs, written func(error))
}

// Attach writes an interaction to the log just before the answer of its job is sent, so
// that every answer that was given can be judged, even if this process ends. A job that
// ends without an answer logs nothing.
func (log *Log) Attach(t Task, it job.Interaction) {
	lines, err := log.linesOf(&it)
	if err != nil {
		log.opt.Log.Error("an interaction cannot be encoded", "job", it.ID, "error", err)
		return
	}
	t.WriteAhead(lines, func(err error) {
		if err != nil {
			log.opt.Log.Warn("an answer is given that the log of interactions does not have", "job", it.ID, "error", err)
			return
		}
		log.written(&it)
	})
}

// Append adds interactions to the log, in one exchange. Refusals and unsure answers
// whose text was kept also go to separate lists. Errors: CodeUnavailable.
func (log *Log) Append(ctx context.Context, batch []job.Interaction) error {
	if len(batch) == 0 {
		return nil
	}
	rctx, cancel := log.withTimeout(ctx)
	defer cancel()
	pipe := log.redis.Pipeline()
	for _, it := range batch {
		lines, err := log.linesOf(&it)
		if err != nil {
			return err
		}
		for _, l := range lines {
			pipe.XAdd(rctx, l)
		}
	}
	log.countHits(rctx, pipe, batch)
	if _, err := pipe.Exec(rctx); err != nil {
		return redisfault.Unavailable("log interactions", err)
	}
	return log.trim(ctx)
}

// linesOf returns the lines to write for an interaction: one in the log, and one in the
// inbox list that it belongs to.
func (log *Log) linesOf(it *job.Interaction) ([]*redis.XAddArgs, error) {
	b, err := encodeLine(it)
	if err != nil {
		return nil, err
	}
	lines := []*redis.XAddArgs{lineOf(log.entriesKey(), it.ID, b)}
	if list := inboxOf(it); list != "" {
		lines = append(lines, lineOf(log.listKey(list), it.ID, b))
	}
	return lines, nil
}

func lineOf(key, id string, body []byte) *redis.XAddArgs {
	// The order of the fields is what find.lua reads.
	return &redis.XAddArgs{Stream: key, Values: []any{"id", id, "v", body}}
}

// trim cuts the log and the inbox lists to their limits, and counts the dropped
// entries.
func (log *Log) trim(ctx context.Context) error {
	ctx, cancel := log.withTimeout(ctx)
	defer cancel()
	pipe := log.redis.Pipeline()
	oldest := log.oldest()
	bounds := map[string]int64{log.entriesKey(): log.opt.Length}
	for _, l := range lists {
		bounds[log.listKey(l)] = max(log.opt.Length/5, 1)
	}
	var trimmed []*redis.IntCmd
	for key, most := range bounds {
		trimmed = append(trimmed, pipe.XTrimMaxLenApprox(ctx, key, most, 0), pipe.XTrimMinIDApprox(ctx, key, oldest, 0))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return redisfault.Unavailable("cut the log of interactions", err)
	}
	var n int64
	for _, cmd := range trimmed {
		n += cmd.Val()
	}
	if n == 0 {
		return nil
	}
	if err := log.redis.HIncrBy(ctx, log.droppedKey(), droppedField, n).Err(); err != nil {
		log.opt.Log.Warn("what left the log of interactions could not be counted", "entries", n, "error", err)
	}
	return nil
}

// CleanUp drops entries of the log and its lists that are past their retention. New
// entries also cut the log, but while nobody asks, only CleanUp does. It returns how
// many lines were dropped. Errors: CodeUnavailable.
func (log *Log) CleanUp(ctx context.Context) (int64, error) {
	ctx, cancel := log.withTimeout(ctx)
	defer cancel()
	oldest := log.oldest()
	var n int64
	keys := []string{log.entriesKey()}
	for _, l := range lists {
		keys = append(keys, log.listKey(l))
	}
	for _, key := range keys {
		cut, err := log.redis.XTrimMinID(ctx, key, oldest).Result()
		if err != nil {
			return n, redisfault.Unavailable("cut the log of interactions", err)
		}
		n += cut
	}
	return n, nil
}

// oldest is the stream id of the oldest entry that is within the retention.
func (log *Log) oldest() string {
	return strconv.FormatInt(log.now().Add(-log.opt.Retention).UnixMilli(), 10)
}

// Bounds are the limits of the log.
type Bounds struct {
	Retention time.Duration // age of an entry
	Length    int64         // number of entries
}

// Bounds returns the limits that this process applies.
func (log *Log) Bounds() Bounds {
	return Bounds{Retention: log.opt.Retention, Length: log.opt.Length}
}

// droppedField counts the entries that the limits dropped from the log.
const droppedField = "interactions"

// Dropped returns how many entries the limits have dropped, for the whole cluster and
// for as long as Redis keeps its data. Errors: CodeUnavailable.
func (log *Log) Dropped(ctx context.Context) (int64, error) {
	ctx, cancel := log.withTimeout(ctx)
	defer cancel()
	n, err := log.redis.HGet(ctx, log.droppedKey(), droppedField).Int64()
	if err != nil && !errors.Is(err, redis.Nil) {
		return 0, redisfault.Unavailable("read how many interactions were dropped", err)
	}
	return n, nil
}

// Find finds an interaction in the log by its id. Errors: CodeNotFound,
// CodeUnavailable.
func (log *Log) Find(ctx context.Context, id string) (job.Interaction, error) {
	made, err := job.IDTime(id)
	if err != nil {
		return job.Interaction{}, notFound(id)
	}
	// A batch job may have waited long before it was answered.
	return log.search(ctx, id, made, made.Add(log.opt.Retention))
}

func notFound(id string) *job.Error {
	return job.Errorf(job.CodeNotFound, "no interaction %q is in the log; it holds the most recent ones only", id)
}

// search looks for an interaction in the log the log from the time in the id on. Entries are in the order
// of logging, which happens after the id was made.
func (log *Log) search(ctx context.Context, id string, made, until time.Time) (job.Interaction, error) {
	from := strconv.FormatInt(max(0, made.Add(-skew).UnixMilli()), 10)
	to := strconv.FormatInt(until.UnixMilli(), 10)
	for {
		rctx, cancel := log.withTimeout(ctx)
		got, err := find.Run(rctx, log.redis, []string{log.entriesKey()}, id, from, to, findStep).StringSlice()
		cancel()
		if err != nil && !errors.Is(err, redis.Nil) {
			return job.Interaction{}, redisfault.Unavailable("find interaction "+id, err)
		}
		switch {
		case len(got) == 2 && got[0] == "hit":
			return decodeLine(id, got[1])
		case len(got) == 2 && got[0] == "next":
			from = "(" + got[1]
		default:
			return job.Interaction{}, notFound(id)
		}
	}
}

// Job finds the job of an answer that was delivered while its caller waited, such that
// the log is all that tells of it. Errors: CodeNotFound, CodeUnavailable.
func (log *Log) Job(ctx context.Context, id string) (job.Job, error) {
	made, err := job.IDTime(id)
	if err != nil {
		return job.Job{}, notFound(id)
	}
	it, err := log.search(ctx, id, made, made.Add(deliveredWithin))
	if err != nil {
		return job.Job{}, err
	}
	return delivered(it)
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
	created := job.At(made.Truncate(time.Millisecond))
	return job.Job{
		ID: it.ID, Kind: job.KindInteract, State: job.StateSucceeded, Topic: it.Topic, Owner: it.Owner, Attempts: 1, Result: b,
		CreatedAt: created, StartedAt: created, FinishedAt: it.At, Links: job.LinksOf(it.ID),
	}, nil
}
