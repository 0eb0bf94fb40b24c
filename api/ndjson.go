package api

import (
	"bufio"
	"bytes"
	"errors"
	"io"

	"github.com/nexus-continuum/nexus/job"
)

// ndjsonLessons reads one lesson a line and holds one line in memory. It skips empty
// lines.
type ndjsonLessons struct {
	lines lineReader
	topic string
}

func newNDJSONLessons(r io.Reader, topic string) *ndjsonLessons {
	return &ndjsonLessons{lines: lineReader{r: bufio.NewReaderSize(r, 64<<10)}, topic: topic}
}

func (n *ndjsonLessons) next() (taughtLesson, *job.Fault, error) {
	for {
		line, tooLong, err := n.lines.next()
		switch {
		case errors.Is(err, io.EOF):
			return taughtLesson{}, nil, errEnd
		case err != nil:
			return taughtLesson{}, nil, err
		case tooLong:
			return taughtLesson{}, &job.Fault{Line: n.lines.number, Code: job.CodeTooLarge, Detail: "the line is longer than " + size(maxLine)}, nil
		case len(bytes.TrimSpace(line)) == 0:
			continue
		}
		lesson, err := decodeLesson(line, n.topic)
		if err != nil {
			return taughtLesson{}, faultOn(n.lines.number, err), nil
		}
		return lesson, nil, nil
	}
}

// lineReader splits its input into lines and never holds more than maxLine bytes of
// one.
type lineReader struct {
	r      *bufio.Reader
	number int
	buf    []byte
}

// next returns the next line without its end. If the line is too long, next skips the
// rest of it and tooLong is true. The bytes are valid until the next call.
func (l *lineReader) next() (line []byte, tooLong bool, err error) {
	l.buf = l.buf[:0]
	for {
		part, err := l.r.ReadSlice('\n')
		if !tooLong && len(l.buf)+len(part) <= maxLine {
			l.buf = append(l.buf, part...)
		} else {
			tooLong = true
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && !errors.Is(err, io.EOF):
			return nil, false, err
		case err != nil && len(l.buf) == 0 && !tooLong:
			return nil, false, io.EOF
		}
		l.number++
		line := bytes.TrimSuffix(bytes.TrimSuffix(l.buf, []byte("\n")), []byte("\r"))
		if l.number == 1 {
			line = trimBOM(line)
		}
		return line, tooLong, nil
	}
}
