package api

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/nexus-continuum/nexus/job"
)

const (
	identityKey = "nexus.identity"  // who asks; absent where no key is needed or none was good
	keyFault    = "nexus.key-fault" // why a request may not pass, if it may not
)

// identify finds out who makes a request. require decides whether they may.
func (s *Server) identify(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		s.check(c, false)
		return next(c)
	}
}

// identifyPage is identify for pages that a browser opens. A person who is not signed
// in is redirected to the sign-in page. Programs may also give the key as the password
// of HTTP Basic. The server never asks for it in that way, because a browser would send
// it forever.
func (s *Server) identifyPage(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		s.check(c, true)
		if fault, ok := c.Get(keyFault).(*job.Error); ok && fault.Code == job.CodeUnauthorized && isPerson(c.Request()) {
			return toSignIn(c)
		}
		return next(c)
	}
}

func (s *Server) check(c echo.Context, basic bool) {
	if s.keys.open() {
		return
	}
	given, ok := s.keys.given(c.Request(), basic)
	if !ok {
		if token, ok := s.sessionOf(c.Request()); ok {
			s.checkSession(c, token)
			return
		}
		c.Set(keyFault, job.Errorf(job.CodeUnauthorized, "an API key is needed; send it in the header %s or as Authorization: Bearer", s.keys.header))
		return
	}
	who, fault := s.admit(c, given)
	if fault != nil {
		c.Set(keyFault, fault)
		return
	}
	c.Set(identityKey, who)
}

// admit returns the identity of a given key. It counts wrong keys.
func (s *Server) admit(c echo.Context, given string) (*identity, *job.Error) {
	who, ok := s.keys.find(c.Request().Context(), given)
	name := ""
	if ok {
		name = who.name
	}
	if fault := s.guesses.check(rateLimitAddress(c.RealIP()), given, name, s.now()); fault != nil {
		return nil, fault
	}
	return who, nil
}

// require admits only callers whose key has one of the scopes, if there are any keys.
func (s *Server) require(need Scope) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if fault, ok := c.Get(keyFault).(*job.Error); ok {
				return fault
			}
			if who := identityOf(c); who != nil && who.scopes&need == 0 {
				return lacks(who, need)
			}
			return next(c)
		}
	}
}

func lacks(who *identity, need Scope) *job.Error {
	return job.Errorf(job.CodeForbidden, "the key %q may not do this: it needs the scope %s and has %s",
		who.name, strings.Join(need.Names(), " or "), strings.Join(who.scopes.Names(), ", "))
}

func (k *keyring) given(r *http.Request, basic bool) (string, bool) {
	if v := r.Header.Get(k.header); v != "" {
		return v, true
	}
	scheme, token, _ := strings.Cut(r.Header.Get(echo.HeaderAuthorization), " ")
	if strings.EqualFold(scheme, "bearer") && token != "" {
		return strings.TrimSpace(token), true
	}
	if basic {
		if _, password, ok := r.BasicAuth(); ok {
			return password, true
		}
	}
	return "", false
}

// challenge is the WWW-Authenticate value for a request without a key.
const challenge = `Bearer realm="NEXUS"`

// identityOf returns the identity of a request; nil if no key is needed.
func identityOf(c echo.Context) *identity {
	who, _ := c.Get(identityKey).(*identity)
	return who
}

// ownerOf returns the owner name for what a request makes.
func ownerOf(c echo.Context) string {
	if who := identityOf(c); who != nil {
		return who.name
	}
	return ""
}

// may reports whether the caller has a scope. If no key is needed, every caller has
// every scope.
func may(c echo.Context, need Scope) bool {
	who := identityOf(c)
	return who == nil || who.scopes&need != 0
}

// owns reports whether the caller may see something that owner made: it is the caller's
// own, or the caller may see things of others.
func owns(c echo.Context, owner string) bool {
	return may(c, ScopeControl) || ownerOf(c) == owner
}

// onlyOwner returns the owner whose things a list shows; nil means all.
func onlyOwner(c echo.Context) *string {
	if may(c, ScopeControl) {
		return nil
	}
	owner := ownerOf(c)
	return &owner
}

// client identifies the caller by the name of the key, or else by the address.
func client(c echo.Context) string {
	if who := identityOf(c); who != nil {
		return "key:" + who.name
	}
	return "ip:" + rateLimitAddress(c.RealIP())
}
