package client

import (
	"context"
	"net/http"

	"github.com/nexus-continuum/nexus/job"
)

// Answer is the answer with that id; the id of any of its phrasings does too.
func (c *Client) Answer(ctx context.Context, id string) (Answer, error) {
	var a Answer
	err := c.get(ctx, one("/api/answers/", id), nil, &a)
	return a, err
}

// SetDates sets from and until when an answer may be given; nil sets no bound.
func (c *Client) SetDates(ctx context.Context, id string, from, until *job.Time) (Answer, error) {
	var a Answer
	err := c.sendJSON(ctx, http.MethodPatch, one("/api/answers/", id), map[string]*job.Time{"valid_from": from, "valid_until": until}, &a)
	return a, err
}

// Change is one change of an answer.
type Change struct {
	ID        string    `json:"id"` // of its train job too
	At        *job.Time `json:"at"`
	Who       string    `json:"who"`  // name of the key; empty if none was needed
	What      string    `json:"what"` // taught, revised, moved or unlearned
	Response  *string   `json:"response"`
	Refusal   bool      `json:"refusal"`
	Topic     string    `json:"topic"`
	Phrasings int       `json:"phrasings"` // how many it changed
	Prompts   []string  `json:"prompts"`   // the first of them
}

// History lists the changes of an answer, the newest first; complete is false where
// there were more.
func (c *Client) History(ctx context.Context, id string) (changes []Change, complete bool, err error) {
	var out struct {
		Changes  []Change `json:"changes"`
		Complete bool     `json:"complete"`
	}
	err = c.get(ctx, one("/api/answers/", id)+"/history", nil, &out)
	return out.Changes, out.Complete, err
}

// RestoreAnswer puts an answer back as it was after a change of its History.
func (c *Client) RestoreAnswer(ctx context.Context, id, change string) (job.Job, error) {
	var j job.Job
	err := c.sendJSON(ctx, http.MethodPost, one("/api/answers/", id)+"/restore", map[string]string{"change": change}, &j)
	return j, err
}
