package api

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/nexus-continuum/nexus/job"
)

// sameOrigin stops a page of another site from acting here through the browser of an
// authorised person. It checks Sec-Fetch-Site and Origin on every request that can
// change something. Programs send neither and pass.
func (s *Server) sameOrigin() echo.MiddlewareFunc {
	guard := http.NewCrossOriginProtection()
	for _, o := range s.opt.CORSOrigins {
		_ = guard.AddTrustedOrigin(o) // New has checked them
	}
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if err := guard.Check(c.Request()); err != nil {
				return job.Errorf(job.CodeForbidden, "a page of another site may not do this").Because(err)
			}
			return next(c)
		}
	}
}
