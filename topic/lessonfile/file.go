// Package lessonfile reads lessons from the files that people have: tables,
// exports of other bots, chat transcripts for training, and pages of questions
// and answers.
package lessonfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"github.com/nexus-continuum/nexus/job"
)

// Options say what is known of a file and how to read it.
type Options struct {
	// Name is the file's name and Type its media type; both may be empty.
	Name, Type string
	// Prompt, Response and Topic choose columns by their header or their number
	// from 1, and fields of JSON by their name. Empty finds them by usual names.
	Prompt, Response, Topic string
	// Encoding is the character encoding; empty finds it out.
	Encoding string
	// NoHeader says that the first row of a table is a lesson already.
	NoHeader bool
}

// Lesson is one question and its answer.
type Lesson struct {
	// Line is where it stands: the line or row, or the place in a list, from 1.
	Line     int
	Prompt   string
	Response *string // nil: prompts like it are to be refused
	Topic    string  // empty: the file names none
	// When the answer may be given; nil where the file does not say.
	Draft       *bool
	From, Until *time.Time
}

// Columns are the columns or fields that were taken, by the names in the file.
type Columns struct {
	Prompt   string  `json:"prompt"`
	Response string  `json:"response"`
	Topic    *string `json:"topic"`
	// Names are all of them, in their order.
	Names []string `json:"names"`
}

// File yields the lessons of a file.
type File struct {
	Format    string   // one of Formats
	Encoding  string   // of text; empty for XLSX and zip
	Delimiter string   // of a table in text
	Columns   *Columns // of a table, or the fields of JSON; nil where there are none

	next  func() (Lesson, *job.Fault, error)
	close func() error
}

// Formats that are read.
const (
	FormatCSV        = "csv"
	FormatTSV        = "tsv"
	FormatXLSX       = "xlsx"
	FormatJSON       = "json"
	FormatNDJSON     = "ndjson"
	FormatRasa       = "rasa"
	FormatDialogflow = "dialogflow"
	FormatChat       = "openai-chat"
	FormatMarkdown   = "markdown"
	FormatHTML       = "html"
)

// Known says in words what can be read.
const Known = "CSV or TSV, XLSX, JSON, NDJSON, Rasa YAML with responses, a Dialogflow ES zip, OpenAI chat JSONL, and Markdown or HTML pages of questions and answers"

// Bounds of what is read. A file as a whole is bounded by who gives it.
const (
	// sniffBytes is how much of a file is looked at to tell its format.
	sniffBytes = 64 << 10
	// maxRecord bounds one row, line or element in bytes; without it an open quote
	// would gather the whole file in memory.
	maxRecord = 4 << 20
	// maxWhole bounds formats that are read into memory as a whole.
	maxWhole = 32 << 20
	// maxPage bounds an HTML page, which becomes many times as large when it is read.
	maxPage = 8 << 20
	// maxUnzipped bounds what a zip unfolds to, maxEntry one file in it and
	// maxEntries their number.
	maxUnzipped = 256 << 20
	maxEntry    = 32 << 20
	maxEntries  = 20_000
	// maxSheet bounds an XLSX file, which is held in memory.
	maxSheet = 64 << 20
)

// Next returns the next lesson, or what is wrong with one: the call after it
// goes on behind. io.EOF is the end; any other error means that nothing more can
// be read.
func (f *File) Next() (Lesson, *job.Fault, error) { return f.next() }

// Close frees what the file holds.
func (f *File) Close() error {
	if f.close == nil {
		return nil
	}
	return f.close()
}

// fault says what is wrong on a line.
func fault(line int, format string, args ...any) *job.Fault {
	return &job.Fault{Line: line, Code: job.CodeBadLesson, Detail: fmt.Sprintf(format, args...)}
}

func unsupported(format string, args ...any) *job.Error {
	return job.Errorf(job.CodeUnsupportedType, "%s; these can be read: %s", fmt.Sprintf(format, args...), Known)
}

func unreadable(format string, args ...any) *job.Error {
	return job.Errorf(job.CodeBadFile, format, args...)
}

// Open finds out what a file is and begins to read it. A file that is not
// understood is a *job.Error that says which are.
func Open(r io.ReaderAt, size int64, opt Options) (*File, error) {
	if size == 0 {
		return nil, unreadable("the file is empty")
	}
	head := make([]byte, min(size, sniffBytes))
	if _, err := r.ReadAt(head, 0); err != nil && err != io.EOF { //nolint:errorlint // ReadAt gives it bare
		return nil, fmt.Errorf("read the file: %w", err)
	}
	if bytes.HasPrefix(head, []byte("PK\x03\x04")) {
		return openZip(r, size, opt)
	}
	if what := unsupportedFormat(head); what != "" {
		return nil, unsupported("this is %s", what)
	}
	body := io.NewSectionReader(r, 0, size)
	encoding, err := detect(head, body, opt.Encoding)
	if err != nil {
		return nil, err
	}
	text, start, err := decoded(body, head, encoding)
	if err != nil {
		return nil, err
	}
	f, err := openText(text, start, size, opt)
	if e, ok := errors.AsType[*job.Error](err); ok && encoding == encodingWindows1252 && opt.Encoding == "" && strings.Contains(e.Detail, "the columns are") {
		e.Detail += ". It is not UTF-8 and was read as Windows-1252: if these names look wrong, save the file as UTF-8"
	}
	if err != nil {
		return nil, err
	}
	f.Encoding = encoding
	return f, nil
}

// openText reads a file in UTF-8 that begins with start.
func openText(r io.Reader, start string, size int64, opt Options) (*File, error) {
	ext := strings.ToLower(path.Ext(opt.Name))
	trimmed := strings.TrimSpace(start)
	whole := func(most int64, read func([]byte, Options) (*File, error)) (*File, error) {
		if size > most {
			return nil, job.Errorf(job.CodeTooLarge, "the file is larger than the %s that are read of this format; split it", mib(most))
		}
		body, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		return read(body, opt)
	}
	switch {
	case trimmed == "":
		return nil, unreadable("the file holds only white space")
	case ext == ".csv" || ext == ".tsv" || ext == ".tab":
		return newTable(r, start, opt)
	case ext == ".yml" || ext == ".yaml":
		return whole(maxWhole, openRasa)
	case ext == ".md" || ext == ".markdown":
		return whole(maxWhole, openMarkdown)
	case ext == ".html" || ext == ".htm":
		return whole(maxPage, openHTML)
	case ext == ".jsonl" || ext == ".ndjson":
		return newLines(r, start, opt)
	case trimmed[0] == '[' && (ext == ".json" || looksJSON(trimmed[1:])):
		return newDocument(r, opt)
	case trimmed[0] == '{':
		if ext != ".json" && firstLineIsObject(trimmed) {
			return newLines(r, start, opt)
		}
		return newDocument(r, opt)
	case looksHTML(trimmed):
		return whole(maxPage, openHTML)
	case strings.Contains(opt.Type, "csv") || strings.Contains(opt.Type, "tab-separated"):
		return newTable(r, start, opt)
	case looksRasa(trimmed):
		return whole(maxWhole, openRasa)
	case strings.Contains(opt.Type, "markdown") || looksMarkdown(start):
		return whole(maxWhole, openMarkdown)
	case trimmed[0] == '<':
		return nil, unsupported("this is XML")
	}
	return newTable(r, start, opt)
}

// unsupportedFormat names a format that is not read, by its first bytes.
func unsupportedFormat(head []byte) string {
	for _, f := range []struct{ magic, name string }{
		{"%PDF", "a PDF: save its text as a table or a page"},
		{"\xd0\xcf\x11\xe0", "an old Office file: save it as .xlsx or .csv"},
		{"\x1f\x8b", "a gzip file: unpack it"},
		{"7z\xbc\xaf", "a 7z archive: unpack it"},
		{"Rar!", "a RAR archive: unpack it"},
		{"\x89PNG", "a picture"},
		{"\xff\xd8\xff", "a picture"},
		{"GIF8", "a picture"},
		{"SQLite format 3", "a SQLite database"},
		{"PAR1", "a Parquet file"},
		{"{\\rtf", "an RTF document: save it as a table or a page"},
	} {
		if bytes.HasPrefix(head, []byte(f.magic)) {
			return f.name
		}
	}
	return ""
}

// listed yields lessons that were read already.
func listed(lessons []Lesson, faults []*job.Fault) func() (Lesson, *job.Fault, error) {
	return func() (Lesson, *job.Fault, error) {
		if len(faults) > 0 && (len(lessons) == 0 || faults[0].Line <= lessons[0].Line) {
			f := faults[0]
			faults = faults[1:]
			return Lesson{}, f, nil
		}
		if len(lessons) == 0 {
			return Lesson{}, nil, io.EOF
		}
		l := lessons[0]
		lessons = lessons[1:]
		return l, nil, nil
	}
}
