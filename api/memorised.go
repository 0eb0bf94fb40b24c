package api

import (
	"context"
	"encoding/json"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/queue"
)

// courtesy is how long a 202 for lessons is delayed so that the lessons are answered
// when the caller reads it. A client can then teach a lesson and ask it right away. An
// idle trainer takes about 20 ms.
const courtesy = 250 * time.Millisecond

// awaitMemorised waits until the model holds the lessons of job j, or until it is clear
// that this takes longer. It returns the present state of the job. The lessons are
// acknowledged in any case.
func (s *Server) awaitMemorised(ctx context.Context, c echo.Context, j job.Job) job.Job {
	wait, applied := preferredWait(c.Request().Header, courtesy)
	if applied != "" {
		c.Response().Header().Set("Preference-Applied", applied)
	}
	if wait == 0 {
		return j
	}
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	events, err := s.queue.Follow(waiting, j.ID, "")
	if err != nil {
		return j
	}
	s.watch(waiting, events)
	now, err := s.queue.Job(ctx, j.ID)
	if err != nil {
		return j
	}
	return now
}

// watch returns at the event that ends the wait of awaitMemorised, or when ctx ends.
func (s *Server) watch(ctx context.Context, events <-chan queue.Event) {
	for {
		select {
		case e, ok := <-events:
			if !ok || waitIsOver(e) {
				return
			}
		case <-s.draining:
			return
		case <-ctx.Done():
			return
		}
	}
}

// waitIsOver reports whether further waiting makes no sense: the lessons are in memory, or
// the job itself waits for something, such as a resume.
func waitIsOver(e queue.Event) bool {
	switch e.Type {
	case queue.EventProgress:
		var p job.Progress
		return json.Unmarshal(e.Data, &p) == nil && p.Phase != "" && p.Phase != job.PhaseMemorising
	case queue.EventState:
		var state struct {
			WaitingFor *string `json:"waiting_for"`
		}
		return json.Unmarshal(e.Data, &state) == nil && state.WaitingFor != nil
	default:
		return e.Type == queue.EventResult
	}
}
