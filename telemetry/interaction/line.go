package interaction

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/nexus-continuum/nexus/job"
)

// line is the stored form of an interaction in the log. It has short names and no id,
// which is stored beside it, because there are many lines and Redis keeps them in
// memory.
type line struct {
	Owner      string   `json:"o,omitempty"`
	Prompt     string   `json:"p,omitempty"`
	Topic      string   `json:"t,omitempty"`
	Response   string   `json:"r,omitempty"`
	Responded  bool     `json:"y,omitempty"`
	Reason     string   `json:"n,omitempty"`
	Confidence float64  `json:"c,omitempty"`
	Threshold  float64  `json:"h,omitempty"`
	Lessons    []string `json:"l,omitempty"`
	Checkpoint string   `json:"k,omitempty"`
	At         int64    `json:"a,omitempty"` // Unix ms; 0: unknown
}

func encodeLine(it *job.Interaction) ([]byte, error) {
	l := line{
		Owner: it.Owner, Prompt: it.Prompt, Topic: it.Topic, Response: it.Response, Responded: it.Responded, Reason: it.Reason,
		Confidence: it.Confidence, Threshold: it.Threshold, Lessons: it.Lessons, Checkpoint: it.Checkpoint,
	}
	if it.At != nil {
		l.At = it.At.UnixMilli()
	}
	b, err := json.Marshal(l)
	if err != nil {
		return nil, fmt.Errorf("encode interaction %s: %w", it.ID, err)
	}
	return b, nil
}

func decodeLine(id, s string) (job.Interaction, error) {
	var l line
	if err := json.Unmarshal([]byte(s), &l); err != nil {
		return job.Interaction{}, fmt.Errorf("decode interaction %s: %w", id, err)
	}
	it := job.Interaction{
		ID: id, Owner: l.Owner, Prompt: l.Prompt, Topic: l.Topic, Response: l.Response, Responded: l.Responded, Reason: l.Reason,
		Confidence: l.Confidence, Threshold: l.Threshold, Lessons: l.Lessons, Checkpoint: l.Checkpoint,
	}
	if l.At != 0 {
		it.At = job.At(time.UnixMilli(l.At))
	}
	return it, nil
}
