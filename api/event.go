package api

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/queue"
)

const (
	// keepAlive is how often a silent stream sends a sign of life, so that proxies do
	// not close it.
	keepAlive = 15 * time.Second
	// eventWrite is how long a client may take to accept an event.
	eventWrite = 30 * time.Second
)

// events is GET /api/jobs/{id}/events: Server-Sent Events until the job ends.
func (s *Server) events(c echo.Context) error {
	last := c.Request().Header.Get("Last-Event-ID")
	if len(last) > 64 || strings.ContainsAny(last, "\r\n\x00") {
		return job.Errorf(job.CodeInvalid, "the header Last-Event-ID is none that was given here")
	}
	if _, err := s.ownJob(c); err != nil {
		return err
	}
	done, err := s.streams.open(client(c))
	if err != nil {
		return err
	}
	defer done()
	events, err := s.queue.Follow(c.Request().Context(), c.Param("id"), last)
	if err != nil {
		return err
	}
	h := c.Response().Header()
	h.Set(echo.HeaderContentType, "text/event-stream; charset=utf-8")
	h.Set(echo.HeaderCacheControl, "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would hold events back
	c.Response().WriteHeader(http.StatusOK)
	control := http.NewResponseController(c.Response())
	// The first bytes tell the client that the stream is open.
	if err := s.emit(c, control, "retry: 1000\n\n"); err != nil {
		return nil //nolint:nilerr // The client went away; there is nobody to tell.
	}
	return s.stream(c, control, events)
}

func (s *Server) stream(c echo.Context, control *http.ResponseController, events <-chan queue.Event) error {
	alive := time.NewTicker(keepAlive)
	defer alive.Stop()
	for {
		text := ": still here\n\n"
		select {
		case e, ok := <-events:
			if !ok {
				return nil
			}
			text = fmt.Sprintf("id: %s\nevent: %s\ndata: %s\n\n", e.ID, e.Type, e.Data)
		case <-alive.C:
			if !s.present(c) {
				return nil // the client asks again and is told why not
			}
		case <-s.draining:
			// The client resumes on another server with Last-Event-ID.
			return nil
		case <-c.Request().Context().Done():
			return nil
		}
		if err := s.emit(c, control, text); err != nil {
			return nil //nolint:nilerr // The client went away; there is nobody to tell.
		}
	}
}

func (s *Server) emit(c echo.Context, control *http.ResponseController, text string) error {
	if err := control.SetWriteDeadline(time.Now().Add(eventWrite)); err != nil {
		return fmt.Errorf("bound an event's writing: %w", err)
	}
	if _, err := c.Response().Write([]byte(text)); err != nil {
		return fmt.Errorf("write an event: %w", err)
	}
	return control.Flush()
}
