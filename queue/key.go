package queue

import (
	"strconv"
	"time"

	"github.com/nexus-continuum/nexus/job"
)

// Keys of one lane. They share asynq's hash tag {lane}, so that in a Redis
// Cluster a script may touch a task and its record in one step.
type laneKeys struct {
	own   string // "nexus:{interactive}:"
	asynq string // "asynq:{interactive}:"
}

func (q *Queue) keys(l job.Lane) laneKeys {
	return laneKeys{
		own:   q.opt.Prefix + "{" + string(l) + "}:",
		asynq: "asynq:{" + string(l) + "}:",
	}
}

// Ours.
func (k laneKeys) record(id string) string { return k.own + "job:" + id }
func (k laneKeys) events(id string) string { return k.own + "events:" + id }
func (k laneKeys) stateIndex(s job.State) string {
	return k.own + "jobs:" + string(s)
}

// ended holds the ended jobs of a final state, each a member that begins with its id.
func (k laneKeys) ended(s job.State) string    { return k.own + "ended:" + string(s) }
func (k laneKeys) endedBytes() string          { return k.own + "ended:bytes" }
func (k laneKeys) reply(process string) string { return k.own + "reply:" + process }
func (k laneKeys) owner(server string) string  { return k.own + "owner:" + server }
func (k laneKeys) deliveryCounts() string      { return k.own + "posted" }
func (k laneKeys) pauseReason() string         { return k.own + "paused" }
func (k laneKeys) deadlines() string           { return k.own + "deadlines" }
func (k laneKeys) repairs() string             { return k.own + "repairs" }
func (k laneKeys) dropped() string             { return k.own + "dropped" }
func (k laneKeys) serverPauseReason() string   { return k.own + "held" } // by the server that pauses, see Server.Pause

// Channels.
func (k laneKeys) wake() string           { return k.own + "wake" }
func (k laneKeys) cancel() string         { return k.own + "cancel" }
func (k laneKeys) deadline() string       { return k.own + "deadline" }
func (k laneKeys) event(id string) string { return k.own + "event:" + id }

// asynq's, as its internal/base spells them.
func (k laneKeys) task(id string) string { return k.asynq + "t:" + id }
func (k laneKeys) tasks() string         { return k.asynq + "t:" }
func (k laneKeys) pending() string       { return k.asynq + "pending" }
func (k laneKeys) active() string        { return k.asynq + "active" }
func (k laneKeys) lease() string         { return k.asynq + "lease" }
func (k laneKeys) retry() string         { return k.asynq + "retry" }
func (k laneKeys) scheduled() string     { return k.asynq + "scheduled" }
func (k laneKeys) archived() string      { return k.asynq + "archived" }
func (k laneKeys) paused() string        { return k.asynq + "paused" }
func (k laneKeys) processed() string     { return k.asynq + "processed" }
func (k laneKeys) failed() string        { return k.asynq + "failed" }
func (k laneKeys) day(key string, t time.Time) string {
	return key + ":" + t.UTC().Format("2006-01-02")
}

// shared names a key that belongs to no lane; tag keeps keys that one script
// touches together.
func (q *Queue) shared(tag, rest string) string { return q.opt.Prefix + "{" + tag + "}:" + rest }

func millis(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }
