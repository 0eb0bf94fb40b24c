package topic

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/nexus-continuum/nexus/job"
)

// SyntaxError is a fault in a pack file. Its text names the place and says what
// would be right.
type SyntaxError struct {
	File string
	// Line counts from 1; 0 stands for the pack as a whole.
	Line   int
	Detail string
}

// Error gives “file:line: detail”.
func (e *SyntaxError) Error() string {
	if e.Line == 0 {
		return e.File + ": " + e.Detail
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Detail)
}

// limits bound what one pack may hold, so that a wrong file in the folder
// cannot fill the memory.
type limits struct {
	bytes   int64
	lessons int
}

// standardLimits are far above what people write by hand; larger collections
// go through the lessons API, which streams.
func standardLimits() limits {
	return limits{bytes: 64 << 20, lessons: 200_000}
}

// maxLineBytes holds the longest answer that the API takes, in code points of
// up to four bytes, with its mark.
const maxLineBytes = 4*job.MaxResponseChars + 16

// Read reads one pack from r. Faults are *SyntaxError values that call the
// input name; other errors come from r.
func Read(name string, r io.Reader) (Pack, error) {
	if err := checkName(name); err != nil {
		return Pack{}, err
	}
	p := newReader(name, standardLimits())
	if err := p.file(name, r); err != nil {
		return Pack{}, err
	}
	return p.finish()
}

// place is where something stands, for messages about doubles.
type place struct {
	file string
	line int
}

func (p place) String() string { return fmt.Sprintf("%s:%d", p.file, p.line) }

// question is a prompt already read.
type question struct {
	place
	answer int // ordinal of its answer
}

// reader builds one pack from one or more files.
type reader struct {
	pack   Pack
	limits limits
	left   int64 // bytes that may still be read
	seen   map[string]question
	header map[string]place

	at        place
	answers   int
	response  string // the answer that the next phrasings belong to
	begun     place  // where it stands
	open      bool   // an answer has begun in this file
	phrasings int    // of that answer
}

func newReader(name string, l limits) *reader {
	return &reader{
		pack:   Pack{Name: name},
		limits: l,
		left:   l.bytes,
		seen:   make(map[string]question),
		header: make(map[string]place),
	}
}

// file reads one file to its end; an answer does not go on in the next one.
func (p *reader) file(name string, r io.Reader) error {
	p.at = place{file: name}
	p.open = false
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLineBytes)
	for lines.Scan() {
		p.at.line++
		raw := lines.Bytes()
		if p.left -= int64(len(raw)) + 1; p.left < 0 {
			return p.fault("the pack is larger than %d bytes; teach so much through the lessons API", p.limits.bytes)
		}
		if p.at.line == 1 {
			// Editors on Windows put a byte order mark in front.
			raw = bytes.TrimPrefix(raw, []byte("\uFEFF"))
		}
		if !utf8.Valid(raw) {
			return p.fault("not UTF-8; save the file as UTF-8 text")
		}
		if err := p.line(strings.TrimRightFunc(string(raw), unicode.IsSpace)); err != nil {
			return err
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		p.at.line++
		return p.fault("the line is longer than %d bytes; break a long answer into several lines that begin with “|”", maxLineBytes)
	} else if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return p.closeAnswer()
}

func (p *reader) line(text string) error {
	if i := strings.IndexFunc(text, isBadControl); i >= 0 {
		return p.fault("control character %U; a pack holds text only", []rune(text[i:])[0])
	}
	if what := job.Misleading(text); what != "" {
		return p.fault("the line holds %s; remove it", what)
	}
	if text == "" || text[0] == '#' {
		return nil
	}
	mark, rest := text[0], text[1:]
	if mark != '=' && mark != '|' && mark != '?' {
		return p.headerLine(text)
	}
	if rest != "" && rest[0] != ' ' && rest[0] != '\t' {
		return p.fault("no space after “%c”; write “%c %s”", mark, mark, excerpt(rest))
	}
	rest = strings.TrimSpace(rest)
	switch mark {
	case '=':
		return p.answerLine(rest)
	case '|':
		return p.continuation(rest)
	default:
		return p.phrasing(rest)
	}
}

func (p *reader) headerLine(text string) error {
	key, value, found := strings.Cut(text, ":")
	field, known := map[string]*string{
		"title":       &p.pack.Title,
		"description": &p.pack.Description,
		"licence":     &p.pack.Licence,
	}[key]
	switch {
	case p.open:
		return p.fault("%q is no line of a pack; after the first answer a line begins with “=”, “|”, “?” or “#”", excerpt(text))
	case !found || !known:
		return p.fault("%q is no line of a pack; write “title: …”, “description: …”, “licence: …”, or begin an answer with “= ”", excerpt(text))
	}
	if old, twice := p.header[key]; twice {
		return p.fault("a second %s; the first is at %s, keep one", key, old)
	}
	value = strings.TrimSpace(value)
	if value == "" {
		return p.fault("%s is empty; write it after the colon or leave the line out", key)
	}
	*field, p.header[key] = value, p.at
	return nil
}

func (p *reader) answerLine(text string) error {
	if err := p.closeAnswer(); err != nil {
		return err
	}
	if text == "" {
		return p.fault("an answer without text; write it after “= ”")
	}
	p.answers++
	p.response, p.begun, p.open, p.phrasings = text, p.at, true, 0
	return p.checkResponse()
}

func (p *reader) continuation(text string) error {
	switch {
	case !p.open:
		return p.fault("“|” goes on with an answer, and none has begun; begin it with “= ”")
	case p.phrasings > 0:
		return p.fault("“|” after a phrasing; put it between the line with “=” and the first “?”")
	}
	p.response += "\n" + text
	return p.checkResponse()
}

func (p *reader) checkResponse() error {
	if n := utf8.RuneCountInString(p.response); n > job.MaxResponseChars {
		return p.fault("the answer has more than %d characters; shorten it", job.MaxResponseChars)
	}
	return nil
}

func (p *reader) phrasing(text string) error {
	key := Normalise(text)
	switch {
	case !p.open:
		return p.fault("a phrasing without an answer; put the answer above it, after “= ”")
	case key == "":
		return p.fault("a phrasing without words; write a question after “? ”")
	case utf8.RuneCountInString(text) > job.MaxPromptChars:
		return p.fault("the phrasing has more than %d characters; shorten it", job.MaxPromptChars)
	case len(p.pack.Lessons) >= p.limits.lessons:
		return p.fault("the pack has more than %d lessons; teach so many through the lessons API", p.limits.lessons)
	}
	if old, twice := p.seen[key]; twice {
		if old.answer == p.answers {
			return p.fault("%q stands at %s already; leave one out", excerpt(text), old)
		}
		return p.fault("%q has another answer at %s; a question has one answer, remove one or word it differently", excerpt(text), old)
	}
	p.seen[key] = question{place: p.at, answer: p.answers}
	p.pack.Lessons = append(p.pack.Lessons, Lesson{Prompt: text, Response: p.response})
	p.phrasings++
	return nil
}

// closeAnswer ends the answer that is open, if any.
func (p *reader) closeAnswer() error {
	if p.open && p.phrasings == 0 {
		p.at = p.begun
		return p.fault("an answer without a phrasing; add at least one line that begins with “? ” below it")
	}
	return nil
}

// finish checks the pack as a whole.
func (p *reader) finish() (Pack, error) {
	p.at.line = 0
	if p.pack.Title == "" {
		return Pack{}, p.fault("no title; write “title: …” above the first answer")
	}
	if len(p.pack.Lessons) == 0 {
		return Pack{}, p.fault("no lesson; write an answer after “= ” and its phrasings after “? ”")
	}
	return p.pack, nil
}

func (p *reader) fault(format string, args ...any) error {
	return &SyntaxError{File: p.at.file, Line: p.at.line, Detail: fmt.Sprintf(format, args...)}
}

func isBadControl(r rune) bool { return unicode.IsControl(r) && r != '\t' }

// excerpt keeps messages short.
func excerpt(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}
