package api

import (
	"encoding/json"
	"log/slog"
	"math"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/nexus-continuum/nexus/internal/lifecycle"
	"github.com/nexus-continuum/nexus/job"
)

const (
	// holdFor is how long a refusal is held back from a connection that asks again too
	// early. Otherwise such callers would take the processor from those that are
	// served. They must be refused within 50 ms.
	holdFor = 30 * time.Millisecond
	// tellRefusals is how often refusals for overload are logged.
	tellRefusals = time.Second
)

// connKey is the context key of the state of a request's connection.
type connKey struct{}

// caller is what is known about a connection.
type caller struct {
	away  atomic.Int64 // until when it was told to stay away; Unix ns
	extra bool         // beyond the bound on connections
}

// shedder refuses excess prompts as cheaply as possible, because under overload there
// are many more of them than of those that are answered.
type shedder struct {
	log *slog.Logger

	body atomic.Pointer[refusal] // of the last refusal

	mu     sync.Mutex
	untold int
	told   time.Time
}

// refusal is an encoded error, except for the id of the request.
type refusal struct {
	of    *job.Error
	text  []byte
	after string
}

// relieved refuses a prompt before its body is read if the lane is known to be
// overloaded, and sends every refusal for that reason. A request with an
// Idempotency-Key is let through, because its answer may be known. So is a request that
// does not wait, because it uses another lane.
func (s *Server) relieved(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		began := time.Now()
		r := c.Request()
		var err error
		if r.Header.Get("Idempotency-Key") == "" {
			err = s.queue.Overloaded()
		}
		if err != nil && r.Header.Get("Prefer") != "" {
			if wait, _ := preferredWait(r.Header, defaultWait); wait == 0 {
				err = nil
			}
		}
		if err != nil {
			s.unserved(err, s.now())
		} else if err = next(c); err == nil {
			return nil
		}
		e := job.AsError(err)
		if e.Code != job.CodeQueueFull || c.Response().Committed {
			return err
		}
		if from, ok := r.Context().Value(connKey{}).(*caller); ok {
			if began.UnixNano() < from.away.Load() && !lifecycle.Sleep(r.Context(), time.Until(began.Add(holdFor))) {
				return err
			}
			from.away.Store(time.Now().Add(e.RetryAfter).UnixNano())
		}
		return s.shedder.send(c, e)
	}
}

// crowdedKey marks a request that was refused for overload, because these are logged
// together.
const crowdedKey = "nexus.crowded"

func (l *shedder) send(c echo.Context, e *job.Error) error {
	out, err := l.written(e)
	if err != nil {
		return err
	}
	c.Set(crowdedKey, true)
	l.noteRefusal(e)
	id, err := json.Marshal(requestID(c))
	if err != nil {
		return err //nolint:wrapcheck // a string
	}
	text := make([]byte, 0, len(out.text)+len(id)+2)
	text = append(append(append(text, out.text...), id...), "}\n"...)
	h := c.Response().Header()
	h.Set(echo.HeaderRetryAfter, out.after)
	h.Set(echo.HeaderCacheControl, "no-store")
	return c.Blob(http.StatusServiceUnavailable, echo.MIMEApplicationJSON, text)
}

// written is the encoded form of e. A queue repeats one refusal for a while.
func (l *shedder) written(e *job.Error) (*refusal, error) {
	if last := l.body.Load(); last != nil && last.of == e {
		return last, nil
	}
	text, err := json.Marshal(errorBody{Detail: e.Detail, Code: e.Code, Field: e.Field})
	if err != nil {
		return nil, err //nolint:wrapcheck // three strings
	}
	// The id of the request is the last member.
	out := &refusal{of: e, text: text[:len(text)-len(`""}`)], after: retryAfter(e.RetryAfter)}
	l.body.Store(out)
	return out, nil
}

// noteRefusal logs the first refusal, and then the number of refusals each second.
func (l *shedder) noteRefusal(e *job.Error) {
	l.mu.Lock()
	l.untold++
	n, now := l.untold, time.Now()
	if now.Sub(l.told) < tellRefusals {
		l.mu.Unlock()
		return
	}
	l.untold, l.told = 0, now
	l.mu.Unlock()
	l.log.Warn("prompts are refused", "refused", n, "reason", e.Detail, "retry_after_s", math.Ceil(e.RetryAfter.Seconds()))
}
