// Package teacher has a large language model write lessons about a topic. It
// speaks the chat API of OpenAI, which most servers of such models offer,
// those on one's own machine too. What the model writes is taught and never
// answered with directly, so that it can be read, and unlearned, like any lesson.
package teacher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sashabaranov/go-openai"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/topic"
)

// What errors of Lessons wrap.
var (
	// ErrRefused: asking again would not help. The key is wrong, the model unknown,
	// or the server does not take the request.
	ErrRefused = errors.New("refused")
	// ErrAway: the server cannot be reached, is overloaded or out of order.
	ErrAway = errors.New("away")
)

// Bounds of one request.
const (
	// Phrasings is how many phrasings of each question are asked for.
	Phrasings = 5
	// maxReply bounds the bytes that are read of an answer.
	maxReply = 16 << 20
)

// Options say whom to ask, and for how much. All but APIKey and HTTP are needed.
type Options struct {
	// URL is the base of the API, such as http://localhost:11434/v1.
	URL    string
	Model  string
	APIKey string
	// Answers is how many different answers are asked for.
	Answers int
	// Patience is how long one request may take.
	Patience time.Duration
	HTTP     *http.Client // nil: http.DefaultTransport
}

// Teacher writes lessons. Its methods may be called by several goroutines.
type Teacher struct {
	opt    Options
	client *openai.Client
	host   string
}

// New makes a teacher; nothing is asked yet.
func New(opt Options) (*Teacher, error) {
	base, err := CheckURL(opt.URL)
	if err != nil {
		return nil, err
	}
	if opt.Model == "" || opt.Answers < 1 || opt.Patience <= 0 {
		return nil, fmt.Errorf("teacher: a model, answers and patience are needed; they are %q, %d and %s", opt.Model, opt.Answers, opt.Patience)
	}
	if opt.HTTP == nil {
		opt.HTTP = &http.Client{}
	}
	config := openai.DefaultConfig(opt.APIKey)
	config.BaseURL = strings.TrimSuffix(opt.URL, "/")
	config.HTTPClient = bounded{opt.HTTP}
	return &Teacher{opt: opt, client: openai.NewClientWithConfig(config), host: base.Host}, nil
}

// CheckURL reads the base of an API.
func CheckURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("must be the base of a chat API, such as https://api.openai.com/v1 or http://localhost:11434/v1")
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("must have neither a user, a query nor a fragment; a key comes by NEXUS_TEACHER_API_KEY")
	}
	return u, nil
}

// Name tells which model writes.
func (t *Teacher) Name() string { return t.opt.Model }

// lessons is what the model is to write.
type lessons struct {
	Lessons []struct {
		Answer    string   `json:"answer"`
		Questions []string `json:"questions"`
	} `json:"lessons"`
}

// schema describes lessons to servers that can hold a model to it.
var schema = json.RawMessage(`{"type":"object","additionalProperties":false,"required":["lessons"],"properties":{"lessons":{"type":"array","items":{
"type":"object","additionalProperties":false,"required":["answer","questions"],"properties":{"answer":{"type":"string"},
"questions":{"type":"array","items":{"type":"string"}}}}}}}`)

const instructions = `You write lessons for a service that answers questions with fixed answers, word for word, and refuses all others.
Write only what is well established and will stay true; leave out what you are not certain of. Each answer is one or two complete sentences that can stand alone.
The questions of an answer are different ways in which people would really ask for just that: full sentences, short ones, other words. No question may fit two answers.
Reply with JSON only: {"lessons":[{"answer":"…","questions":["…"]}]}`

// Lessons are lessons about a topic, each question once. Errors that wrap neither
// ErrRefused nor ErrAway are of what the model wrote, or that it did not in time.
func (t *Teacher) Lessons(ctx context.Context, about string) ([]topic.Lesson, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, t.opt.Patience, fmt.Errorf("no answer within %s", t.opt.Patience))
	defer cancel()
	reply, err := t.client.CreateChatCompletion(ctx, openai.ChatCompletionRequest{
		Model: t.opt.Model,
		Messages: []openai.ChatCompletionMessage{
			{Role: openai.ChatMessageRoleSystem, Content: instructions},
			{Role: openai.ChatMessageRoleUser, Content: fmt.Sprintf("Topic: %s\nWrite %d answers with %d questions each.", about, t.opt.Answers, Phrasings)},
		},
		ResponseFormat: &openai.ChatCompletionResponseFormat{
			Type:       openai.ChatCompletionResponseFormatTypeJSONSchema,
			JSONSchema: &openai.ChatCompletionResponseFormatJSONSchema{Name: "lessons", Schema: schema, Strict: true},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("ask the teacher %s at %s: %w", t.opt.Model, t.host, t.explain(ctx, err))
	}
	if len(reply.Choices) == 0 {
		return nil, fmt.Errorf("ask the teacher %s at %s: its answer is empty", t.opt.Model, t.host)
	}
	first := reply.Choices[0]
	if first.FinishReason == openai.FinishReasonLength {
		return nil, fmt.Errorf("ask the teacher %s at %s: %w: its answer was cut off; ask for fewer answers (NEXUS_TEACHER_ANSWERS) or give the model more tokens", t.opt.Model, t.host, ErrRefused)
	}
	out, err := read(first.Message.Content)
	if err != nil {
		return nil, fmt.Errorf("read what the teacher %s at %s wrote: %w", t.opt.Model, t.host, err)
	}
	return out, nil
}

// explain finds out what an error means.
func (t *Teacher) explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	status := 0
	if e, ok := errors.AsType[*openai.APIError](err); ok {
		status, err = e.HTTPStatusCode, fmt.Errorf("%s: %s", e.HTTPStatus, job.Clip(e.Message, maxMessage))
	} else if e, ok := errors.AsType[*openai.RequestError](err); ok {
		status, err = e.HTTPStatusCode, fmt.Errorf("%s: %s", e.HTTPStatus, job.Clip(strings.TrimSpace(string(e.Body)), maxMessage))
	} else if _, ok := errors.AsType[*url.Error](err); !ok {
		return err // the body is not what it should be
	}
	switch {
	case status == http.StatusRequestTimeout, status == http.StatusConflict, status == http.StatusTooManyRequests:
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return fmt.Errorf("%w: %w; check NEXUS_TEACHER_API_KEY", ErrRefused, err)
	case status == http.StatusNotFound:
		return fmt.Errorf("%w: %w; check NEXUS_TEACHER_URL and NEXUS_TEACHER_MODEL", ErrRefused, err)
	case status >= 400 && status < 500:
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return fmt.Errorf("%w: %w", ErrAway, err)
}

// maxMessage bounds what is passed on of a server's own words, in characters.
const maxMessage = 300

// read takes lessons out of what a model wrote: models without a schema put
// words or a fence around them.
func read(text string) ([]topic.Lesson, error) {
	from, to := strings.IndexByte(text, '{'), strings.LastIndexByte(text, '}')
	if from < 0 || to < from {
		return nil, errors.New("it holds no JSON")
	}
	var written lessons
	if err := json.Unmarshal([]byte(text[from:to+1]), &written); err != nil {
		return nil, fmt.Errorf("it is not the JSON that was asked for: %w", err)
	}
	var out []topic.Lesson
	seen := map[string]bool{}
	for _, l := range written.Lessons {
		answer := strings.TrimSpace(l.Answer)
		if answer == "" || utf8.RuneCountInString(answer) > job.MaxResponseChars {
			continue
		}
		for _, q := range l.Questions {
			q = strings.TrimSpace(q)
			form := topic.Normalise(q)
			// A question that fits two answers would be a contradiction.
			if form == "" || seen[form] || utf8.RuneCountInString(q) > job.MaxPromptChars {
				continue
			}
			seen[form] = true
			out = append(out, topic.Lesson{Prompt: q, Response: answer})
		}
	}
	if len(out) == 0 {
		return nil, errors.New("it holds no lesson")
	}
	return out, nil
}

// bounded reads so much of an answer and no more.
type bounded struct{ client *http.Client }

// Do implements openai.HTTPDoer.
func (b bounded) Do(r *http.Request) (*http.Response, error) {
	res, err := b.client.Do(r)
	if err != nil {
		return nil, err
	}
	res.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(res.Body, maxReply), res.Body}
	return res, nil
}
