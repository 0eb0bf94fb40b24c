// Package topictest holds prompts that test what a model makes of the pack
// general_knowledge. None of them is taught by the pack.
package topictest

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/nexus-continuum/nexus/topic"
)

//go:embed testdata
var data embed.FS

// Foreign is a prompt that the pack general_knowledge cannot answer.
type Foreign struct {
	Prompt string `json:"prompt"`
	// Sort says what kind of prompt it is: support, gibberish, german, …
	Sort string `json:"sort"`
}

// Heldout gives further phrasings of questions that general_knowledge teaches,
// each with the exact response that is right.
func Heldout() ([]topic.Lesson, error) {
	return read[topic.Lesson]("general_knowledge.heldout")
}

// ForeignPrompts gives prompts of other subjects, in other languages, of no
// meaning or of next to no words: all of them are to be refused.
func ForeignPrompts() ([]Foreign, error) {
	return read[Foreign]("foreign")
}

// UnknownEntities gives prompts in the words of general_knowledge about
// something that it does not teach (“capital of Wakanda”): all of them are to
// be refused. Sort is "invented" or "untaught".
func UnknownEntities() ([]Foreign, error) {
	return read[Foreign]("unknown_entity")
}

// read decodes one NDJSON file.
func read[T any](name string) ([]T, error) {
	body, err := data.ReadFile("testdata/" + name + ".ndjson")
	if err != nil {
		return nil, fmt.Errorf("read test prompts %s: %w", name, err)
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	var all []T
	for {
		var one T
		err := decoder.Decode(&one)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("decode test prompt %d of %s: %w", len(all)+1, name, err)
		}
		all = append(all, one)
	}
}
