package teacher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/topic"
)

const (
	// shownPhrasings is how many known questions the model sees.
	shownPhrasings = 20
	// shownChars is how much of a long answer it sees.
	shownChars = 4000
)

// questionsSchema describes phrasings to servers that can hold a model to it.
var questionsSchema = json.RawMessage(`{"type":"object","additionalProperties":false,"required":["questions"],"properties":{"questions":{"type":"array","items":{"type":"string"}}}}`)

const phrasingInstructions = `You write other ways to ask for an answer of a service that answers questions with fixed answers, word for word.
You are given the answer and questions that lead to it. Write questions in the language of those, as people would really ask: full sentences, short ones, other words.
The answer must be a complete and right answer to each question. Ask for nothing else, and repeat none of the given questions.
Reply with JSON only: {"questions":["…"]}`

// Phrasings are other questions that the answer fits; known are those that lead to it
// already. Errors are as those of Lessons.
func (t *Teacher) Phrasings(ctx context.Context, answer string, known []string) ([]string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "Answer: %s\nQuestions that are known:\n", job.Clip(answer, shownChars))
	for _, q := range known[:min(len(known), shownPhrasings)] {
		fmt.Fprintf(&b, "- %s\n", q)
	}
	fmt.Fprintf(&b, "Write %d more.", Phrasings)
	text, err := t.ask(ctx, "phrasings", questionsSchema, phrasingInstructions, b.String(), "give the model more tokens")
	if err != nil {
		return nil, err
	}
	out, err := readQuestions(text, known)
	if err != nil {
		return nil, fmt.Errorf("read what the teacher %s at %s wrote: %w", t.opt.Model, t.host, err)
	}
	return out, nil
}

// readQuestions takes new questions out of what a model wrote.
func readQuestions(text string, known []string) ([]string, error) {
	var written struct {
		Questions []string `json:"questions"`
	}
	if err := parse(text, &written); err != nil {
		return nil, err
	}
	if len(written.Questions) == 0 {
		return nil, errors.New("it holds no question")
	}
	seen := questions{}
	for _, q := range known {
		seen[topic.Normalise(q)] = true
	}
	var out []string
	for _, q := range written.Questions {
		if q, ok := seen.add(q); ok {
			out = append(out, q)
		}
	}
	return out, nil
}
