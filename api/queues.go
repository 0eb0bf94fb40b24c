package api

import (
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/storage"
)

// whyByHand is the reason shown by the jobs of a queue that pauseQueue has paused.
const whyByHand = "an operator paused this queue"

// pauseQueue is POST /api/queues/{queue}/pause. Running jobs continue.
func (s *Server) pauseQueue(c echo.Context) (reply, error) { return s.holdQueue(c, true) }

// resumeQueue is POST /api/queues/{queue}/resume. It ends every kind of pause,
// including one made with asynq's own tools.
func (s *Server) resumeQueue(c echo.Context) (reply, error) { return s.holdQueue(c, false) }

func (s *Server) holdQueue(c echo.Context, paused bool) (reply, error) {
	lane, ctx := job.Lane(c.Param("queue")), c.Request().Context()
	if !slices.Contains(job.Lanes(), lane) {
		return reply{}, job.Errorf(job.CodeNotFound, "there is no queue %q; the queues are %s, %s and %s", job.Clip(string(lane), 40), job.LaneInteractive, job.LaneBatch, job.LaneTrain)
	}
	why := whyByHand
	if lane == job.LaneTrain {
		// The scheduler makes this queue follow the control record.
		if err := s.updateControl(ctx, func(k *storage.Control) { k.Paused = paused }); err != nil {
			return reply{}, err
		}
		why = job.WhyPaused
	}
	if err := s.queue.PauseLane(ctx, lane, paused, why); err != nil {
		return reply{}, err
	}
	s.status.forget()
	status := "resumed"
	if paused {
		status = "paused"
	}
	return reply{status: http.StatusOK, body: controlled{Status: status}}, nil
}
