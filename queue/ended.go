package queue

import (
	"bytes"
	"compress/flate"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	packing "github.com/klauspost/compress/flate"

	"github.com/nexus-continuum/nexus/job"
)

// An ended job is one member of the sorted set of its state: id, dates and result
// in one string (conclude in lua/record.lua says how). A hash and a stream for each,
// with entries in three indexes, would be fifteen times as much.

// packDictionary holds text that the results of jobs have in common. Packed records
// need it to be read, so change it only together with packedBy.
const packDictionary = `"low_confidence","ambiguous","unfamiliar","untaught","taught_refusal","not_converged",` +
	`I am not sure enough of the answer to give it. This is unlike anything that I was taught.` +
	`{"dataset":"019","topic":"","lessons_taken":1,"lessons_known":0,"lessons_removed":0,"lessons_skipped":0,"steps":` +
	`"before":{"prompts":,"accuracy":,"answered":,"wrong_answered":,"foreign_refused":,"threshold":},"after":null,"checkpoint":"","promoted":true,"why":""}` +
	`{"job_id":"019","interaction_id":"019","response":"","responded":true,"reason":null,"confidence":0.9,"threshold":0.7,"topic":null,` +
	`"sources":[{"lesson_id":"019","prompt":"how do I ","similarity":0.9},{"lesson_id":"019","prompt":"What is the ","similarity":0.8}],` +
	`"flow":{"depth":1,"converged":true,"residual":0.0000},"checkpoint":"019","timing":{"queue_ms":0.,"compute_ms":1.,"total_ms":2.}}`

// packedBy marks a packed result. JSON never begins with it.
const packedBy = 'z'

// pack compresses the JSON of a result. A short answer with three sources shrinks from
// 900 to 260 bytes in 9 µs.
func pack(result []byte) []byte {
	if len(result) < 64 {
		return result
	}
	b := bytes.NewBuffer(make([]byte, 0, len(result)/2))
	b.WriteByte(packedBy)
	if err := packing.StatelessDeflate(b, result, true, []byte(packDictionary)); err != nil || b.Len() >= len(result) {
		return result
	}
	return b.Bytes()
}

func unpack(s string) (json.RawMessage, error) {
	if s == "" || s[0] != packedBy {
		return json.RawMessage(s), nil
	}
	r := flate.NewReaderDict(strings.NewReader(s[1:]), []byte(packDictionary))
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("unpack a result: %w", err)
	}
	return b, nil
}

// decodeEnded reads a member that conclude wrote.
func decodeEnded(member string, state job.State) (job.Job, error) {
	if len(member) < idLength {
		return job.Job{}, fmt.Errorf("decode an ended job: %d bytes", len(member))
	}
	id := member[:idLength]
	wrong := func(what string) (job.Job, error) {
		return job.Job{}, fmt.Errorf("decode ended job %s: %s", id, what)
	}
	head, body, ok := strings.Cut(member[idLength:], "\n")
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
	if j.Result, err = unpack(body); err != nil {
		return job.Job{}, err
	}
	if !json.Valid(j.Result) {
		return wrong("its result is no JSON")
	}
	return j, nil
}

// retained returns how long a job in a final state is kept.
func (q *Queue) retained(s job.State) time.Duration {
	if s == job.StateFailed {
		return q.opt.FailedRetention
	}
	return q.opt.ResultRetention
}

// faded reports whether an ended job is past its retention. It may stay in Redis until
// the next pass of the reconciler.
func (q *Queue) faded(j job.Job) bool {
	return j.FinishedAt != nil && q.now().Sub(j.FinishedAt.Time) > q.retained(j.State)
}

// finalStates are the states whose jobs are stored in sorted sets.
var finalStates = []job.State{job.StateSucceeded, job.StateFailed, job.StateCanceled}
