package api

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/hibiken/asynqmon"
	"github.com/labstack/echo/v4"

	"github.com/nexus-continuum/nexus/job"
)

// monitor is asynqmon, made on first use, because it opens its own connections to Redis
// and most processes never need it. There are two. One may change things. The other
// only shows, and shows no payload, because payloads contain prompts of all callers.
type monitor struct {
	redis asynq.RedisConnOpt

	mu       sync.Mutex
	handlers map[bool]*asynqmon.HTTPHandler // by whether it only looks
	closed   bool
}

func newMonitor(redis asynq.RedisConnOpt) *monitor {
	return &monitor{redis: redis, handlers: map[bool]*asynqmon.HTTPHandler{}}
}

// monitoring serves asynqmon. Changes need ScopeControl.
func (s *Server) monitoring(c echo.Context) error {
	r := c.Request()
	full := may(c, ScopeControl)
	if !full && r.Method != http.MethodGet && r.Method != http.MethodHead {
		return lacks(identityOf(c), ScopeControl)
	}
	h := s.monitor.open(!full)
	if h == nil {
		return job.Errorf(job.CodeUnavailable, "stopping").After(time.Second)
	}
	nonce, err := randomText(nil)
	if err != nil {
		return err
	}
	w := &pageWriter{ResponseWriter: c.Response(), nonce: nonce}
	w.Header().Set(echo.HeaderContentSecurityPolicy, monitorPolicy(nonce))
	h.ServeHTTP(w, r)
	if !harmless(r.Method) {
		s.status.forget()
	}
	return w.send()
}

// hidden is shown instead of a payload.
const hidden = "(shown to keys with the scope control)"

func (m *monitor) open(looks bool) http.Handler {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || m.redis == nil {
		return nil
	}
	if m.handlers[looks] == nil {
		o := asynqmon.Options{RootPath: "/monitoring", RedisConnOpt: m.redis, ReadOnly: looks}
		if looks {
			o.PayloadFormatter = asynqmon.PayloadFormatterFunc(func(string, []byte) string { return hidden })
			o.ResultFormatter = asynqmon.ResultFormatterFunc(func(string, []byte) string { return hidden })
		}
		m.handlers[looks] = asynqmon.New(o)
	}
	return m.handlers[looks]
}

func (m *monitor) close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	var errs []error
	for _, h := range m.handlers {
		if err := h.Close(); err != nil {
			errs = append(errs, fmt.Errorf("close the queue monitor: %w", err))
		}
	}
	clear(m.handlers)
	return errors.Join(errs...)
}
