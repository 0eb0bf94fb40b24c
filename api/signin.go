package api

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/storage"
)

// maxSignIn limits the body of a sign-in, which anyone may send.
const maxSignIn = 4 << 10

// shownSession is a session as it is listed.
type shownSession struct {
	ID        string    `json:"id"`
	Key       string    `json:"key"`
	From      string    `json:"from"`
	Browser   string    `json:"browser"`
	CreatedAt *job.Time `json:"created_at"`
	SeenAt    *job.Time `json:"seen_at"`
	ExpiresAt *job.Time `json:"expires_at"`
	Current   bool      `json:"current"`
}

func showSession(s *session, who *identity) shownSession {
	seen := s.seenAt
	if seen.IsZero() {
		seen = s.CreatedAt
	}
	return shownSession{
		ID: s.ID, Key: s.Key, From: s.From, Browser: s.Browser, CreatedAt: job.At(s.CreatedAt), SeenAt: job.At(seen), ExpiresAt: job.At(s.endsAt()),
		Current: who != nil && who.session != nil && who.session.ID == s.ID,
	}
}

// signedIn describes the caller.
type signedIn struct {
	Key     *string       `json:"key"` // null where none is needed
	Scopes  []string      `json:"scopes"`
	Session *shownSession `json:"session"` // null for a key that was sent as such
	CSRF    *string       `json:"csrf_token"`
}

func tellIdentity(who *identity) signedIn {
	if who == nil {
		return signedIn{Scopes: ScopeAll.Names()}
	}
	out := signedIn{Key: &who.name, Scopes: who.scopes.Names()}
	if who.session != nil {
		shown, csrf := showSession(who.session, who), csrfToken(who.token)
		out.Session, out.CSRF = &shown, &csrf
	}
	return out
}

// getSession is GET /api/session.
func (s *Server) getSession(c echo.Context) (signedIn, error) {
	return tellIdentity(identityOf(c)), nil
}

// signIn is POST /api/session: it exchanges a key for a session.
func (s *Server) signIn(c echo.Context) (signedIn, error) {
	if s.keys.open() {
		return signedIn{}, job.Errorf(job.CodeConflict, "no key is needed here, so there is nothing to sign in to")
	}
	if _, err := mediaType(c, typeJSON); err != nil {
		return signedIn{}, err
	}
	body, err := readBody(c, maxSignIn)
	if err != nil {
		return signedIn{}, err
	}
	var key string
	if err := decodeObject(body, field{name: "key", into: &key}); err != nil {
		return signedIn{}, err
	}
	if key = strings.TrimSpace(key); key == "" {
		return signedIn{}, job.Errorf(job.CodeInvalid, "the key is missing").On("key")
	}
	ctx := c.Request().Context()
	who, fault := s.admit(c, key)
	if fault != nil {
		return signedIn{}, fault
	}
	token, made, err := s.sessions.begin(ctx, who, c.RealIP(), c.Request().UserAgent())
	if err != nil {
		return signedIn{}, err
	}
	// If the browser was already signed in, its old session ends, because nobody sees
	// it again.
	if old, ok := s.sessionOf(c.Request()); ok {
		if err := s.sessions.drop(ctx, []string{sessionID(old)}); err != nil {
			s.log.Debug("a session that was replaced could not be ended", "error", err)
		}
	}
	who.session, who.token = &made, token
	c.Set(identityKey, who)
	c.Set(auditKey, "sign_in")
	s.setCookies(c, token)
	return tellIdentity(who), nil
}

// signOut is DELETE /api/session. The browser drops the session in any case.
func (s *Server) signOut(c echo.Context) (ended, error) {
	who := identityOf(c)
	if who == nil || who.session == nil {
		return ended{}, job.Errorf(job.CodeConflict, "there is no session to end; this request carried none")
	}
	s.setCookies(c, "")
	c.Set(auditKey, "sign_out")
	return ended{Status: "signed_out", ID: who.session.ID}, s.sessions.drop(c.Request().Context(), []string{who.session.ID})
}

type ended struct {
	Status string `json:"status"`
	ID     string `json:"id"`
}

type sessionList struct {
	Sessions []shownSession `json:"sessions"`
}

// listSessions is GET /api/sessions: the caller's own, or all of them with
// ScopeControl.
func (s *Server) listSessions(c echo.Context) (sessionList, error) {
	all, err := s.sessions.list(c.Request().Context())
	if err != nil {
		return sessionList{}, err
	}
	out := sessionList{Sessions: []shownSession{}}
	for i := range all {
		if owns(c, all[i].Key) && s.alive(&all[i]) {
			out.Sessions = append(out.Sessions, showSession(&all[i], identityOf(c)))
		}
	}
	return out, nil
}

// alive reports whether a session is still valid.
func (s *Server) alive(one *session) bool {
	_, ok := s.keys.holder(one.Key, one.Proof)
	return ok && s.now().Before(one.endsAt())
}

// endSession is DELETE /api/sessions/{id}.
func (s *Server) endSession(c echo.Context) (ended, error) {
	ctx, id := c.Request().Context(), c.Param("id")
	all, err := s.sessions.list(ctx)
	if err != nil {
		return ended{}, err
	}
	i := slices.IndexFunc(all, func(o session) bool { return o.ID == id })
	if i < 0 || !owns(c, all[i].Key) || !s.alive(&all[i]) {
		return ended{}, job.Errorf(job.CodeNotFound, "no session has the id %q; GET /api/sessions lists them", job.Clip(id, 80))
	}
	c.Set(auditKey, "end_session")
	if who := identityOf(c); who != nil && who.session != nil && who.session.ID == id {
		s.setCookies(c, "")
	}
	return ended{Status: "ended", ID: id}, s.sessions.drop(ctx, []string{id})
}

// shownKey is a key as it is listed, with nothing of its secret.
type shownKey struct {
	Name      string    `json:"name"`
	State     string    `json:"state"`  // valid, rotating, expired or revoked
	Source    string    `json:"source"` // settings or storage
	Scopes    []string  `json:"scopes"`
	Note      string    `json:"note"`
	CreatedAt *job.Time `json:"created_at"`
	ExpiresAt *job.Time `json:"expires_at"`
	LastUsed  *job.Time `json:"last_used_at"`
}

type keyList struct {
	Keys []shownKey `json:"keys"`
}

// listKeys is GET /api/keys.
func (s *Server) listKeys(c echo.Context) (keyList, error) {
	out := keyList{Keys: []shownKey{}}
	for i := range s.keys.fixed {
		k := &s.keys.fixed[i]
		out.Keys = append(out.Keys, shownKey{Name: k.name, State: "valid", Source: "settings", Scopes: k.scopes.Names()})
	}
	if s.keys.book == nil {
		return out, nil
	}
	ctx := c.Request().Context()
	list, err := s.keys.book.List(ctx)
	var used map[string]time.Time
	if err == nil {
		used, err = s.keys.lastUse(ctx)
	}
	if err != nil {
		return keyList{}, job.Errorf(job.CodeUnavailable, "the API keys cannot be read just now").Because(err)
	}
	for i := range list {
		k := &list[i]
		shown := shownKey{Name: k.Name, State: stateOfKey(k, s), Source: "storage", Scopes: some(k.Scopes), Note: k.Note, CreatedAt: orNone(k.CreatedAt), ExpiresAt: orNone(k.ExpiresAt), LastUsed: orNone(used[k.Name])}
		out.Keys = append(out.Keys, shown)
	}
	return out, nil
}

func orNone(t time.Time) *job.Time {
	if t.IsZero() {
		return nil
	}
	return job.At(t)
}

func stateOfKey(k *storage.Key, s *Server) string {
	now := s.now()
	switch {
	case !k.RevokedAt.IsZero():
		return "revoked"
	case !k.ValidAt(now):
		return "expired"
	case slices.ContainsFunc(k.Secrets, func(o storage.Secret) bool { return !o.Until.IsZero() && o.ValidAt(now) }):
		return "rotating"
	}
	return "valid"
}

// toSignIn redirects a person to the only page where keys are entered, and back.
func toSignIn(c echo.Context) error {
	return c.Redirect(http.StatusSeeOther, "/dashboard/login?next="+url.QueryEscape(c.Request().URL.RequestURI()))
}

// isPerson reports whether a browser asks for a page.
func isPerson(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.Contains(r.Header.Get(echo.HeaderAccept), "text/html")
}
