package api

import (
	"bytes"
	"encoding/json"
	"errors"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/storage"
)

// Limits on an upload of lessons.
const (
	maxUpload     = 256 << 20
	maxLessonJSON = 16 << 20
	// maxLine is enough for the longest prompt, response and topic with every character
	// escaped as a surrogate pair, and some white space.
	maxLine   = 1 << 20
	maxFaults = 100
)

// lessonSource yields lessons one at a time. A *job.Fault is a line that is not a
// lesson; the next call continues after it. Any other error ends the upload. io.EOF is
// the normal end.
type lessonSource interface {
	next() (taughtLesson, *job.Fault, error)
}

// taughtLesson is a lesson with what it says about the time in which its answer may be
// given.
type taughtLesson struct {
	storage.Lesson
	when when
}

// decodeLesson reads {"prompt":…,"response":…,"topic":…}. topic is the topic for
// lessons that have none.
func decodeLesson(body []byte, topic string) (taughtLesson, error) {
	var (
		l                      taughtLesson
		times                  whenFields
		hasPrompt, hasResponse bool
		prompt                 string
		own                    *string
	)
	err := decodeObject(body, append(times.fields(),
		field{name: "prompt", into: &prompt, set: &hasPrompt},
		field{name: "response", into: &l.Response, set: &hasResponse},
		field{name: "topic", into: &own})...)
	if err != nil {
		return l, err
	}
	if l.when, err = times.when(); err != nil {
		return l, err
	}
	if !hasPrompt {
		return l, job.Errorf(job.CodePromptEmpty, "the prompt is missing").On("prompt")
	}
	if !hasResponse {
		return l, job.Errorf(job.CodeInvalid, "the response is missing; null teaches a refusal").On("response")
	}
	l.Prompt, l.Topic = prompt, topic
	if own != nil {
		l.Topic = *own
	}
	return l, checkLesson(l.Lesson)
}

func checkLesson(l storage.Lesson) error {
	if err := checkPrompt(l.Prompt); err != nil {
		return err
	}
	if l.Response != nil {
		if err := checkResponse(*l.Response); err != nil {
			return err
		}
	}
	if err := checkTopic(l.Topic); err != nil {
		return err
	}
	return nil
}

// faultOn turns the error of a lesson into a fault on its line.
func faultOn(line int, err error) *job.Fault {
	e := job.AsError(err)
	code := e.Code
	if code == job.CodeInvalid {
		code = job.CodeBadLesson
	}
	return &job.Fault{Line: line, Code: code, Detail: e.Detail}
}

// jsonLessons reads {"topic":…,"lessons":[…]}. The whole body is in memory, so that the
// topic may follow the lessons; larger uploads use NDJSON. The "line" of a lesson is
// its place in the list, counted from 1.
type jsonLessons struct {
	topic   string
	lessons []json.RawMessage
	at      int
}

func newJSONLessons(body []byte) (*jsonLessons, error) {
	var (
		l     jsonLessons
		has   bool
		topic *string
	)
	err := decodeObject(body, field{name: "topic", into: &topic}, field{name: "lessons", into: &l.lessons, set: &has})
	if err != nil {
		return nil, err
	}
	if topic != nil {
		l.topic = *topic
	}
	if err := checkTopic(l.topic); err != nil {
		return nil, err
	}
	if !has {
		return nil, job.Errorf(job.CodeInvalid, `"lessons" is missing; send {"lessons": [{"prompt": "…", "response": "…"}]}`).On("lessons")
	}
	return &l, nil
}

func (l *jsonLessons) next() (taughtLesson, *job.Fault, error) {
	if l.at == len(l.lessons) {
		return taughtLesson{}, nil, errEnd
	}
	body := l.lessons[l.at]
	l.at++
	lesson, err := decodeLesson(body, l.topic)
	if err != nil {
		e := job.AsError(err)
		if e.Code == job.CodeBadJSON {
			// The position within the lesson does not help the author of the body.
			e = job.Errorf(job.CodeBadJSON, "a lesson is an object with prompt, response and, if wanted, topic")
		}
		return lesson, faultOn(l.at, e), nil
	}
	return lesson, nil, nil
}

var errEnd = errors.New("end of lessons")

var utf8BOM = []byte("\xef\xbb\xbf")

// trimBOM removes the mark that some editors put before UTF-8.
func trimBOM(b []byte) []byte { return bytes.TrimPrefix(b, utf8BOM) }
