package api

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/storage"
)

// csvLessons reads RFC 4180 with the header prompt,response[,topic]. A refusal
// cannot be taught this way: CSV has no null.
type csvLessons struct {
	guard  *recordGuard
	r      *csv.Reader
	topic  string
	column map[string]int
	line   int // on which the last good record began
	ended  bool
}

func newCSVLessons(r io.Reader, topic string) (*csvLessons, error) {
	guard := &recordGuard{r: r}
	c := &csvLessons{guard: guard, r: csv.NewReader(guard), topic: topic, column: map[string]int{}, line: 1}
	c.r.ReuseRecord = true
	c.r.FieldsPerRecord = -1
	header, err := c.r.Read()
	if errors.Is(err, io.EOF) {
		return nil, job.Errorf(job.CodeInvalid, "the body is empty; its first line must be the header prompt,response or prompt,response,topic")
	}
	if err != nil {
		if c.hopeless(err) {
			return nil, err
		}
		return nil, job.Errorf(job.CodeInvalid, "the header cannot be read: %s", csvDetail(err))
	}
	for i, name := range header {
		name = strings.ToLower(strings.TrimSpace(string(trimBOM([]byte(name)))))
		if _, twice := c.column[name]; twice || (name != "prompt" && name != "response" && name != "topic") {
			return nil, job.Errorf(job.CodeInvalid, "the header must be prompt,response or prompt,response,topic, not %q", job.Clip(strings.Join(header, ","), 120))
		}
		c.column[name] = i
	}
	for _, name := range []string{"prompt", "response"} {
		if _, ok := c.column[name]; !ok {
			return nil, job.Errorf(job.CodeInvalid, "the header has no column %s; it must be prompt,response or prompt,response,topic", name)
		}
	}
	return c, nil
}

func (c *csvLessons) next() (storage.Lesson, *job.Fault, error) {
	if c.ended {
		return storage.Lesson{}, nil, errEnd
	}
	c.guard.reset()
	record, err := c.r.Read()
	if errors.Is(err, io.EOF) {
		return storage.Lesson{}, nil, errEnd
	}
	if err != nil {
		if c.hopeless(err) {
			return storage.Lesson{}, nil, err
		}
		return storage.Lesson{}, c.fault(err), nil
	}
	line, _ := c.r.FieldPos(0)
	c.line = line
	if len(record) != len(c.column) {
		return storage.Lesson{}, &job.Fault{
			Line: line, Code: job.CodeBadLesson,
			Detail: fmt.Sprintf("%d columns, but the header has %d; text with commas belongs in double quotes", len(record), len(c.column)),
		}, nil
	}
	l, err := c.lesson(record)
	if err != nil {
		return l, faultOn(line, err), nil
	}
	return l, nil, nil
}

func (c *csvLessons) lesson(record []string) (storage.Lesson, error) {
	for _, text := range record {
		if i := invalidUTF8([]byte(text)); i >= 0 {
			return storage.Lesson{}, job.Errorf(job.CodeNotUTF8, "the line is not UTF-8")
		}
	}
	response := strings.Clone(record[c.column["response"]])
	l := storage.Lesson{Prompt: strings.Clone(record[c.column["prompt"]]), Response: &response, Topic: c.topic}
	if i, ok := c.column["topic"]; ok && record[i] != "" {
		l.Topic = strings.Clone(record[i])
	}
	if strings.TrimSpace(response) == "" {
		return l, job.Errorf(job.CodeBadLesson, "the response is empty; a refusal is taught with JSON, where the response can be null")
	}
	return l, checkLesson(l)
}

// hopeless reports whether nothing more can be read: the connection failed, or
// the body is larger than allowed.
func (c *csvLessons) hopeless(err error) bool {
	if _, ok := errors.AsType[*csv.ParseError](err); ok {
		return false
	}
	return !errors.Is(err, errRecordTooLong)
}

func (c *csvLessons) fault(err error) *job.Fault {
	if errors.Is(err, errRecordTooLong) {
		// Where the next record begins cannot be known.
		c.ended = true
		return &job.Fault{
			Line: c.line + 1, Code: job.CodeTooLarge,
			Detail: "from here on a record is longer than " + size(maxRecord) + "; is a double quote left open? Nothing after it was read",
		}
	}
	line := 0
	if e, ok := errors.AsType[*csv.ParseError](err); ok {
		line = e.StartLine
	}
	return &job.Fault{Line: line, Code: job.CodeBadLesson, Detail: csvDetail(err)}
}

func csvDetail(err error) string {
	switch {
	case errors.Is(err, csv.ErrQuote):
		return `a double quote stands where none may; within quotes it is written twice ("")`
	case errors.Is(err, csv.ErrBareQuote):
		return `a double quote stands in text that is not quoted; quote the whole column and write it twice ("")`
	}
	return "this is not CSV"
}

// maxRecord bounds one CSV record in bytes; without it an open quote would
// gather the whole upload in memory.
const maxRecord = 4 << 20

var errRecordTooLong = errors.New("a CSV record is too long")

// recordGuard counts what is read for one record.
type recordGuard struct {
	r io.Reader
	n int
}

func (g *recordGuard) reset() { g.n = 0 }

func (g *recordGuard) Read(p []byte) (int, error) {
	if g.n > maxRecord {
		return 0, errRecordTooLong
	}
	n, err := g.r.Read(p)
	g.n += n
	return n, err
}
