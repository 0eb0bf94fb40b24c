package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/nexus-continuum/nexus/job"
)

// The record of a job that has not ended is a hash: spec, kind, topic, owner, state,
// created, started (unix ms), attempts, progress (JSON), waiting, cancel ('1'). Its
// webhook is a second hash: url, events, failures, progress (when it was last sent,
// unix ms). For the record of an ended job see ended.go.

// recordFields returns the initial fields of a record, names and values alternating.
func recordFields(s job.Spec) []any {
	s.ReplyTo = ""
	spec, err := json.Marshal(s)
	if err != nil {
		panic(err) // strings, times and lists of them only
	}
	fields := []any{"kind", string(s.Kind), "spec", spec, "created", millis(s.CreatedAt)}
	if s.Topic != "" {
		fields = append(fields, "topic", s.Topic)
	}
	if s.Owner != "" {
		fields = append(fields, "owner", s.Owner)
	}
	if s.Webhook != "" {
		events := s.WebhookEvents
		if len(events) == 0 {
			events = []string{EventState, EventProgress, EventResult}
		}
		fields = append(fields, "hook_url", s.Webhook, "hook_events", strings.Join(events, ","))
	}
	return fields
}

// newJob returns the job object of a waiting job.
func newJob(s job.Spec) job.Job {
	return job.Job{
		ID: s.ID, Kind: s.Kind, State: job.StateQueued, Topic: s.Topic, Owner: s.Owner,
		CreatedAt: job.At(s.CreatedAt.Truncate(time.Millisecond)), Links: job.LinksOf(s.ID),
	}
}

var errNoRecord = errors.New("no record")

// Job finds a job by its id. An interact that was answered while its caller waited has
// no record; Options.Delivered finds it. Errors: CodeNotFound, CodeUnavailable.
func (q *Queue) Job(ctx context.Context, id string) (job.Job, error) {
	if _, err := job.IDTime(id); err != nil {
		return job.Job{}, notFound(id)
	}
	j, _, err := q.readRecord(ctx, id)
	if !errors.Is(err, errNoRecord) {
		return j, err
	}
	if q.opt.Delivered == nil {
		return job.Job{}, notFound(id)
	}
	return q.opt.Delivered(ctx, id)
}

// Recorded returns a job from its record; ok is false if it has none. Errors:
// CodeUnavailable.
func (q *Queue) Recorded(ctx context.Context, id string) (j job.Job, ok bool, err error) {
	j, _, err = q.readRecord(ctx, id)
	if errors.Is(err, errNoRecord) {
		return job.Job{}, false, nil
	}
	return j, err == nil, err
}

func notFound(id string) *job.Error {
	return job.Errorf(job.CodeNotFound, "no job %q is known; ended jobs are kept for a limited time", id)
}

// readRecord reads all lanes at once, because an id does not name its lane. It first
// tries the shard that this process would use, then all shards.
func (q *Queue) readRecord(ctx context.Context, id string) (job.Job, job.Lane, error) {
	ctx, cancel := q.withTimeout(ctx)
	defer cancel()
	everywhere := q.shards.of(job.Lanes()...)
	shards := make([]job.Lane, 0, len(job.Lanes()))
	for _, l := range job.Lanes() {
		shards = append(shards, q.shards.forJob(l, id))
	}
	for attempt := 0; ; attempt++ {
		j, lane, err := q.readLanes(ctx, id, shards)
		if errors.Is(err, errNoRecord) && len(shards) < len(everywhere) {
			shards = everywhere
			continue
		}
		if redis.HasErrorPrefix(err, "NOSCRIPT") && attempt == 0 {
			if err = q.loadReadScript(ctx); err == nil {
				continue
			}
		}
		if err == nil || errors.Is(err, errNoRecord) {
			return j, lane, err
		}
		return job.Job{}, "", unavailable("read job "+id, err)
	}
}

// loadReadScript stores the script that pipelines call by its digest only.
func (q *Queue) loadReadScript(ctx context.Context) error {
	return q.scripts.read.Load(ctx, q.redis).Err()
}

func (q *Queue) readLanes(ctx context.Context, id string, lanes []job.Lane) (job.Job, job.Lane, error) {
	pipe := q.redis.Pipeline()
	cmds := make([]*redis.Cmd, len(lanes))
	for i, l := range lanes {
		cmds[i] = q.pipeRead(ctx, pipe, l, id)
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return job.Job{}, "", err
	}
	for i, cmd := range cmds {
		reply, err := cmd.Slice()
		if errors.Is(err, redis.Nil) {
			continue
		}
		if err != nil {
			return job.Job{}, "", err
		}
		j, err := q.decodeReply(id, lanes[i], reply)
		if errors.Is(err, errNoRecord) {
			continue
		}
		return j, lanes[i], err
	}
	return job.Job{}, "", errNoRecord
}

// pipeRead reads one record in a pipeline.
func (q *Queue) pipeRead(ctx context.Context, pipe redis.Pipeliner, lane job.Lane, id string) *redis.Cmd {
	k := q.keys(lane)
	return q.scripts.read.EvalSha(ctx, pipe, []string{k.record(id), k.pending(), k.pauseReason(), k.serverPauseReason(), k.paused()}, id, k.own)
}

func (q *Queue) decodeReply(id string, lane job.Lane, reply []any) (job.Job, error) {
	if member, ok := reply[0].(string); ok && len(reply) == 2 {
		state, _ := reply[1].(string)
		j, err := decodeEnded(member, job.State(state))
		if err == nil && q.expired(j) {
			return job.Job{}, errNoRecord
		}
		return j, err
	}
	j, err := decodeRead(id, reply)
	if j.QueuePosition != nil {
		*j.QueuePosition = q.queuePosition(lane, *j.QueuePosition)
	}
	return j, err
}

// decodeRead decodes the reply of read.lua.
func decodeRead(id string, reply []any) (job.Job, error) {
	if len(reply) != 3 {
		return job.Job{}, fmt.Errorf("decode job %s: %d parts instead of 3", id, len(reply))
	}
	flat, ok := reply[0].([]any)
	if !ok || len(flat)%2 != 0 {
		return job.Job{}, fmt.Errorf("decode job %s: fields do not pair up", id)
	}
	fields := make(map[string]string, len(flat)/2)
	for i := 0; i < len(flat); i += 2 {
		name, _ := flat[i].(string)
		fields[name], _ = flat[i+1].(string)
	}
	position, _ := reply[1].(int64)
	why, _ := reply[2].(string)
	if since, ok := strings.CutPrefix(why, "@"); ok {
		why = pausedByTool(unixTime(since))
	}
	return decodeRecord(id, fields, int(position), why)
}

// decodeRecord turns the fields of a record into a job object. position is 0 if the job
// does not wait; why is set while its lane is paused or held.
func decodeRecord(id string, f map[string]string, position int, why string) (job.Job, error) {
	j := job.Job{ID: id, Kind: job.Kind(f["kind"]), State: job.State(f["state"]), Links: job.LinksOf(id)}
	if !j.Kind.Valid() || !j.State.Valid() {
		return job.Job{}, fmt.Errorf("decode job %s: kind %q in state %q", id, j.Kind, j.State)
	}
	var spec job.Spec
	if err := json.Unmarshal([]byte(f["spec"]), &spec); err != nil {
		return job.Job{}, fmt.Errorf("decode job %s: spec: %w", id, err)
	}
	j.Topic, j.Owner = spec.Topic, spec.Owner
	for name, to := range map[string]**job.Time{"created": &j.CreatedAt, "started": &j.StartedAt} {
		if ms, err := strconv.ParseInt(f[name], 10, 64); err == nil {
			*to = job.At(time.UnixMilli(ms))
		}
	}
	j.Attempts, _ = strconv.Atoi(f["attempts"])
	if v := f["progress"]; v != "" {
		if err := json.Unmarshal([]byte(v), &j.Progress); err != nil {
			return job.Job{}, fmt.Errorf("decode job %s: progress: %w", id, err)
		}
	}
	if j.State == job.StateQueued {
		if position > 0 {
			j.QueuePosition = &position
		}
		waiting := f["waiting"]
		if why != "" {
			waiting = why
		}
		if waiting != "" {
			j.WaitingFor = &waiting
		}
	}
	return j, nil
}
