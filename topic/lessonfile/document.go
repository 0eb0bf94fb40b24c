package lessonfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"github.com/nexus-continuum/nexus/job"
)

// document reads one JSON value as a stream: a list of lessons, or an object
// that holds one, at any place down to maxDepth.
type document struct {
	guard   *recordGuard
	d       *json.Decoder
	opt     Options
	file    *File
	depth   []bool // of what is open: true for a list of lessons
	place   int
	topic   string // of lessons that name none, if the file says one
	waiting []Lesson
	failed  error
}

const maxDepth = 5

func newDocument(r io.Reader, opt Options) (*File, error) {
	doc := &document{guard: &recordGuard{r: r}, opt: opt}
	doc.d = json.NewDecoder(doc.guard)
	doc.file = &File{Format: FormatJSON, next: doc.next}
	// The first element shows the fields.
	first, wrong, err := doc.next()
	if errors.Is(err, io.EOF) {
		return nil, unreadable("the JSON holds no list of questions and answers; send [{\"prompt\": \"…\", \"response\": \"…\"}]")
	}
	if err != nil {
		return nil, err
	}
	held := true
	doc.file.next = func() (Lesson, *job.Fault, error) {
		if held {
			held = false
			return first, wrong, nil
		}
		return doc.next()
	}
	return doc.file, nil
}

func (doc *document) next() (Lesson, *job.Fault, error) {
	for {
		if len(doc.waiting) > 0 {
			l := doc.waiting[0]
			doc.waiting = doc.waiting[1:]
			l.Line = doc.place
			if l.Topic == "" {
				l.Topic = doc.topic
			}
			return l, nil, nil
		}
		if doc.failed != nil {
			return Lesson{}, nil, doc.failed
		}
		doc.guard.reset()
		if f, err := doc.step(); err != nil {
			doc.failed = err
		} else if f != nil {
			return Lesson{}, f, nil
		}
	}
}

// step reads one token, or one element of a list of lessons.
func (doc *document) step() (*job.Fault, error) {
	inList := len(doc.depth) > 0 && doc.depth[len(doc.depth)-1]
	if inList && doc.d.More() {
		var v json.RawMessage
		if err := doc.d.Decode(&v); err != nil {
			return nil, doc.broken(err)
		}
		if v = bytes.TrimSpace(v); v[0] != '{' && v[0] != '[' {
			return nil, nil // a list of something else, such as tags
		}
		doc.place++
		var wrong string
		if doc.waiting, wrong = lessonsOf(v, doc.opt, &doc.file.Columns); wrong != "" {
			return fault(doc.place, "%s", wrong), nil
		}
		return nil, nil
	}
	t, err := doc.d.Token()
	if errors.Is(err, io.EOF) && len(doc.depth) == 0 {
		return nil, io.EOF
	}
	if err != nil {
		return nil, doc.broken(err)
	}
	switch t {
	case json.Delim('['):
		return nil, doc.open(true)
	case json.Delim('{'):
		return nil, doc.open(false)
	case json.Delim(']'), json.Delim('}'):
		doc.depth = doc.depth[:len(doc.depth)-1]
		return nil, nil
	}
	name, ok := t.(string)
	if !ok || len(doc.depth) == 0 {
		return nil, nil
	}
	return nil, doc.named(name)
}

func (doc *document) open(list bool) error {
	if len(doc.depth) == maxDepth {
		return unreadable("the JSON is nested too deeply; send a list of {\"prompt\": \"…\", \"response\": \"…\"}")
	}
	doc.depth = append(doc.depth, list)
	return nil
}

// named looks at a member of an object. Lists and objects are gone into; a text
// is the answer to its name, as in {"question": "answer"}, or the topic of all.
func (doc *document) named(name string) error {
	// The decoder gives no look ahead, so what is small is read as a whole.
	t, err := doc.d.Token()
	if err != nil {
		return doc.broken(err)
	}
	switch v := t.(type) {
	case json.Delim:
		return doc.open(v == '[')
	case string:
		switch {
		case plain(name) == "topic":
			doc.topic = v
		case strings.ContainsAny(strings.TrimSpace(name), " ?") && strings.TrimSpace(v) != "":
			doc.place++
			doc.waiting = []Lesson{{Prompt: name, Response: &v, Topic: doc.opt.Topic}}
		}
	}
	return nil
}

func (doc *document) broken(err error) error {
	if errors.Is(err, errRecordTooLong) {
		return unreadable("an element of the JSON is longer than %d MiB", maxRecord>>20)
	}
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return unreadable("the JSON is broken behind element %d, at byte %d: %s", doc.place, e.Offset, strings.TrimPrefix(e.Error(), "json: "))
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return unreadable("the JSON ends too early, behind element %d", doc.place)
	}
	return err
}

// isObject reports whether v is a JSON object.
func isObject(v []byte) bool {
	v = bytes.TrimSpace(v)
	return len(v) > 0 && v[0] == '{'
}
