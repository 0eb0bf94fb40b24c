package client

import (
	"context"
	"net/http"

	"github.com/nexus-continuum/nexus/job"
)

// Answer is a response with the prompts that lead to it.
type Answer struct {
	ID        string     `json:"id"`
	Response  *string    `json:"response"`
	Topic     string     `json:"topic"`
	Phrasings int        `json:"phrasings"`
	Lessons   []Phrasing `json:"lessons"`
	UpdatedAt *job.Time  `json:"updated_at"`
	Validity
}

// Phrasing is a prompt of an Answer.
type Phrasing struct {
	ID     string `json:"id"`
	Prompt string `json:"prompt"`
}

// Suggest has the teacher of the server write other questions for an answer. Nothing is
// taught by it.
func (c *Client) Suggest(ctx context.Context, answerID string) ([]string, error) {
	var out struct {
		Phrasings []string `json:"phrasings"`
	}
	err := c.do(ctx, call{method: http.MethodPost, path: one("/api/answers/", answerID) + "/suggest"}, &out)
	return out.Phrasings, err
}

// Answers lists answers with their phrasings.
func (c *Client) Answers(ctx context.Context, l List) (answers []Answer, next string, err error) {
	var out struct {
		Answers []Answer `json:"answers"`
		Next    string   `json:"next_cursor"`
	}
	err = c.get(ctx, "/api/answers", l.query(), &out)
	return out.Answers, out.Next, err
}

// ReviseAnswer gives every phrasing of an answer another response.
func (c *Client) ReviseAnswer(ctx context.Context, id, response string) (job.Job, error) {
	var j job.Job
	err := c.sendJSON(ctx, http.MethodPatch, one("/api/answers/", id), map[string]string{"response": response}, &j)
	return j, err
}

// Publish gives an answer from now on, or holds it back as a draft.
func (c *Client) Publish(ctx context.Context, id string, draft bool) (Answer, error) {
	var a Answer
	err := c.sendJSON(ctx, http.MethodPatch, one("/api/answers/", id), map[string]bool{"draft": draft}, &a)
	return a, err
}

// MoveAnswer moves every phrasing of an answer to another topic.
func (c *Client) MoveAnswer(ctx context.Context, id, topic string) (job.Job, error) {
	var j job.Job
	err := c.sendJSON(ctx, http.MethodPatch, one("/api/answers/", id), map[string]string{"topic": topic}, &j)
	return j, err
}

// ForgetAnswer unlearns an answer with all its phrasings.
func (c *Client) ForgetAnswer(ctx context.Context, id string) (job.Job, error) {
	var j job.Job
	err := c.do(ctx, call{method: http.MethodDelete, path: one("/api/answers/", id)}, &j)
	return j, err
}

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
