package lessonfile

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/nexus-continuum/nexus/job"
)

// member is a field of a JSON object, in the order of the file.
type member struct {
	name  string
	value json.RawMessage
}

func members(body []byte) ([]member, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("not an object")
	}
	var out []member
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		name, _ := t.(string)
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			return nil, err
		}
		out = append(out, member{name, v})
	}
	_, err := d.Token()
	return out, err
}

// lessonsOf reads what one element of a list teaches: an object with a question
// and an answer, or a pair.
func lessonsOf(body []byte, opt Options, columns **Columns) ([]Lesson, string) {
	body = bytes.TrimSpace(body)
	if len(body) == 0 {
		return nil, "it is empty"
	}
	if body[0] == '[' {
		var pair []string
		if err := json.Unmarshal(body, &pair); err != nil || len(pair) < 2 {
			return nil, "a pair of a question and an answer is expected"
		}
		var out []Lesson
		for i := 0; i+1 < len(pair); i += 2 {
			out = append(out, Lesson{Prompt: pair[i], Response: &pair[i+1], Topic: opt.Topic})
		}
		return out, ""
	}
	all, err := members(body)
	if err != nil {
		return nil, "an object with a question and an answer is expected"
	}
	if turns := messagesOf(all); turns != nil {
		return pairsOf(turns, opt)
	}
	header := make([]string, len(all))
	for i, m := range all {
		header[i] = m.name
	}
	c, miss := choose(header, opt)
	if miss != "" || !c.found() {
		return nil, unchosen(header, c, miss, opt).Error()
	}
	if *columns == nil {
		*columns = c.columns(header)
	}
	prompts := texts(all[c.prompt].value)
	if len(prompts) == 0 {
		return nil, fmt.Sprintf("%q holds no text", all[c.prompt].name)
	}
	topic := opt.Topic
	if c.topic >= 0 {
		if t := texts(all[c.topic].value); len(t) > 0 {
			topic = strings.TrimSpace(t[0])
		}
	}
	var response *string
	if v := bytes.TrimSpace(all[c.response].value); !bytes.Equal(v, []byte("null")) {
		answers := texts(v)
		if len(answers) == 0 {
			return nil, fmt.Sprintf("%q holds no text; null teaches a refusal", all[c.response].name)
		}
		response = &answers[0]
	}
	said := func(i int) string {
		if i < 0 {
			return ""
		}
		return strings.Trim(string(bytes.TrimSpace(all[i].value)), `"`)
	}
	out := make([]Lesson, len(prompts))
	for i, p := range prompts {
		out[i] = Lesson{Prompt: p, Response: response, Topic: topic}
		if wrong := out[i].when(said(c.draft), without(said(c.from)), without(said(c.until))); wrong != "" {
			return nil, wrong
		}
	}
	return out, ""
}

// without is text, and nothing for null.
func without(text string) string {
	if text == "null" {
		return ""
	}
	return text
}

// texts reads a text, a number, or a list of them; of objects in a list their
// text.
func texts(v json.RawMessage) []string {
	v = bytes.TrimSpace(v)
	if len(v) == 0 {
		return nil
	}
	switch v[0] {
	case '"':
		var s string
		if json.Unmarshal(v, &s) != nil || strings.TrimSpace(s) == "" {
			return nil
		}
		return []string{s}
	case '[':
		var list []json.RawMessage
		if json.Unmarshal(v, &list) != nil {
			return nil
		}
		var out []string
		for _, e := range list {
			if e = bytes.TrimSpace(e); len(e) > 0 && e[0] != '[' { // no lists in lists
				out = append(out, texts(e)...)
			}
		}
		return out
	case '{':
		all, err := members(v)
		if err != nil {
			return nil
		}
		for _, name := range []string{"text", "value", "answer", "question", "content"} {
			for _, m := range all {
				if m.name == name && len(m.value) > 0 && m.value[0] == '"' {
					return texts(m.value)
				}
			}
		}
		return nil
	case 'n', 't', 'f':
		return nil
	}
	return []string{string(v)}
}

// turn is one message of a chat.
type turn struct {
	user, assistant bool
	text            string
}

func messagesOf(all []member) []turn {
	for _, m := range all {
		if m.name != "messages" && m.name != "conversations" && m.name != "conversation" {
			continue
		}
		var list []struct {
			Role    string          `json:"role"`
			From    string          `json:"from"`
			Content json.RawMessage `json:"content"`
			Value   json.RawMessage `json:"value"`
		}
		if json.Unmarshal(m.value, &list) != nil {
			return nil
		}
		turns := []turn{}
		for _, e := range list {
			t := turn{text: strings.Join(texts(append(e.Content, e.Value...)), "\n")}
			switch strings.ToLower(e.Role + e.From) {
			case "user", "human":
				t.user = true
			case "assistant", "gpt", "bot", "model":
				t.assistant = true
			default:
				continue
			}
			turns = append(turns, t)
		}
		return turns
	}
	return nil
}

// pairsOf takes each message of a user with the first text that an assistant replies
// to it. Calls of tools, which have no text, may stand between them.
func pairsOf(turns []turn, opt Options) ([]Lesson, string) {
	var out []Lesson
	asked := ""
	for i := range turns {
		switch t := &turns[i]; {
		case t.user:
			asked = t.text
		case t.assistant && asked != "" && t.text != "":
			out = append(out, Lesson{Prompt: asked, Response: &t.text, Topic: opt.Topic})
			asked = ""
		}
	}
	if len(out) == 0 {
		return nil, "the messages hold no text of a user that an assistant replies to"
	}
	return out, ""
}

// lines reads NDJSON: one object a line, and further fields are let be.
type lines struct {
	r       *bufio.Reader
	opt     Options
	number  int
	waiting []Lesson
	file    *File
}

func newLines(r io.Reader, start string, opt Options) (*File, error) {
	l := &lines{r: bufio.NewReaderSize(r, 64<<10), opt: opt}
	l.file = &File{Format: FormatNDJSON, next: l.next}
	first, _, _ := strings.Cut(strings.TrimSpace(start), "\n")
	if all, err := members([]byte(first)); err == nil && messagesOf(all) != nil {
		l.file.Format = FormatChat
	}
	var ignored *Columns
	if _, wrong := lessonsOf([]byte(first), opt, &ignored); wrong == "" {
		l.file.Columns = ignored
	}
	return l.file, nil
}

func (l *lines) next() (Lesson, *job.Fault, error) {
	for len(l.waiting) == 0 {
		line, tooLong, err := l.line()
		if err != nil {
			return Lesson{}, nil, err
		}
		if tooLong {
			f := fault(l.number, "the line is longer than %d MiB", maxRecord>>20)
			f.Code = job.CodeTooLarge
			return Lesson{}, f, nil
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		var wrong string
		if l.waiting, wrong = lessonsOf(line, l.opt, &l.file.Columns); wrong != "" {
			if !json.Valid(line) {
				wrong = "the line is no JSON"
			}
			return Lesson{}, fault(l.number, "%s", wrong), nil
		}
	}
	out := l.waiting[0]
	l.waiting = l.waiting[1:]
	out.Line = l.number
	return out, nil, nil
}

func (l *lines) line() (line []byte, tooLong bool, err error) {
	for {
		part, err := l.r.ReadSlice('\n')
		if !tooLong && len(line)+len(part) <= maxRecord {
			line = append(line, part...)
		} else {
			line, tooLong = nil, true
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && !errors.Is(err, io.EOF):
			return nil, false, err
		case err != nil && len(line) == 0 && !tooLong:
			return nil, false, io.EOF
		}
		l.number++
		return line, tooLong, nil
	}
}

// firstLineIsObject tells NDJSON from one large object.
func firstLineIsObject(s string) bool {
	line, rest, more := strings.Cut(s, "\n")
	if !json.Valid([]byte(line)) {
		return false
	}
	if !more || strings.TrimSpace(rest) == "" {
		// One line of one object: a lesson by itself, unless it holds a list of them.
		var columns *Columns
		_, wrong := lessonsOf([]byte(line), Options{}, &columns)
		return wrong == ""
	}
	return true
}

// looksJSON reports whether s, behind a bracket, goes on like a JSON list.
func looksJSON(s string) bool {
	s = strings.TrimSpace(s)
	return s == "" || strings.ContainsRune(`{["]`, rune(s[0]))
}
