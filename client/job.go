package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"github.com/nexus-continuum/nexus/job"
)

// Job shows a job.
func (c *Client) Job(ctx context.Context, id string) (job.Job, error) {
	var j job.Job
	err := c.get(ctx, one("/api/jobs/", id), nil, &j)
	return j, err
}

// Jobs lists jobs, the newest first; kind and state choose and may be empty.
func (c *Client) Jobs(ctx context.Context, kind, state, cursor string) (jobs []job.Job, next string, err error) {
	q := url.Values{}
	set(q, "kind", kind)
	set(q, "state", state)
	set(q, "cursor", cursor)
	var out struct {
		Jobs []job.Job `json:"jobs"`
		Next string    `json:"next_cursor"`
	}
	err = c.get(ctx, "/api/jobs", q, &out)
	return out.Jobs, out.Next, err
}

// Cancel cancels a job.
func (c *Client) Cancel(ctx context.Context, id string) (job.Job, error) {
	var j job.Job
	err := c.do(ctx, call{method: http.MethodDelete, path: one("/api/jobs/", id)}, &j)
	return j, err
}

// waitEvery is how often Wait looks, at first and at last.
const (
	waitFirst = 20 * time.Millisecond
	waitLast  = time.Second
)

// Wait waits until a job has ended, and tells seen of each look at it. A job
// that failed is an error beside the job.
func (c *Client) Wait(ctx context.Context, id string, seen func(job.Job)) (job.Job, error) {
	return c.until(ctx, id, seen, func(j job.Job) bool { return j.State.Final() })
}

// Memorised waits until the lessons of a train job answer, which does not wait
// for the gradient steps that follow.
func (c *Client) Memorised(ctx context.Context, id string, seen func(job.Job)) (job.Job, error) {
	return c.until(ctx, id, seen, func(j job.Job) bool {
		switch j.Progress.Phase {
		case job.PhaseMemorised, job.PhaseConsolidating, job.PhaseJudging:
			return true
		}
		return j.State.Final()
	})
}

func (c *Client) until(ctx context.Context, id string, seen func(job.Job), done func(job.Job) bool) (job.Job, error) {
	for every := waitFirst; ; every = min(2*every, waitLast) {
		j, err := c.Job(ctx, id)
		if err != nil {
			return j, err
		}
		if seen != nil {
			seen(j)
		}
		if done(j) {
			if j.Error != nil {
				return j, j.Error
			}
			return j, nil
		}
		select {
		case <-time.After(every):
		case <-ctx.Done():
			return j, ctx.Err()
		}
	}
}

// Train learns a topic pack, or has the teacher write about a topic; empty folds
// what is known deeper into the weights.
func (c *Client) Train(ctx context.Context, topic string) (job.Job, error) {
	in := map[string]string{"kind": "train"}
	if topic != "" {
		in["topic"] = topic
	}
	var j job.Job
	err := c.sendJSON(ctx, http.MethodPost, "/api/jobs", in, &j)
	return j, err
}

// Control does a control action without further arguments: pause, resume,
// train_stop, checkpoint.
func (c *Client) Control(ctx context.Context, action string) error {
	return c.sendJSON(ctx, http.MethodPost, "/api/control", map[string]string{"action": action}, nil)
}

// Checkpoint is a kept state of the model.
type Checkpoint struct {
	ID        string    `json:"id"`
	CreatedAt *job.Time `json:"created_at"`
	Why       string    `json:"why"`
	Lessons   int       `json:"lessons"`
	Head      bool      `json:"head"`
	Failing   *string   `json:"failing"`
}

// Checkpoints lists the kept checkpoints, the newest first; head is the one that
// is served.
func (c *Client) Checkpoints(ctx context.Context) (list []Checkpoint, head string, err error) {
	var out struct {
		Checkpoints []Checkpoint `json:"checkpoints"`
		Head        string       `json:"head"`
	}
	err = c.get(ctx, "/api/checkpoints", nil, &out)
	return out.Checkpoints, out.Head, err
}

// Promote serves another kept checkpoint.
func (c *Client) Promote(ctx context.Context, id string) error {
	return c.do(ctx, call{method: http.MethodPost, path: one("/api/checkpoints/", id, "/promote")}, nil)
}

// Status is the state of the cluster as the server writes it.
func (c *Client) Status(ctx context.Context) (json.RawMessage, error) {
	var out json.RawMessage
	err := c.get(ctx, "/api/status", nil, &out)
	return out, err
}

// Ready is nil when the server can serve.
func (c *Client) Ready(ctx context.Context) error { return c.get(ctx, "/readyz", nil, nil) }
