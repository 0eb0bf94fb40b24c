package api

import (
	"fmt"
	"net/http"
	"sync"

	"github.com/hibiken/asynq"
	"github.com/hibiken/asynqmon"
)

// monitor is asynqmon, made at its first use: it opens connections to Redis of
// its own, which most processes never need.
type monitor struct {
	redis asynq.RedisConnOpt

	mu      sync.Mutex
	handler *asynqmon.HTTPHandler
	closed  bool
}

func newMonitor(redis asynq.RedisConnOpt) *monitor { return &monitor{redis: redis} }

func (m *monitor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := m.open()
	if h == nil {
		http.Error(w, "stopping", http.StatusServiceUnavailable)
		return
	}
	h.ServeHTTP(w, r)
}

func (m *monitor) open() http.Handler {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || m.redis == nil {
		return nil
	}
	if m.handler == nil {
		m.handler = asynqmon.New(asynqmon.Options{RootPath: "/monitoring", RedisConnOpt: m.redis})
	}
	return m.handler
}

func (m *monitor) close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	if m.handler == nil {
		return nil
	}
	h := m.handler
	m.handler = nil
	if err := h.Close(); err != nil {
		return fmt.Errorf("close the queue monitor: %w", err)
	}
	return nil
}
