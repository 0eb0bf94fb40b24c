package api

import (
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/storage"
)

// whyByHand is what the jobs of a queue say that was paused by pauseQueue.
const whyByHand = "an operator paused this queue"

// pauseQueue is POST /api/queues/{queue}/pause. Jobs that run go on.
func (s *Server) pauseQueue(c echo.Context) (reply, error) { return s.holdQueue(c, true) }

// resumeQueue is POST /api/queues/{queue}/resume. It ends a pause by whatever
// means, asynq's own tools included.
func (s *Server) resumeQueue(c echo.Context) (reply, error) { return s.holdQueue(c, false) }

func (s *Server) holdQueue(c echo.Context, paused bool) (reply, error) {
	lane, ctx := job.Lane(c.Param("queue")), c.Request().Context()
	if !slices.Contains(job.Lanes(), lane) {
		return reply{}, job.Errorf(job.CodeNotFound, "there is no queue %q; the queues are %s, %s and %s", job.Clip(string(lane), 40), job.LaneInteractive, job.LaneBatch, job.LaneTrain)
	}
	why := whyByHand
	if lane == job.LaneTrain {
		// The scheduler has this queue follow the control record.
		if err := s.steer(ctx, func(k *storage.Control) { k.Paused = paused }); err != nil {
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
