// Package jobtest holds the history of a job against the state machine that
// docs/architecture/jobs.md draws and job.State.Allows spells out.
package jobtest

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/nexus-continuum/nexus/job"
)

// Event is one event of a job as a follower gets it.
type Event struct {
	ID   string
	Type string // state, progress or result
	Data json.RawMessage
}

// Check returns what is wrong with the whole history of a job, from its making
// to its end: it begins queued, takes only steps that the machine allows, ends
// with one result in a final state, and counts its attempts. A follower that came
// later is told what the record knew then: a job that waits again has spent attempts,
// and of one that has ended there is the final state and the result alone.
func Check(events []Event) error {
	var at job.State
	attempts, results := 0, 0
	for i, e := range events {
		wrong := func(format string, args ...any) error {
			return fmt.Errorf("event %d of %d (%s): %s; history: %s", i+1, len(events), e.ID, fmt.Sprintf(format, args...), Words(events))
		}
		switch {
		case results > 0:
			return wrong("%s after the result", e.Type)
		case e.Type == "result":
			results++
			if !at.Final() {
				return wrong("the result comes in state %q", at)
			}
		case e.Type == "progress":
			if at != job.StateRunning {
				return wrong("progress in state %q", at)
			}
		default:
			var s step
			if err := json.Unmarshal(e.Data, &s); err != nil {
				return wrong("%v", err)
			}
			if err := s.follows(at, attempts); err != nil {
				return wrong("%v", err)
			}
			at, attempts = s.State, s.Attempts
		}
	}
	if results != 1 {
		return fmt.Errorf("%d results; history: %s", results, Words(events))
	}
	return nil
}

// step is the data of a state event.
type step struct {
	State    job.State `json:"state"`
	Attempts int       `json:"attempts"`
}

func (s step) follows(at job.State, attempts int) error {
	switch {
	case at == "" && (s.State.Final() || s.State == job.StateQueued):
	case at == "":
		return fmt.Errorf("it begins %s", s.State)
	case !at.Allows(s.State):
		return fmt.Errorf("%s to %s is not allowed", at, s.State)
	case s.State == job.StateRunning && s.Attempts != attempts+1:
		return fmt.Errorf("it runs as attempt %d after %d", s.Attempts, attempts)
	// What is handed back spends no attempt.
	case s.State == job.StateQueued && s.Attempts != attempts && s.Attempts != attempts-1:
		return fmt.Errorf("it waits with %d attempts after %d", s.Attempts, attempts)
	case s.State.Final() && s.Attempts != attempts:
		return fmt.Errorf("it ends with %d attempts after %d", s.Attempts, attempts)
	}
	return nil
}

// Words writes a history in one line.
func Words(events []Event) string {
	words := make([]string, 0, len(events))
	for _, e := range events {
		word := e.Type
		var s step
		if e.Type == "state" && json.Unmarshal(e.Data, &s) == nil {
			word = fmt.Sprintf("%s(%d)", s.State, s.Attempts)
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}
