// Package job defines what all parts of NEXUS share: kinds of job, their states,
// payloads, results and error codes. It imports no other package of this project.
package job

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Kind says what a job does.
type Kind string

// The kinds of job.
const (
	KindInteract Kind = "interact"
	KindTrain    Kind = "train"
)

// Valid reports whether k is a known kind.
func (k Kind) Valid() bool { return k == KindInteract || k == KindTrain }

// Lane is the queue that a job waits in. Each lane has its own server, so that a long
// job never delays a waiting caller.
type Lane string

// The lanes, most urgent first.
const (
	LaneInteractive Lane = "interactive" // an interact whose caller waits
	LaneBatch       Lane = "batch"       // an interact that will be polled for
	LaneTrain       Lane = "train"
)

// Lanes lists every lane, most urgent first.
func Lanes() []Lane { return []Lane{LaneInteractive, LaneBatch, LaneTrain} }

// State is the state of a job.
type State string

// The states of a job. The last three are final.
const (
	StateQueued    State = "queued"
	StateRunning   State = "running"
	StateSucceeded State = "succeeded"
	StateFailed    State = "failed"
	StateCanceled  State = "canceled"
)

// Valid reports whether s is a known state.
func (s State) Valid() bool {
	switch s {
	case StateQueued, StateRunning, StateSucceeded, StateFailed, StateCanceled:
		return true
	}
	return false
}

// Final reports whether no further transition follows s.
func (s State) Final() bool {
	return s == StateSucceeded || s == StateFailed || s == StateCanceled
}

// Allows reports whether a job in state s may move to next. A running job returns to
// queued when it is handed back (drain, governor) or retried.
func (s State) Allows(next State) bool {
	switch s {
	case StateQueued:
		return next == StateRunning || next == StateCanceled || next == StateFailed
	case StateRunning:
		return next == StateQueued || next.Final()
	case StateSucceeded, StateFailed, StateCanceled:
	}
	return false
}

// IDLength is the length of every id.
const IDLength = 36

// NewID returns a new job id. It is a UUIDv7, so ids sort by time and an id contains
// the time of its job.
func NewID() string { return uuid.Must(uuid.NewV7()).String() }

// IDTime returns the time, to the millisecond, at which NewID made id. It returns an
// error if id is not such an id.
func IDTime(id string) (time.Time, error) {
	u, err := uuid.Parse(id)
	if err != nil || u.Version() != 7 {
		return time.Time{}, fmt.Errorf("%q is not an id made by this service", id)
	}
	ms := int64(u[0])<<40 | int64(u[1])<<32 | int64(u[2])<<24 | int64(u[3])<<16 | int64(u[4])<<8 | int64(u[5])
	return time.UnixMilli(ms).UTC(), nil
}

// Time is a time in the form of the HTTP contract: RFC 3339, UTC, with milliseconds.
type Time struct{ time.Time }

const timeLayout = "2006-01-02T15:04:05.000Z07:00"

// At returns t as a Time, in UTC.
func At(t time.Time) *Time { return &Time{t.UTC()} }

// MarshalJSON writes RFC 3339 with exactly three decimals.
func (t Time) MarshalJSON() ([]byte, error) {
	return []byte(`"` + t.UTC().Format(timeLayout) + `"`), nil
}

// UnmarshalJSON reads any RFC 3339 time.
func (t *Time) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	v, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return err
	}
	t.Time = v.UTC()
	return nil
}

// Spec describes the work of a job. It is the payload of the task.
type Spec struct {
	ID   string `json:"id"`
	Kind Kind   `json:"kind"`
	Lane Lane   `json:"lane"`
	// Owner is the name of the API key that made the request; empty if no key is
	// needed.
	Owner string `json:"owner,omitempty"`

	// Interact.
	Prompt string `json:"prompt,omitempty"`

	// Topic limits the lessons that may answer (interact) or names the pack (train).
	Topic string `json:"topic,omitempty"`

	// Dataset is the id of the stored dataset to learn from (train). Empty means
	// consolidating what is already known.
	Dataset string `json:"dataset,omitempty"`
	// Teacher says that the teacher writes the lessons, about Topic. They are stored
	// under an id of their own.
	Teacher bool `json:"teacher,omitempty"`
	// Skipped lists the faulty lines of an upload that were left out (on_error=skip).
	Skipped []Fault `json:"skipped,omitempty"`

	CreatedAt time.Time `json:"created_at"`
	// Deadline is when the caller gives up or timeout_ms ends; zero means never.
	Deadline time.Time `json:"deadline,omitzero"`
	// ReplyTo is the reply list of the API process whose caller waits; empty if no
	// caller waits.
	ReplyTo string `json:"reply_to,omitempty"`

	Webhook       string   `json:"webhook,omitempty"`
	WebhookEvents []string `json:"webhook_events,omitempty"`
}

// Fault is a line of an upload that is not a lesson.
type Fault struct {
	Line   int    `json:"line"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

// Progress says how far a job is. Phase of a train job is one of the Phase constants.
type Progress struct {
	Phase   string `json:"phase"`
	Done    int    `json:"done"`
	Total   int    `json:"total"`
	Message string `json:"message"`
}

// Phases of a train job, in order.
const (
	PhaseAsking        = "asking"        // the teacher writes lessons
	PhaseMemorising    = "memorising"    // lessons enter the memory
	PhaseMemorised     = "memorised"     // they answer prompts now
	PhaseConsolidating = "consolidating" // gradient steps
	PhaseJudging       = "judging"       // new weights against the old
	PhaseDone          = "done"
)

// Job is the job object of the HTTP contract.
type Job struct {
	ID            string          `json:"id"`
	Kind          Kind            `json:"kind"`
	State         State           `json:"state"`
	Topic         string          `json:"topic,omitempty"`
	Owner         string          `json:"owner,omitempty"` // name of the API key that made it
	Progress      Progress        `json:"progress"`
	CreatedAt     *Time           `json:"created_at"`
	StartedAt     *Time           `json:"started_at"`
	FinishedAt    *Time           `json:"finished_at"`
	Attempts      int             `json:"attempts"`
	QueuePosition *int            `json:"queue_position"`
	Result        json.RawMessage `json:"result"`
	Error         *Error          `json:"error"`
	WaitingFor    *string         `json:"waiting_for"`
	Links         Links           `json:"links"`
}

// Links are the URLs of a job.
type Links struct {
	Self   string `json:"self"`
	Events string `json:"events"`
}

// LinksOf returns the URLs of job id.
func LinksOf(id string) Links {
	return Links{Self: "/api/jobs/" + id, Events: "/api/jobs/" + id + "/events"}
}
