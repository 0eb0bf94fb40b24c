package api

import (
	"context"
	"encoding/json"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/queue"
)

// courtesy is how long a 202 for lessons is held back so that they answer by the
// time the caller reads it: who teaches and then asks should not be refused for
// having been quick. An idle trainer takes some 20 ms.
const courtesy = 250 * time.Millisecond

// awaitMemorised waits until the model holds what the job j was made for, or it is plain
// that this takes longer, and gives the job as it then stands. The lessons are
// acknowledged whatever comes of it.
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

// watch returns with the event that ends the waiting of awaitMemorised, or with ctx.
func (s *Server) watch(ctx context.Context, events <-chan queue.Event) {
	for {
		select {
		case e, ok := <-events:
			if !ok || settled(e) {
				return
			}
		case <-s.draining:
			return
		case <-ctx.Done():
			return
		}
	}
}

// settled tells whether waiting on makes no sense: the lessons are in memory, or
// the job waits for something itself, such as a resume.
func settled(e queue.Event) bool {
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
