package api

import (
	"errors"
	"io"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/topic/lessonfile"
)

// newCSVLessons reads a table as a stream. A header that it does not understand is an
// error of the request. POST /api/import reads the whole file first instead.
func newCSVLessons(r io.Reader, opt lessonfile.Options, topic string) (lessonSource, error) {
	f, err := lessonfile.NewTable(r, opt)
	if e, ok := errors.AsType[*job.Error](err); ok && e.Code == job.CodeBadFile {
		e.Code = job.CodeInvalid
		return nil, e
	}
	if err != nil {
		return nil, err
	}
	return &tableLessons{fileLessons{f}, topic}, nil
}

// tableLessons sets the topic of the upload on lessons without a topic.
type tableLessons struct {
	fileLessons
	topic string
}

func (t *tableLessons) next() (taughtLesson, *job.Fault, error) {
	l, fault, err := t.fileLessons.next()
	if l.Topic == "" {
		l.Topic = t.topic
	}
	return l, fault, err
}
