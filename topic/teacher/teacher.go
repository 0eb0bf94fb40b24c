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
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sashabaranov/go-openai"

	"github.com/nexus-continuum/nexus/internal/modelserver"
	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/topic"
)

// What errors of Lessons wrap.
var (
	ErrRefused = modelserver.ErrRefused
	ErrAway    = modelserver.ErrAway
)

// role names the server in what people read.
var role = modelserver.Role{API: "a chat API", Setting: "NEXUS_TEACHER"}

// Phrasings is how many phrasings of each question are asked for.
const Phrasings = 5

// Options say whom to ask, and for how much. All but APIKey and HTTP are needed.
type Options struct {
	// URL is the base of the API, such as http://localhost:11434/v1.
	URL    string
	Model  string
	APIKey string
	// Answers is how many different answers are asked for.
	Answers int
	// Timeout is how long one request may take.
	Timeout time.Duration
	HTTP    *http.Client // nil: http.DefaultTransport
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
	if opt.Model == "" || opt.Answers < 1 || opt.Timeout <= 0 {
		return nil, fmt.Errorf("teacher: a model, answers and a timeout are needed; they are %q, %d and %s", opt.Model, opt.Answers, opt.Timeout)
	}
	return &Teacher{opt: opt, client: modelserver.Connect(base, opt.APIKey, opt.HTTP), host: base.Host}, nil
}

// CheckURL reads the base of an API.
func CheckURL(s string) (*url.URL, error) { return role.CheckURL(s) }

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
	text, err := t.ask(ctx, "lessons", schema, instructions, fmt.Sprintf("Topic: %s\nWrite %d answers with %d questions each.", about, t.opt.Answers, Phrasings),
		"ask for fewer answers (NEXUS_TEACHER_ANSWERS) or give the model more tokens")
	if err != nil {
		return nil, err
	}
	out, err := read(text)
	if err != nil {
		return nil, fmt.Errorf("read what the teacher %s at %s wrote: %w", t.opt.Model, t.host, err)
	}
	return out, nil
}

// ask has the model write JSON by a schema. remedy says what to do when the text is cut
// off.
func (t *Teacher) ask(ctx context.Context, name string, schema json.RawMessage, system, user, remedy string) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, t.opt.Timeout, fmt.Errorf("no answer within %s", t.opt.Timeout))
	defer cancel()
	reply, err := t.client.CreateChatCompletion(ctx, openai.ChatCompletionRequest{
		Model: t.opt.Model,
		Messages: []openai.ChatCompletionMessage{
			{Role: openai.ChatMessageRoleSystem, Content: system},
			{Role: openai.ChatMessageRoleUser, Content: user},
		},
		ResponseFormat: &openai.ChatCompletionResponseFormat{
			Type:       openai.ChatCompletionResponseFormatTypeJSONSchema,
			JSONSchema: &openai.ChatCompletionResponseFormatJSONSchema{Name: name, Schema: schema, Strict: true},
		},
	})
	if err != nil {
		return "", fmt.Errorf("ask the teacher %s at %s: %w", t.opt.Model, t.host, role.Explain(ctx, err))
	}
	if len(reply.Choices) == 0 {
		return "", fmt.Errorf("ask the teacher %s at %s: its answer is empty", t.opt.Model, t.host)
	}
	first := reply.Choices[0]
	if first.FinishReason == openai.FinishReasonLength {
		return "", fmt.Errorf("ask the teacher %s at %s: %w: its answer was cut off; %s", t.opt.Model, t.host, ErrRefused, remedy)
	}
	return first.Message.Content, nil
}

// parse reads the JSON object in what a model wrote: models without a schema put words
// or a fence around it.
func parse(text string, into any) error {
	from, to := strings.IndexByte(text, '{'), strings.LastIndexByte(text, '}')
	if from < 0 || to < from {
		return errors.New("it holds no JSON")
	}
	if err := json.Unmarshal([]byte(text[from:to+1]), into); err != nil {
		return fmt.Errorf("it is not the JSON that was asked for: %w", err)
	}
	return nil
}

// questions are the forms of questions that were seen.
type questions map[string]bool

// add trims a question. It returns false where it was seen before, or cannot be taught.
func (seen questions) add(q string) (trimmed string, ok bool) {
	q = strings.TrimSpace(q)
	form := topic.Normalise(q)
	if form == "" || seen[form] || utf8.RuneCountInString(q) > job.MaxPromptChars || job.Misleading(q) != "" {
		return q, false
	}
	seen[form] = true
	return q, true
}

// read takes lessons out of what a model wrote.
func read(text string) ([]topic.Lesson, error) {
	var written lessons
	if err := parse(text, &written); err != nil {
		return nil, err
	}
	var out []topic.Lesson
	seen := questions{}
	for _, l := range written.Lessons {
		answer := strings.TrimSpace(l.Answer)
		if answer == "" || utf8.RuneCountInString(answer) > job.MaxResponseChars || job.Misleading(answer) != "" {
			continue
		}
		for _, q := range l.Questions {
			// A question that fits two answers would be a contradiction.
			if q, ok := seen.add(q); ok {
				out = append(out, topic.Lesson{Prompt: q, Response: answer})
			}
		}
	}
	if len(out) == 0 {
		return nil, errors.New("it holds no lesson")
	}
	return out, nil
}
