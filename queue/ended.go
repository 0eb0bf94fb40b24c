package queue

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/queue/packing"
)

// An ended job is one member of the sorted set of its state: id, dates and result
// in one string (conclude in lua/shared/record.lua says how). A hash and a stream for each,
// with entries in three indexes, would be fifteen times as much.

// decodeEnded reads a member that conclude wrote.
func decodeEnded(member string, state job.State) (job.Job, error) {
	if len(member) < job.IDLength {
		return job.Job{}, fmt.Errorf("decode an ended job: %d bytes", len(member))
	}
	id := member[:job.IDLength]
	wrong := func(what string) (job.Job, error) {
		return job.Job{}, fmt.Errorf("decode ended job %s: %s", id, what)
	}
	head, body, ok := strings.Cut(member[job.IDLength:], "\n")
	f := strings.Fields(head)
	if !ok || len(f) != 9 || !state.Final() {
		return wrong("its form is unknown")
	}
	j := job.Job{ID: id, State: state, Links: job.LinksOf(id)}
	switch f[0] {
	case "i":
		j.Kind = job.KindInteract
	case "t":
		j.Kind = job.KindTrain
	default:
		return wrong("its kind is unknown")
	}
	j.Attempts, _ = strconv.Atoi(f[1])
	created, err := strconv.ParseInt(f[2], 10, 64)
	if err != nil {
		return wrong("it has no date")
	}
	j.CreatedAt = job.At(time.UnixMilli(created))
	for i, to := range []**job.Time{&j.StartedAt, &j.FinishedAt} {
		if ms, err := strconv.ParseInt(f[3+i], 10, 64); err == nil {
			*to = job.At(time.UnixMilli(created + ms))
		}
	}
	var parts [4]string // topic, owner, error, progress
	for i := range parts {
		n, err := strconv.Atoi(f[5+i])
		if err != nil || n < 0 || n > len(body) {
			return wrong("it is cut short")
		}
		parts[i], body = body[:n], body[n:]
	}
	j.Topic, j.Owner = parts[0], parts[1]
	if parts[2] != "" {
		j.Error = &job.Error{}
		if err := json.Unmarshal([]byte(parts[2]), j.Error); err != nil {
			return wrong("its error cannot be read")
		}
	}
	if parts[3] != "" {
		if err := json.Unmarshal([]byte(parts[3]), &j.Progress); err != nil {
			return wrong("its progress cannot be read")
		}
	}
	if body == "" {
		return j, nil
	}
	if j.Result, err = packing.Unpack(id, body); err != nil {
		return job.Job{}, err
	}
	if !json.Valid(j.Result) {
		return wrong("its result is no JSON")
	}
	return j, nil
}

// retention returns how long a job in a final state is kept.
func (q *Queue) retention(s job.State) time.Duration {
	if s == job.StateFailed {
		return q.opt.FailedRetention
	}
	return q.opt.ResultRetention
}

// expired reports whether an ended job is past its retention. It may stay in Redis until
// the next pass of the reconciler.
func (q *Queue) expired(j job.Job) bool {
	return j.FinishedAt != nil && q.now().Sub(j.FinishedAt.Time) > q.retention(j.State)
}

// finalStates are the states whose jobs are stored in sorted sets.
var finalStates = []job.State{job.StateSucceeded, job.StateFailed, job.StateCanceled}
