package api

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/nexus-continuum/nexus/job"
)

type alive struct {
	Status string `json:"status"`
}

type ready struct {
	Status string `json:"status"`
	Redis  bool   `json:"redis"`
	Model  bool   `json:"model"`
	Worker bool   `json:"worker"`
}

// healthz is GET /healthz: the process is alive.
func (s *Server) healthz(echo.Context) (alive, error) { return alive{Status: "alive"}, nil }

// closeWhileDraining closes each connection with the answer to its request when the server is
// about to stop. No connection is then idle and reused at the moment it is closed.
func (s *Server) closeWhileDraining(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		select {
		case <-s.leaving:
			c.Response().Header().Set(echo.HeaderConnection, "close")
		default:
		}
		return next(c)
	}
}

// readyz is GET /readyz: Redis takes jobs, and a worker with a model is present. Redis
// is tried each time, so that a load balancer notices an outage at once. Workers are
// read from the shared view.
func (s *Server) readyz(c echo.Context) error {
	select {
	case <-s.leaving:
		return job.Errorf(job.CodeUnavailable, "not ready: stopping").After(time.Second)
	default:
	}
	gone := job.Errorf(job.CodeUnavailable, "not ready: Redis cannot be reached").After(time.Second)
	if err := s.queue.Check(c.Request().Context()); err != nil {
		if s.queue.Ping(c.Request().Context()) != nil {
			return gone.Because(err)
		}
		return job.Errorf(job.CodeUnavailable, "not ready: %s", job.AsError(err).Detail).After(time.Second).Because(err)
	}
	v := s.status.view(c.Request().Context())
	r := ready{Status: "ready", Redis: v.redis == nil, Model: v.cluster.Model != nil, Worker: v.hasWorker()}
	switch {
	case !r.Redis:
		return gone
	case !r.Worker:
		return job.Errorf(job.CodeUnavailable, "not ready: no worker is running").After(time.Second)
	case !r.Model:
		return job.Errorf(job.CodeUnavailable, "not ready: no worker has a model yet").After(time.Second)
	}
	c.Response().Header().Set(echo.HeaderCacheControl, "no-store")
	return c.JSON(http.StatusOK, r)
}
