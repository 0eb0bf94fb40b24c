package api

import (
	"net/http"
	"slices"
	"time"

	"github.com/labstack/echo/v4"
)

const (
	// waitPatience is more than the longest wait that a caller may ask for.
	waitPatience = maxWait + 10*time.Second
	// storePatience is for routes that may read or write a whole checkpoint or
	// topic pack in a storage far away.
	storePatience = 2 * time.Minute
)

// guarded is what stands before a route of the API.
func (s *Server) guarded(patience time.Duration) []echo.MiddlewareFunc {
	return []echo.MiddlewareFunc{s.keys.identify, s.keys.require, sameOrigin(), within(patience)}
}

// limited is guarded behind the rate limit, which so also slows down those who
// try keys, and is told of in every answer.
func (s *Server) limited(patience time.Duration) []echo.MiddlewareFunc {
	return append([]echo.MiddlewareFunc{s.keys.identify, s.limiter.limit}, s.guarded(patience)[1:]...)
}

// routes is the one list of what there is.
func (s *Server) routes() *echo.Echo {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.IPExtractor = ipExtractor(s.opt.TrustProxy)
	e.HTTPErrorHandler = s.renderError
	e.Use(requestIDs)
	if s.opt.Tracer != nil {
		e.Use(s.traced)
	}
	if !s.opt.Unobserved {
		e.Use(s.logged)
	}
	e.Use(secured, s.recovered, s.bodyPatience, zipped())

	e.GET("/", func(c echo.Context) error { return c.Redirect(http.StatusFound, "/dashboard") })
	e.GET("/healthz", get(s.healthz))
	e.GET("/readyz", s.readyz)
	e.GET("/dashboard", s.pages.dashboard)
	e.GET("/docs", s.pages.docs)
	e.GET("/openapi.yaml", s.pages.openapi)

	// A group with middleware of its own would answer 404 where 405 is right.
	g := e.Group("/api")
	quick := s.guarded(requestPatience)
	g.GET("/status", get(s.showStatus), quick...)
	g.GET("/hardware", get(s.showHardware), quick...)
	g.GET("/metrics", echo.WrapHandler(s.metrics.handler()), quick...)
	g.GET("/lessons", get(s.listLessons), quick...)
	g.GET("/jobs", get(s.listJobs), quick...)
	g.GET("/jobs/:id", get(s.oneJob), quick...)
	g.GET("/jobs/:id/events", s.events, s.keys.identify, s.keys.require, sameOrigin())
	g.GET("/refusals", get(s.refusals), quick...)
	g.GET("/checkpoints", get(s.listCheckpoints), quick...)
	g.DELETE("/jobs/:id", get(s.cancelJob), quick...)
	g.DELETE("/lessons", s.makes(s.forgetTopic), quick...)
	g.DELETE("/lessons/:id", s.makes(s.forgetLesson), quick...)

	// What makes work is limited.
	asks := s.limited(waitPatience)
	g.POST("/interact", s.makes(s.interact), slices.Insert(asks, len(asks)-1, s.relieved)...)
	g.POST("/lessons", s.teach, s.limited(uploadPatience)...)
	g.POST("/jobs", s.makes(s.submit), s.limited(storePatience)...)
	g.POST("/control", s.makes(s.control), s.limited(storePatience)...)
	g.POST("/interactions/:id/feedback", s.makes(s.feedback), s.limited(storePatience)...)
	g.DELETE("/checkpoints/challenger", s.makes(s.unchallenge), quick...)
	g.POST("/checkpoints/:id/challenge", s.makes(s.challenge), s.limited(storePatience)...)
	g.POST("/checkpoints/:id/promote", s.makes(s.promote), s.limited(storePatience)...)

	for _, path := range []string{"/monitoring", "/monitoring/*"} {
		e.Any(path, echo.WrapHandler(s.monitor), s.keys.identifyPage, s.keys.require, sameOrigin(), withPolicy(policyMonitoring))
	}
	return e
}
