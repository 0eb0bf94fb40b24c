package client

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/nexus-continuum/nexus/job"
)

// Lesson is a prompt and its answer.
type Lesson struct {
	ID       string  `json:"id,omitempty"`
	Prompt   string  `json:"prompt"`
	Response *string `json:"response"` // nil teaches a refusal
	Topic    string  `json:"topic,omitempty"`
	Validity
}

// Validity is when an answer may be given, with all its phrasings.
type Validity struct {
	State string    `json:"state,omitempty"` // live, draft, scheduled or expired; the server tells it
	Draft bool      `json:"draft,omitempty"` // held back until it is published
	From  *job.Time `json:"valid_from,omitempty"`
	Until *job.Time `json:"valid_until,omitempty"`
}

// List chooses a page of a list.
type List struct {
	Topic  string
	Q      string // words that must all occur
	State  string // of answers: live, draft, scheduled or expired
	Cursor string
	Limit  int // 0: as the server likes
}

func (l List) query() url.Values {
	q := url.Values{}
	set(q, "topic", l.Topic)
	set(q, "q", l.Q)
	set(q, "state", l.State)
	set(q, "cursor", l.Cursor)
	if l.Limit > 0 {
		q.Set("limit", strconv.Itoa(l.Limit))
	}
	return q
}

// Ask asks a prompt; topic narrows what may answer and may be empty. A refusal
// is an answer with Responded false.
func (c *Client) Ask(ctx context.Context, prompt, topic string) (job.Answer, error) {
	in := map[string]string{"prompt": prompt}
	if topic != "" {
		in["topic"] = topic
	}
	var out struct {
		job.Answer
		ID    string `json:"id"` // of the job that goes on when the wait ran out
		Links *job.Links
	}
	if err := c.sendJSON(ctx, http.MethodPost, "/api/interact", in, &out); err != nil {
		return job.Answer{}, err
	}
	if out.ID == "" {
		return out.Answer, nil
	}
	j, err := c.Wait(ctx, out.ID, nil)
	if err != nil {
		return job.Answer{}, err
	}
	var a job.Answer
	err = json.Unmarshal(j.Result, &a)
	return a, err
}

// Teach teaches lessons; topic is that of lessons that name none. The job learns
// them; they are safe when Teach returns.
func (c *Client) Teach(ctx context.Context, topic string, lessons ...Lesson) (job.Job, error) {
	var j job.Job
	in := map[string]any{"lessons": lessons}
	if topic != "" {
		in["topic"] = topic
	}
	err := c.sendJSON(ctx, http.MethodPost, "/api/lessons", in, &j)
	return j, err
}

// ImportOptions say how a file is to be read.
type ImportOptions struct {
	Name                    string // of the file
	Prompt, Response, Topic string // columns; Topic may be a topic instead
	Encoding                string
	SkipFaulty              bool // take the good lines
}

// Preview is what a file holds.
type Preview struct {
	Format    string  `json:"format"`
	Encoding  *string `json:"encoding"`
	Delimiter *string `json:"delimiter"`
	Columns   *struct {
		Prompt   string  `json:"prompt"`
		Response string  `json:"response"`
		Topic    *string `json:"topic"`
	} `json:"columns"`
	Lessons        int `json:"lessons"`
	New            int `json:"new"`
	Known          int `json:"known"`
	Duplicates     int `json:"duplicates"`
	Contradictions []struct {
		Prompt    string    `json:"prompt"`
		Responses []*string `json:"responses"`
	} `json:"contradictions"`
	ContradictionsTotal int         `json:"contradictions_total"`
	Faults              []job.Fault `json:"faults"`
	FaultsTotal         int         `json:"faults_total"`
	Sample              []Lesson    `json:"sample"`
}

func (o ImportOptions) call(body io.Reader) call {
	q := url.Values{}
	set(q, "filename", o.Name)
	set(q, "prompt", o.Prompt)
	set(q, "response", o.Response)
	set(q, "topic", o.Topic)
	set(q, "encoding", o.Encoding)
	if o.SkipFaulty {
		q.Set("on_error", "skip")
	}
	return call{method: http.MethodPost, path: "/api/import", query: q, kind: "application/octet-stream", body: unclosed{body}}
}

// unclosed keeps net/http from closing what belongs to the caller.
type unclosed struct{ io.Reader }

// Preview tells what a file holds and stores nothing.
func (c *Client) Preview(ctx context.Context, file io.Reader, opt ImportOptions) (Preview, error) {
	r := opt.call(file)
	r.query.Set("dry_run", "true")
	var p Preview
	err := c.do(ctx, r, &p)
	return p, err
}

// Import teaches a file of any usual format.
func (c *Client) Import(ctx context.Context, file io.Reader, opt ImportOptions) (job.Job, error) {
	var j job.Job
	err := c.do(ctx, opt.call(file), &j)
	return j, err
}

// Export writes everything taught, or one topic, as ndjson, csv or json.
func (c *Client) Export(ctx context.Context, w io.Writer, format, topic string) error {
	q := url.Values{}
	set(q, "format", format)
	set(q, "topic", topic)
	res, err := c.send(ctx, call{method: http.MethodGet, path: "/api/export", query: q})
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, err = io.Copy(w, res.Body)
	return err
}

// Lessons lists lessons; next continues the list and is empty at its end.
func (c *Client) Lessons(ctx context.Context, l List) (lessons []Lesson, next string, err error) {
	var out struct {
		Lessons []Lesson `json:"lessons"`
		Next    string   `json:"next_cursor"`
	}
	err = c.get(ctx, "/api/lessons", l.query(), &out)
	return out.Lessons, out.Next, err
}

// ForgetLesson unlearns one lesson.
func (c *Client) ForgetLesson(ctx context.Context, id string) (job.Job, error) {
	var j job.Job
	err := c.do(ctx, call{method: http.MethodDelete, path: one("/api/lessons/", id)}, &j)
	return j, err
}

// ForgetTopic unlearns a topic.
func (c *Client) ForgetTopic(ctx context.Context, topic string) (job.Job, error) {
	var j job.Job
	err := c.do(ctx, call{method: http.MethodDelete, path: "/api/lessons", query: url.Values{"topic": {topic}}}, &j)
	return j, err
}

// Refusal is a group of refused prompts.
type Refusal struct {
	ID           string    `json:"id"`
	Prompt       string    `json:"prompt"`
	Topic        string    `json:"topic"`
	Reason       string    `json:"reason"`
	Count        int       `json:"count"`
	LastAt       *job.Time `json:"last_at"`
	Interactions []string  `json:"interactions"`
	Variants     []string  `json:"variants"`
	Nearest      []struct {
		LessonID   string  `json:"lesson_id"`
		Prompt     string  `json:"prompt"`
		Response   *string `json:"response"`
		Topic      string  `json:"topic"`
		Similarity float64 `json:"similarity"`
	} `json:"nearest"`
}

// Refusals lists refused prompts, the most frequent first.
func (c *Client) Refusals(ctx context.Context, cursor string) (refusals []Refusal, next string, err error) {
	q := url.Values{}
	set(q, "cursor", cursor)
	var out struct {
		Refusals []Refusal `json:"refusals"`
		Next     string    `json:"next_cursor"`
	}
	err = c.get(ctx, "/api/refusals", q, &out)
	return out.Refusals, out.Next, err
}

// DismissRefusal takes a group off the list until it is asked again.
func (c *Client) DismissRefusal(ctx context.Context, id string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: one("/api/refusals/", id)}, nil)
}

// Feedback says whether an answer or a refusal was right, and, if it was not,
// what would have been; empty says nothing of that.
func (c *Client) Feedback(ctx context.Context, interaction string, correct bool, response string) error {
	in := map[string]any{"correct": correct}
	if response != "" {
		in["response"] = response
	}
	return c.sendJSON(ctx, http.MethodPost, one("/api/interactions/", interaction, "/feedback"), in, nil)
}
