package storage

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// Lesson is a prompt and its response. In a forget operation it names what to unlearn.
// In a judge operation it is what was asked and answered.
type Lesson struct {
	Prompt string `json:"prompt"`
	// Response is nil for a taught refusal, and for a refusal that is judged.
	Response *string `json:"response"`
	Topic    string  `json:"topic,omitempty"`
	// Judgement is set in a judge operation only.
	Judgement *Judgement `json:"judgement,omitempty"`
}

// Judgement is a person's verdict on an answer or a refusal.
type Judgement struct {
	Interaction string `json:"interaction"`
	Correct     bool   `json:"correct"`
	// Right is the correct response, if the person gave one.
	Right *string `json:"right,omitempty"`
	// Confidence, Reason and Lessons (the ids of the sources) come from the
	// interaction.
	Confidence float64  `json:"confidence"`
	Reason     string   `json:"reason,omitempty"`
	Lessons    []string `json:"lessons,omitempty"`
}

// maxLessonLine limits one stored lesson in bytes: the longest prompt and response that
// the service accepts, with every character escaped.
const maxLessonLine = 1 << 20

// encode writes l as one line of JSON.
func (l Lesson) encode(b *bytes.Buffer) error {
	response := ""
	if l.Response != nil {
		response = *l.Response
	}
	if j := l.Judgement; j != nil && j.Right != nil && !utf8.ValidString(*j.Right) {
		return errors.New("store a judgement: text is not UTF-8")
	}
	if !utf8.ValidString(l.Prompt) || !utf8.ValidString(response) || !utf8.ValidString(l.Topic) {
		return errors.New("store a lesson: text is not UTF-8")
	}
	start := b.Len()
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(l); err != nil {
		return fmt.Errorf("store a lesson: %w", err)
	}
	if n := b.Len() - start; n > maxLessonLine {
		return fmt.Errorf("store a lesson of %d bytes: %w", n, ErrTooLarge)
	}
	return nil
}

func decodeLesson(line []byte) (Lesson, error) {
	var l Lesson
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&l); err != nil {
		// The error is not wrapped: an empty line gives io.EOF, which means the end to
		// readers.
		return Lesson{}, fmt.Errorf("%w: %s", ErrCorrupt, err.Error())
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Lesson{}, fmt.Errorf("%w: more than one value on a line", ErrCorrupt)
	}
	return l, nil
}
