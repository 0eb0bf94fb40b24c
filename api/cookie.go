package api

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/nexus-continuum/nexus/job"
)

// Names of the cookies of a signed-in browser. The session cookie is for the server
// only. The CSRF token is for the pages. It has the name that axios looks for, which
// the queue monitor uses.
const (
	sessionCookie = "nexus_session"
	csrfCookie    = "XSRF-TOKEN"

	headerCSRF      = "X-CSRF-Token"
	headerCSRFAxios = "X-XSRF-TOKEN"
)

// secureCaller returns a function that reports whether a request came over TLS, either
// to this server or to a trusted proxy.
func secureCaller(trusted []netip.Prefix) func(*http.Request) bool {
	return func(r *http.Request) bool {
		if r.TLS != nil {
			return true
		}
		direct, ok := parseAddress(r.RemoteAddr)
		if !ok {
			return false
		}
		for _, p := range trusted {
			if p.Contains(direct) {
				return strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https") || strings.Contains(strings.ToLower(r.Header.Get("Forwarded")), "proto=https")
			}
		}
		return false
	}
}

// cookieName returns the name of the session cookie. With the prefix __Host- a browser
// accepts the cookie only from this very host over TLS, so that no neighbouring host
// can set one.
func (s *Server) cookieName(r *http.Request) string {
	if s.secure(r) {
		return "__Host-" + sessionCookie
	}
	return sessionCookie
}

func (s *Server) sessionOf(r *http.Request) (token string, ok bool) {
	c, err := r.Cookie(s.cookieName(r))
	if err != nil || !strings.HasPrefix(c.Value, sessionPrefix) || len(c.Value) > 100 {
		return "", false
	}
	return c.Value, true
}

// setCookies gives a session to the browser; an empty token removes it.
func (s *Server) setCookies(c echo.Context, token string) {
	r := c.Request()
	one := http.Cookie{
		Name: s.cookieName(r), Value: token, Path: "/", Secure: s.secure(r), HttpOnly: true, SameSite: http.SameSiteStrictMode, MaxAge: int(sessionMost.Seconds()),
	}
	two := one
	two.Name, two.HttpOnly = csrfCookie, false // pages read it
	if token == "" {
		one.MaxAge, two.MaxAge = -1, -1
	} else {
		two.Value = csrfToken(token)
	}
	h := c.Response().Header()
	h.Del(echo.HeaderSetCookie)
	h.Add(echo.HeaderSetCookie, one.String())
	h.Add(echo.HeaderSetCookie, two.String())
}

// checkSession identifies the caller by a session. A request that changes something
// also needs the session's CSRF token.
func (s *Server) checkSession(c echo.Context, token string) {
	r := c.Request()
	found, ok, err := s.sessions.find(r.Context(), token)
	if err != nil {
		c.Set(keyFault, job.AsError(err))
		return
	}
	var who *identity
	if ok {
		who, ok = s.keys.holder(found.Key, found.Proof)
	}
	if !ok {
		s.setCookies(c, "")
		fault := s.guesses.check(rateLimitAddress(c.RealIP()), token, "", s.now())
		if fault.Code == job.CodeUnauthorized {
			fault = job.Errorf(job.CodeUnauthorized, "the session has ended; sign in again")
		}
		c.Set(keyFault, fault)
		return
	}
	who.session, who.token = &found, token
	c.Set(identityKey, who)
	if harmless(r.Method) {
		return
	}
	given := r.Header.Get(headerCSRF)
	if given == "" {
		given = r.Header.Get(headerCSRFAxios)
	}
	if !sameText(given, csrfToken(token)) {
		c.Set(keyFault, job.Errorf(job.CodeForbidden, "a change by a session needs the session's token in the header %s; GET /api/session shows it", headerCSRF))
	}
}

func harmless(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// present reports whether the key or session that opened a stream is still valid.
func (s *Server) present(c echo.Context) bool {
	who := identityOf(c)
	switch {
	case who == nil:
		return s.keys.open()
	case who.session == nil:
		_, ok := s.keys.holder(who.name, who.proof)
		return ok
	}
	found, ok, err := s.sessions.find(c.Request().Context(), who.token)
	if err != nil {
		return true // nobody is signed out because Redis is away
	}
	if ok {
		_, ok = s.keys.holder(found.Key, found.Proof)
	}
	return ok
}
