package api

import (
	"cmp"
	_ "embed"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"
)

// CheckOrigins returns an error if an entry is not the origin of a page: scheme and
// host, without a path. A star is refused, because every site could then act for the
// person who opens it.
func CheckOrigins(origins []string) error {
	for _, o := range origins {
		u, err := url.Parse(o)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.Path != "" || u.RawQuery != "" || u.User != nil || strings.Contains(o, "*") {
			return fmt.Errorf("%q is no origin; each is written like https://www.example.com, without a path or a star", o)
		}
	}
	return nil
}

// exposed are the headers of answers that pages of other origins may read.
const exposed = "Location, Retry-After, X-Request-Id, RateLimit, RateLimit-Policy, Preference-Applied, Idempotency-Replayed"

// shared lets pages of the configured origins call the API. It identifies them by the
// Origin header and does not use cookies.
func (s *Server) shared(next echo.HandlerFunc) echo.HandlerFunc {
	origins := s.opt.CORSOrigins
	if len(origins) == 0 {
		return next
	}
	allowed := strings.Join([]string{"Content-Type", "Authorization", "Prefer", "Idempotency-Key", "X-Request-Id", "Last-Event-ID", cmp.Or(s.opt.KeyHeader, DefaultKeyHeader)}, ", ")
	return func(c echo.Context) error {
		r, h := c.Request(), c.Response().Header()
		origin := r.Header.Get(echo.HeaderOrigin)
		if !strings.HasPrefix(r.URL.Path, "/api/") {
			return next(c)
		}
		h.Add(echo.HeaderVary, echo.HeaderOrigin)
		if !slices.Contains(origins, origin) {
			return next(c)
		}
		h.Set(echo.HeaderAccessControlAllowOrigin, origin)
		h.Set("Cross-Origin-Resource-Policy", "cross-origin")
		if r.Method == http.MethodOptions && r.Header.Get(echo.HeaderAccessControlRequestMethod) != "" {
			h.Set(echo.HeaderAccessControlAllowMethods, "GET, POST, PUT, PATCH, DELETE")
			h.Set(echo.HeaderAccessControlAllowHeaders, allowed)
			h.Set(echo.HeaderAccessControlMaxAge, "600")
			return c.NoContent(http.StatusNoContent)
		}
		h.Set(echo.HeaderAccessControlExposeHeaders, exposed)
		return next(c)
	}
}

//go:embed static/widget.js
var widgetScript []byte

// widget is GET /widget.js, the chat for pages of other sites.
func (s *Server) widget(c echo.Context) error {
	c.Response().Header().Set("Cross-Origin-Resource-Policy", "cross-origin")
	return serve(c, "text/javascript; charset=utf-8", policyNone, widgetScript)
}
