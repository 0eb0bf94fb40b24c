package api

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/nexus-continuum/nexus/api/book"
	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/topic/lessonfile"
)

// exportTimeout limits how long a client may take to receive an export.
const exportTimeout = 15 * time.Minute

// exporter writes lessons in one format, one at a time.
type exporter interface {
	put(l book.Lesson) error
	end() error
}

// export is GET /api/export: all lessons as they are now, in a form that POST
// /api/lessons and /api/import accept.
func (s *Server) export(c echo.Context) error {
	if err := onlyQuery(c, "format", "topic"); err != nil {
		return err
	}
	ctx, topic := c.Request().Context(), c.QueryParam("topic")
	validity, err := s.validities(ctx)
	if err != nil {
		return err
	}
	var kind, ext string
	var begin func(io.Writer) exporter
	switch format := c.QueryParam("format"); format {
	case "", "ndjson":
		kind, ext, begin = typeNDJSON, "ndjson", func(w io.Writer) exporter { return newNDJSONExport(w) }
	case "csv":
		// The column for refusals is written only if there are refusals.
		refusals, err := s.book.Refuses(ctx, topic)
		if err != nil {
			return err
		}
		bounded := false
		for key := range validity {
			bounded = bounded || topic == "" || key.Topic == topic
		}
		kind, ext, begin = "text/csv; charset=utf-8", "csv", func(w io.Writer) exporter { return newCSVExport(w, refusals, bounded) }
	case "json":
		kind, ext, begin = typeJSON, "json", func(w io.Writer) exporter { return newJSONExport(w) }
	default:
		return job.Errorf(job.CodeInvalid, "format is %q; it may be ndjson, csv or json", job.Clip(format, 40)).On("format")
	}
	// The model is requested before the first byte is written, so that its absence
	// gives an error and not an empty file.
	if _, err := s.opt.Known(ctx); err != nil {
		return err
	}
	h := c.Response().Header()
	h.Set(echo.HeaderContentType, kind)
	h.Set(echo.HeaderContentDisposition, fmt.Sprintf(`attachment; filename="nexus-lessons-%s.%s"`, s.now().UTC().Format("20060102-150405"), ext))
	h.Set(echo.HeaderCacheControl, "no-store")
	c.Response().WriteHeader(http.StatusOK)
	w := bufio.NewWriterSize(c.Response(), 64<<10)
	e := begin(w)
	now := s.now()
	err = s.book.Each(ctx, topic, func(l book.Lesson) error {
		l.Validity = shownValidity(validity[storage.KeyOf(l.Topic, l.Response)], now)
		return e.put(l)
	})
	if err == nil {
		err = e.end()
	}
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		// A truncated file must not look complete, so the connection is dropped.
		s.log.Warn("an export broke off", "request_id", requestID(c), "error", err)
		panic(http.ErrAbortHandler)
	}
	return nil
}

type exported struct {
	Prompt   string  `json:"prompt"`
	Response *string `json:"response"`
	Topic    string  `json:"topic,omitempty"`
	// The time in which the answer may be given, if it is limited.
	Draft bool      `json:"draft,omitempty"`
	From  *job.Time `json:"valid_from,omitempty"`
	Until *job.Time `json:"valid_until,omitempty"`
}

type ndjsonExport struct{ json *json.Encoder }

func newNDJSONExport(w io.Writer) *ndjsonExport {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return &ndjsonExport{e}
}

func (e *ndjsonExport) put(l book.Lesson) error {
	return e.json.Encode(exported{l.Prompt, l.Response, l.Topic, l.Draft, l.From, l.Until})
}

func (e *ndjsonExport) end() error { return nil }

// jsonExport writes {"lessons": […]}, one lesson a line.
type jsonExport struct {
	ndjsonExport
	w    io.Writer
	some bool
}

func newJSONExport(w io.Writer) *jsonExport {
	return &jsonExport{ndjsonExport: *newNDJSONExport(w), w: w}
}

func (e *jsonExport) put(l book.Lesson) error {
	before := ","
	if !e.some {
		before, e.some = `{"lessons": [`+"\n", true
	}
	if _, err := io.WriteString(e.w, before); err != nil {
		return err
	}
	return e.ndjsonExport.put(l)
}

func (e *jsonExport) end() error {
	end := "]}\n"
	if !e.some {
		end = `{"lessons": []}` + "\n"
	}
	_, err := io.WriteString(e.w, end)
	return err
}

type csvExport struct {
	csv      *csv.Writer
	refusals bool
	bounded  bool // some answers may not always be given
	failed   error
}

func newCSVExport(w io.Writer, refusals, bounded bool) *csvExport {
	e := &csvExport{csv: csv.NewWriter(w), refusals: refusals, bounded: bounded}
	header := []string{"prompt", "response", "topic"}
	if refusals {
		header = append(header, "refusal")
	}
	if bounded {
		header = append(header, "draft", "valid_from", "valid_until")
	}
	e.failed = e.csv.Write(header)
	return e
}

func (e *csvExport) put(l book.Lesson) error {
	if e.failed != nil {
		return e.failed
	}
	row := []string{lessonfile.Guarded(l.Prompt), "", lessonfile.Guarded(l.Topic)}
	if l.Response != nil {
		row[1] = lessonfile.Guarded(*l.Response)
	}
	if e.refusals {
		refusal := ""
		if l.Response == nil {
			refusal = "true"
		}
		row = append(row, refusal)
	}
	if e.bounded {
		draft := ""
		if l.Draft {
			draft = "true"
		}
		row = append(row, draft, moment(l.From), moment(l.Until))
	}
	return e.csv.Write(row)
}

// moment formats a time for a table.
func moment(t *job.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func (e *csvExport) end() error {
	e.csv.Flush()
	return e.csv.Error()
}
