package api

import (
	"net/http"
	"slices"
	"time"

	"github.com/labstack/echo/v4"
)

const (
	// waitTimeout is longer than the longest wait that a caller may request.
	waitTimeout = maxWait + 10*time.Second
	// storeTimeout is for routes that may read or write a whole checkpoint or topic
	// pack in a remote storage.
	storeTimeout = 2 * time.Minute
)

// guarded returns the middleware of a route that only reads. need are scopes, of which
// a key must have at least one. cost is what a request takes of the allowance.
func (s *Server) guarded(need Scope, timeout time.Duration, cost ...int) []echo.MiddlewareFunc {
	price := costOne
	if len(cost) > 0 {
		price = cost[0]
	}
	return []echo.MiddlewareFunc{s.identify, s.limiter.read(price), s.require(need), s.sameOrigin(), s.queries.known, within(timeout)}
}

// limited returns the middleware of a route that makes work. Every answer states the
// limit.
func (s *Server) limited(need Scope, timeout time.Duration) []echo.MiddlewareFunc {
	return []echo.MiddlewareFunc{s.identify, s.limiter.limit, s.require(need), s.sameOrigin(), s.queries.known, within(timeout)}
}

// routes is the complete list of routes.
func (s *Server) routes() *echo.Echo {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.IPExtractor = callerAddress(s.opt.TrustedProxies)
	e.HTTPErrorHandler = s.renderError
	e.Use(requestIDs, s.bodyTimeout)
	if s.opt.Tracer != nil {
		e.Use(s.traced)
	}
	if !s.opt.Unobserved {
		e.Use(s.logged)
	}
	e.Use(s.closeWhileDraining, secured, s.shared, s.recovered, s.steady, s.refuseExtra, s.ofOurs, s.audited, zipped())

	e.GET("/", func(c echo.Context) error { return c.Redirect(http.StatusFound, "/dashboard") })
	e.GET("/healthz", get(s.healthz))
	e.GET("/readyz", s.readyz)
	e.GET("/dashboard", s.pages.dashboard)
	e.GET("/dashboard/*", s.pages.dashboard)
	e.GET("/docs", s.pages.docs)
	e.GET("/docs/assets/:name", s.pages.docsAsset)
	e.GET("/openapi.yaml", s.pages.openapi)
	e.GET("/widget.js", s.widget)

	// A group with its own middleware would answer 404 where 405 is right.
	g := e.Group("/api")
	reads := s.guarded(ScopeRead, requestTimeout)
	g.GET("/status", get(s.showStatus), reads...)
	g.GET("/events", s.follow, reads[:len(reads)-1]...)
	g.GET("/history", get(s.showHistory), reads...)
	g.GET("/risk", get(s.showRisk), s.guarded(ScopeRead, requestTimeout, costList)...)
	g.GET("/packs", get(s.listPacks), s.guarded(ScopeRead|ScopeTeach|ScopeControl, requestTimeout)...)
	g.GET("/hardware", get(s.showHardware), reads...)
	g.GET("/metrics", echo.WrapHandler(s.metrics.handler()), reads...)
	g.GET("/lessons/:id", get(s.oneLesson), reads...)
	g.GET("/answers/:id", get(s.oneAnswer), reads...)
	g.GET("/answers/:id/history", get(s.answerHistory), s.guarded(ScopeRead, requestTimeout, costList)...)
	lists := s.guarded(ScopeRead, requestTimeout, costList)
	g.GET("/lessons", get(s.listLessons), lists...)
	g.GET("/answers", get(s.listAnswers), lists...)
	g.GET("/topics", get(s.listTopics), lists...)
	g.GET("/topics/:topic", get(s.oneTopic), lists...)
	g.GET("/checkpoints", get(s.listCheckpoints), lists...)
	g.GET("/checks", get(s.listChecks), lists...)
	g.GET("/checks/runs", get(s.listRuns), lists...)
	g.GET("/checks/changes", get(s.compareRuns), lists...)
	g.GET("/backups", get(s.showBackup), s.guarded(ScopeControl, requestTimeout)...)
	g.GET("/audit", get(s.listAudit), s.guarded(ScopeControl, requestTimeout, costList)...)
	many := s.guarded(ScopeRead, requestTimeout, costMany)
	g.GET("/refusals", get(s.refusals), many...)
	g.GET("/reviews", get(s.reviews), many...)
	g.GET("/suggestions", get(s.suggestions), many...)
	g.GET("/jobs", get(s.listJobs), s.guarded(ScopeJobs|ScopeControl, requestTimeout, costList)...)
	g.GET("/export", s.export, s.guarded(ScopeRead, exportTimeout, costMany)...)
	s.routesOfAccess(g)
	// The caller that made a job may follow and end it, whatever scopes its key has.
	own := s.guarded(scopeOwn, requestTimeout)
	g.GET("/jobs/:id", get(s.oneJob), own...)
	g.GET("/jobs/:id/events", s.events, own[:len(own)-1]...)
	g.DELETE("/jobs/:id", get(s.cancelJob), own...)
	unlearns := s.limited(ScopeTeach, requestTimeout)
	g.DELETE("/lessons", s.makes(s.forgetTopic), unlearns...)
	g.DELETE("/lessons/:id", s.makes(s.forgetLesson), unlearns...)
	g.DELETE("/refusals/:id", get(s.dropRefusal), unlearns...)
	g.DELETE("/checks/:id", get(s.dropCheck), unlearns...)
	g.DELETE("/reviews/:id", get(s.dropReview), unlearns...)
	g.DELETE("/answers/:id", s.makes(s.forgetAnswer), unlearns...)

	// Routes that make work are limited.
	asks := s.limited(ScopeAsk, waitTimeout)
	g.POST("/interact", s.makes(s.interact), slices.Insert(asks, len(asks)-1, s.relieved)...)
	g.POST("/lessons", s.teach, s.limited(ScopeTeach, uploadTimeout)...)
	g.POST("/import", s.importFile, s.limited(ScopeTeach, uploadTimeout)...)
	g.POST("/checks", s.makes(s.addChecks), s.limited(ScopeTeach, storeTimeout)...)
	g.POST("/checks/run", s.makes(s.askChecks), s.limited(ScopeTeach, storeTimeout)...)
	revises := s.limited(ScopeTeach, storeTimeout)
	g.PUT("/lessons/:id", s.makes(s.reviseLesson), revises...)
	g.PATCH("/lessons/:id", s.makes(s.reviseLesson), revises...)
	g.PUT("/answers/:id", s.makes(s.replaceAnswer), revises...)
	g.PATCH("/answers/:id", s.makes(s.reviseAnswer), revises...)
	g.POST("/answers/:id/suggest", s.makes(s.suggestPhrasings), s.limited(ScopeTeach, waitTimeout)...)
	g.POST("/answers/:id/restore", s.makes(s.restoreAnswer), revises...)
	g.POST("/jobs", s.makes(s.submit), s.limited(ScopeJobs, storeTimeout)...)
	g.POST("/jobs/:id/retry", s.makes(s.retryJob), s.limited(ScopeJobs, storeTimeout)...)
	g.POST("/jobs\\:batch", s.batch, s.limited(ScopeJobs, storeTimeout)...)
	g.POST("/interactions/:id/feedback", s.makes(s.feedback), s.limited(ScopeTeach, storeTimeout)...)
	steers := s.limited(ScopeControl, storeTimeout)
	g.POST("/control", s.makes(s.control), steers...)
	g.POST("/backups", s.makes(s.backUp), steers...)
	g.POST("/queues/:queue/pause", s.makes(s.pauseQueue), steers...)
	g.POST("/queues/:queue/resume", s.makes(s.resumeQueue), steers...)
	g.DELETE("/checkpoints/challenger", s.makes(s.unchallenge), s.limited(ScopeControl, requestTimeout)...)
	g.POST("/checkpoints/:id/challenge", s.makes(s.challenge), steers...)
	g.POST("/checkpoints/:id/promote", s.makes(s.promote), steers...)

	for _, path := range []string{"/monitoring", "/monitoring/*"} {
		e.Any(path, s.monitoring, s.identifyPage, s.limiter.read(costOne), s.require(ScopeRead|ScopeControl), s.sameOrigin())
	}
	return e
}

// routesOfAccess adds the routes of sessions and keys.
func (s *Server) routesOfAccess(g *echo.Group) {
	own := s.guarded(scopeOwn, requestTimeout)
	g.POST("/session", get(s.signIn), s.limiter.read(costList), s.sameOrigin(), s.queries.known, within(requestTimeout))
	g.GET("/session", get(s.getSession), own...)
	g.DELETE("/session", get(s.signOut), own...)
	g.GET("/sessions", get(s.listSessions), s.guarded(scopeOwn, requestTimeout, costList)...)
	g.DELETE("/sessions/:id", get(s.endSession), own...)
	g.GET("/keys", get(s.listKeys), s.guarded(ScopeControl, requestTimeout, costList)...)
}
