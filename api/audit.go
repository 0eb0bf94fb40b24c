package api

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/redis/go-redis/v9"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/storage"
)

const (
	// auditKept is the approximate number of changes that GET /api/audit can show. The
	// file holds more.
	auditKept = 10000
	// auditTimeout is how long logging a change in Redis may take. The file has it by
	// then.
	auditTimeout = 250 * time.Millisecond
	// auditKey holds what a handler reports about a change in addition to its path.
	auditKey = "nexus.audit"
	// promptsKey is set by a handler that received only prompts.
	promptsKey = "nexus.prompts"
)

// change is an entry of the audit log: who did what, when, and from where.
type change struct {
	At        *job.Time `json:"at"`
	Who       string    `json:"who"`  // the key's name; empty where none is needed
	From      string    `json:"from"` // address of the caller
	Method    string    `json:"method"`
	Path      string    `json:"path"`
	Action    string    `json:"action,omitempty"`
	Job       string    `json:"job,omitempty"`
	Status    int       `json:"status"`
	RequestID string    `json:"request_id"`
}

// audit logs changes in a file, if there is one, and in Redis for the list.
type audit struct {
	client redis.UniversalClient
	key    string
	hide   func([]byte) []byte

	mu   sync.Mutex
	file io.Writer
}

// audited logs what a request changed. It writes to the file before the answer is sent,
// so that a crash cannot hide a confirmed change. Prompts change nothing, whether their
// callers wait or not.
func (s *Server) audited(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if harmless(r.Method) || c.Path() == "/api/interact" ||
			!strings.HasPrefix(c.Path(), "/api") && !strings.HasPrefix(c.Path(), "/monitoring") {
			return next(c)
		}
		var line []byte
		var failed error
		c.Response().Before(func() {
			if c.Response().Status >= http.StatusBadRequest || line != nil || c.Get(promptsKey) != nil {
				return
			}
			e := change{
				At: job.At(s.now()), Who: ownerOf(c), From: c.RealIP(), Method: r.Method, Path: job.Clip(r.URL.RequestURI(), 300),
				Status: c.Response().Status, RequestID: requestID(c),
			}
			e.Action, _ = c.Get(auditKey).(string)
			e.Job, _ = c.Get(jobKey).(string)
			line, failed = s.audit.write(e)
		})
		err := next(c)
		if line == nil {
			return err
		}
		if failed = cmp.Or(failed, s.audit.list(r.Context(), line)); failed != nil {
			s.log.Error("a change could not be noted in the audit log", "request_id", requestID(c), "error", failed)
		}
		return err
	}
}

// note writes a change to the file and the list.
func (a *audit) note(ctx context.Context, e change) error {
	line, err := a.write(e)
	return cmp.Or(err, a.list(ctx, line))
}

// write writes a change to the file, if there is one, and returns its line.
func (a *audit) write(e change) ([]byte, error) {
	line, err := json.Marshal(e)
	if err != nil {
		return nil, err //nolint:wrapcheck // strings and a number
	}
	line = a.hide(line)
	if a.file == nil {
		return line, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	_, err = a.file.Write(append(line, '\n'))
	return line, err //nolint:wrapcheck // told as it is
}

// list adds a line to the list that GET /api/audit shows. It returns an error only if
// no file has the line.
func (a *audit) list(ctx context.Context, line []byte) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), auditTimeout)
	defer cancel()
	err := a.client.XAdd(ctx, &redis.XAddArgs{Stream: a.key, MaxLen: auditKept, Approx: true, Values: []any{"v", line}}).Err()
	if a.file != nil {
		return nil
	}
	return err //nolint:wrapcheck // told as it is
}

// noteKeys logs what commands did to keys, each change once over all processes.
func (a *audit) noteKeys(ctx context.Context, changes []storage.KeyChange) error {
	for _, c := range changes {
		id := fmt.Sprintf("%d.%d", c.Number, c.At.UnixMilli())
		first, err := a.client.HSetNX(ctx, a.key+":keys", id, "1").Result()
		if err != nil {
			return err //nolint:wrapcheck // told as it is
		}
		if !first {
			continue
		}
		err = a.note(ctx, change{At: job.At(c.At), Who: c.By, From: "command line", Method: "CLI", Path: "nexus keys " + strings.TrimPrefix(c.Action, "key_") + " " + c.Name, Action: c.Action})
		if err != nil {
			a.client.HDel(ctx, a.key+":keys", id)
			return err
		}
	}
	return nil
}

// audits is a page of the audit log, newest first.
type audits struct {
	Changes []json.RawMessage `json:"changes"`
	Next    *string           `json:"next_cursor"`
}

// listAudit is GET /api/audit.
func (s *Server) listAudit(c echo.Context) (audits, error) {
	limit, err := limitOf(c)
	if err != nil {
		return audits{}, err
	}
	top := "+"
	if v := c.QueryParam("cursor"); v != "" {
		if !streamCursor(v) {
			return audits{}, job.Errorf(job.CodeInvalid, "the cursor is not one that a list returned").On("cursor")
		}
		top = "(" + v
	}
	entries, err := s.audit.client.XRevRangeN(c.Request().Context(), s.audit.key, top, "-", int64(limit)).Result()
	if err != nil {
		return audits{}, job.Errorf(job.CodeUnavailable, "the audit log cannot be read just now; try again").After(time.Second).Because(err)
	}
	out := audits{Changes: []json.RawMessage{}}
	for _, e := range entries {
		if v, ok := e.Values["v"].(string); ok && json.Valid([]byte(v)) {
			out.Changes = append(out.Changes, json.RawMessage(v))
		}
	}
	if len(entries) == limit {
		out.Next = optional(entries[len(entries)-1].ID)
	}
	return out, nil
}

// streamCursor reports whether v is the id of an entry, as used for the cursor of a
// page.
func streamCursor(v string) bool {
	head, tail, ok := strings.Cut(v, "-")
	return ok && len(v) <= 41 && digitsOnly(head) && digitsOnly(tail)
}

func digitsOnly(s string) bool {
	return s != "" && len(s) <= 19 && strings.Trim(s, "0123456789") == ""
}
