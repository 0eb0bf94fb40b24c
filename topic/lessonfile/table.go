package lessonfile

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/nexus-continuum/nexus/job"
)

var delimiters = []rune{',', ';', '\t', '|'}

// table reads CSV with any usual delimiter.
type table struct {
	guard  *recordGuard
	csv    *csv.Reader
	opt    Options
	header []string
	choice choice
	line   int // on which the last good record began
	shift  int // lines before the header
	ended  bool
	held   []string // a first row that is no header
}

// NewTable reads CSV from a stream, without knowing its end. The text may carry
// a byte order mark; what is not UTF-8 is a fault on its line unless
// opt.Encoding says what it is.
func NewTable(r io.Reader, opt Options) (*File, error) {
	b := bufio.NewReaderSize(r, sniffBytes)
	head, err := b.Peek(sniffBytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	name := marked(head)
	switch {
	case name != "":
	case opt.Encoding != "":
		if name, err = known(opt.Encoding); err != nil {
			return nil, err
		}
	default:
		name = encodingUTF8
	}
	text, start, err := decoded(b, head, name)
	if err != nil {
		return nil, err
	}
	f, err := newTable(text, start, opt)
	if err != nil {
		return nil, err
	}
	f.Encoding = name
	return f, nil
}

func newTable(r io.Reader, start string, opt Options) (*File, error) {
	t := &table{guard: &recordGuard{r: r}, opt: opt, line: 1}
	comma, given := rune(0), false
	if first, rest, ok := strings.Cut(start, "\n"); ok && len(first) == len("sep=")+1 && strings.EqualFold(first[:4], "sep=") {
		// What Excel writes and reads to name the delimiter.
		comma, given, t.shift, start = rune(first[4]), true, 1, rest
		if _, err := io.CopyN(io.Discard, r, int64(len(first))+1); err != nil {
			return nil, err
		}
	}
	if !given {
		comma = delimiter(start, opt)
	}
	t.csv = csv.NewReader(t.guard)
	t.csv.Comma, t.csv.FieldsPerRecord, t.csv.ReuseRecord = comma, -1, false
	header, err := t.csv.Read()
	switch {
	case errors.Is(err, io.EOF):
		return nil, unreadable("the file is empty; its first line must be a header such as prompt,response or prompt,response,topic")
	case err != nil && t.unreadable(err):
		return nil, err
	case err != nil:
		return nil, unreadable("the header cannot be read: %s", csvDetail(err))
	}
	for i := range header {
		header[i] = strings.TrimSpace(header[i])
	}
	if opt.NoHeader || lessonsOnly(header, opt) {
		t.held = header
		header = make([]string, len(t.held))
		for i := range header {
			header[i] = fmt.Sprint(i + 1)
		}
		if opt.Prompt == "" && opt.Response == "" && len(header) >= 2 {
			opt.Prompt, opt.Response = "1", "2"
		}
	}
	if twice := repeated(header, opt); twice != "" {
		return nil, unreadable("two columns are called %q; name each once (prompt,response or prompt,response,topic) or choose with ?prompt=<number>&response=<number>", twice)
	}
	c, miss := choose(header, opt)
	if miss != "" || !c.found() {
		return nil, unchosen(header, c, miss, opt)
	}
	t.header, t.choice = header, c
	f := &File{Format: FormatCSV, Delimiter: string(comma), Columns: c.columns(header), next: t.next}
	if comma == '\t' {
		f.Format = FormatTSV
	}
	return f, nil
}

// lessonsOnly reports whether the first line of two columns is a question with its
// answer, so that the table has no header. Columns chosen by number do not change that.
func lessonsOnly(header []string, opt Options) bool {
	number := func(s string) bool { return s == "" || s == "1" || s == "2" }
	if len(header) != 2 || !number(opt.Prompt) || !number(opt.Response) || asks(header[:1]) == asks(header[1:]) {
		return false
	}
	c, _ := choose(header, Options{})
	return !c.found()
}

// repeated finds a name that stands for a column twice.
func repeated(header []string, opt Options) string {
	if opt.Prompt != "" && opt.Response != "" {
		return ""
	}
	seen := map[string]bool{}
	for _, h := range header {
		switch p := plain(h); p {
		case "prompt", "response", "question", "answer":
			if seen[p] {
				return h
			}
			seen[p] = true
		}
	}
	return ""
}

// delimiter finds what separates the columns: first by which header is
// understood, then by which gives the most columns in the most rows.
func delimiter(start string, opt Options) rune {
	best, most := ',', -1
	for _, d := range delimiters {
		r := csv.NewReader(strings.NewReader(start))
		r.Comma, r.FieldsPerRecord, r.LazyQuotes = d, -1, true
		header, err := r.Read()
		if err != nil || len(header) < 2 {
			continue
		}
		score := 0
		if c, miss := choose(header, opt); miss == "" && c.found() {
			score += 1000
		}
		for range 20 {
			row, err := r.Read()
			if err != nil {
				break
			}
			if len(row) == len(header) {
				score += 2
			}
		}
		if score += min(len(header), 10); score > most {
			best, most = d, score
		}
	}
	return best
}

func (t *table) next() (Lesson, *job.Fault, error) {
	for {
		if t.ended {
			return Lesson{}, nil, io.EOF
		}
		record, line := t.held, 1
		t.held = nil
		if record == nil {
			t.guard.reset()
			var err error
			if record, err = t.csv.Read(); err != nil {
				if errors.Is(err, io.EOF) {
					return Lesson{}, nil, io.EOF
				}
				if t.unreadable(err) {
					return Lesson{}, nil, err
				}
				return Lesson{}, t.fault(err), nil
			}
			line, _ = t.csv.FieldPos(0)
		}
		t.line = line
		l, f := row(record, t.header, t.choice, t.opt)
		if f != nil {
			f.Line = line + t.shift
			return Lesson{}, f, nil
		}
		if l != nil {
			l.Line = line + t.shift
			return *l, nil, nil
		}
	}
}

// row makes a lesson of a row; a row of nothing gives neither lesson nor fault.
func row(record, header []string, c choice, opt Options) (*Lesson, *job.Fault) {
	empty := true
	for i, cell := range record {
		if !utf8.ValidString(cell) {
			f := fault(0, "the line is not UTF-8; name its encoding, such as windows-1252")
			f.Code = job.CodeNotUTF8
			return nil, f
		}
		blank := strings.TrimSpace(cell) == ""
		empty = empty && blank
		if i >= len(header) && !blank {
			return nil, fault(0, "%d columns, but the header has %d; text with the delimiter in it belongs in double quotes", len(record), len(header))
		}
	}
	if empty {
		return nil, nil
	}
	cell := func(i int) string {
		if i < 0 || i >= len(record) {
			return ""
		}
		return strings.Clone(record[i])
	}
	l := &Lesson{Prompt: unguarded(cell(c.prompt))}
	if c.topic >= 0 {
		l.Topic = strings.TrimSpace(unguarded(cell(c.topic)))
	} else {
		l.Topic = opt.Topic
	}
	if wrong := l.when(cell(c.draft), cell(c.from), cell(c.until)); wrong != "" {
		return nil, fault(0, "%s", wrong)
	}
	if truthy(cell(c.refusal)) {
		return l, nil
	}
	response := unguarded(shown(cell(c.response), header[c.response]))
	if strings.TrimSpace(response) == "" {
		return nil, fault(0, "the response is empty; a column refusal with the value true teaches a refusal")
	}
	l.Response = &response
	return l, nil
}

// unreadable reports whether nothing more can be read.
func (t *table) unreadable(err error) bool {
	_, parse := errors.AsType[*csv.ParseError](err)
	return !parse && !errors.Is(err, errRecordTooLong)
}

func (t *table) fault(err error) *job.Fault {
	if errors.Is(err, errRecordTooLong) {
		// Where the next record begins cannot be known.
		t.ended = true
		f := fault(t.line+1+t.shift, "from here on a record is longer than %d MiB; is a double quote left open? Nothing after it was read", maxRecord>>20)
		f.Code = job.CodeTooLarge
		return f
	}
	line := 0
	if e, ok := errors.AsType[*csv.ParseError](err); ok {
		line = e.StartLine
	}
	return fault(line+t.shift, "%s", csvDetail(err))
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

var errRecordTooLong = errors.New("a record is too long")

// recordGuard ends reading when one record takes too many bytes. csv.Reader reads
// ahead by its buffer only.
type recordGuard struct {
	r    io.Reader
	read int
}

func (g *recordGuard) reset() { g.read = 0 }

func (g *recordGuard) Read(p []byte) (int, error) {
	if g.read > maxRecord {
		return 0, errRecordTooLong
	}
	n, err := g.r.Read(p)
	g.read += n
	return n, err
}
