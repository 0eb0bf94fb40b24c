package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/storage"
)

// cookies are what a browser sends back, and the CSRF token that its pages know.
func (a answer) cookies(t testing.TB) (cookie, csrf string) {
	t.Helper()
	var parts []string
	for _, line := range a.header.Values("Set-Cookie") {
		c, err := http.ParseSetCookie(line)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.HttpOnly == (c.Name == "XSRF-TOKEN") {
			t.Errorf("the cookie %s", line)
		}
		if c.Name == "XSRF-TOKEN" {
			csrf = c.Value
		}
		parts = append(parts, c.Name+"="+c.Value)
	}
	return strings.Join(parts, "; "), csrf
}

func (b *bundle) signIn(key string, header ...string) (cookie, csrf string) {
	b.Helper()
	a := b.post("/api/session", `{"key":`+quote(key)+`}`, header...)
	if a.status != http.StatusOK {
		b.Fatalf("sign in: %d %s", a.status, a.body)
	}
	cookie, csrf = a.cookies(b)
	if csrf == "" || a.text(b, "csrf_token") != csrf || !strings.Contains(cookie, "nexus_session=nexus_session_") {
		b.Fatalf("cookies %q, body %s", cookie, a.body)
	}
	return cookie, csrf
}

func TestASessionMayWhatItsKeyMay(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *Options) { o.Keys = keysOfEachScope() })
	b.wantError(b.post("/api/session", `{"key":"wrong-0123456789abcdef"}`), 401, job.CodeUnauthorized, "")
	b.wantError(b.post("/api/session", `{"key":" "}`), 400, job.CodeInvalid, "key")
	b.wantError(b.post("/api/session", `{}`), 400, job.CodeInvalid, "key")
	b.wantError(b.post("/api/session", `{"key":"`+strings.Repeat("x", maxSignIn)+`"}`), 413, job.CodeTooLarge, "")
	for _, h := range []string{"cross-site", "same-site"} {
		b.wantError(b.post("/api/session", `{"key":"`+rootKey+`"}`, "Sec-Fetch-Site", h), 403, job.CodeForbidden, "")
	}

	cookie, csrf := b.signIn(rootKey)
	reader, _ := b.signIn(scopeKey("read"))
	for _, path := range []string{"/api/status", "/api/jobs", "/monitoring", "/monitoring/api/queues", "/api/session", "/api/sessions", "/api/keys"} {
		if a := b.get(path, "Cookie", cookie); a.status != http.StatusOK {
			t.Errorf("%s by a session: %d %s", path, a.status, a.body)
		}
	}
	b.wantError(b.get("/api/jobs", "Cookie", reader), 403, job.CodeForbidden, "", "only-read")

	// A change needs the token, the right one; also in the queue monitor.
	pause := func(h ...string) answer { return b.post("/api/control", `{"action":"resume"}`, h...) }
	b.wantError(pause("Cookie", cookie), 403, job.CodeForbidden, "", "X-CSRF-Token")
	b.wantError(pause("Cookie", cookie, "X-CSRF-Token", csrf+"x"), 403, job.CodeForbidden, "")
	b.wantError(pause("Cookie", cookie, "X-CSRF-Token", csrf, "Sec-Fetch-Site", "same-site"), 403, job.CodeForbidden, "")
	b.wantError(b.do("POST", "/monitoring/api/queues/batch:pause", nil, "Cookie", cookie), 403, job.CodeForbidden, "")
	for _, h := range []string{"X-CSRF-Token", "X-XSRF-TOKEN"} {
		if a := pause("Cookie", cookie, h, csrf); a.status != http.StatusOK {
			t.Errorf("with %s: %d %s", h, a.status, a.body)
		}
	}

	// Nobody is signed in by a made-up session, or by what Redis keeps of one.
	kept, err := b.provided.Client().HGetAll(t.Context(), b.srv.sessions.all).Result()
	b.must(err)
	if len(kept) != 2 {
		t.Errorf("%d sessions are kept", len(kept))
	}
	for id, text := range kept {
		if strings.Contains(text, rootKey) || strings.Contains(text, strings.TrimPrefix(cookie, "nexus_session=")[:40]) {
			t.Errorf("Redis keeps a secret: %s", text)
		}
		for _, made := range []string{id, text[:20], sessionPrefix + id} {
			if a := b.get("/api/status", "Cookie", "nexus_session="+strings.NewReplacer(`"`, "", ";", "").Replace(made)); a.status != http.StatusUnauthorized {
				t.Errorf("signed in by %q: %d", made, a.status)
			}
		}
	}

	// Each sees its own sessions; with control all. Only those can be ended.
	if n := len(b.get("/api/sessions", "Cookie", reader).json(t)["sessions"].([]any)); n != 1 {
		t.Errorf("a key sees %d sessions", n)
	}
	all := b.get("/api/sessions", "Cookie", cookie).json(t)["sessions"].([]any)
	ids := map[string]string{}
	for _, s := range all {
		one := s.(map[string]any)
		ids[one["key"].(string)] = one["id"].(string)
	}
	b.wantError(b.do("DELETE", "/api/sessions/"+ids["root"], nil, "X-API-Key", scopeKey("read")), 404, job.CodeNotFound, "")
	if a := b.do("DELETE", "/api/sessions/"+ids["only-read"], nil, "Cookie", cookie, "X-CSRF-Token", csrf); a.status != http.StatusOK {
		t.Errorf("end another's: %d %s", a.status, a.body)
	}
	b.wantError(b.get("/api/status", "Cookie", reader), 401, job.CodeUnauthorized, "", "sign in again")

	out := b.do("DELETE", "/api/session", nil, "Cookie", cookie, "X-CSRF-Token", csrf)
	if out.status != http.StatusOK {
		t.Fatalf("sign out: %d %s", out.status, out.body)
	}
	if gone, _ := out.cookies(t); gone != "nexus_session=; XSRF-TOKEN=" {
		t.Errorf("the browser keeps %q", gone)
	}
	b.wantError(b.get("/api/status", "Cookie", cookie), 401, job.CodeUnauthorized, "")
	b.wantError(b.do("DELETE", "/api/session", nil, "X-API-Key", rootKey), 409, job.CodeConflict, "")
}

// Sessions are those of the whole cluster, outlive a restart, and end with their
// key.
func TestSessionsOfSeveralServers(t *testing.T) {
	t.Parallel()
	first := setup(t)
	book := storage.NewKeys(first.store, storage.KeyOptions{})
	key, err := NewKey(nil)
	first.must(err)
	first.must(book.Create(t.Context(), storage.Key{Name: "bob", Scopes: []string{"read"}}, digestText(key)))
	clock := &shifted{}
	server := func(keys ...Key) *bundle {
		o := first.srv.opt
		o.KeyBook, o.Keys, o.Listen, o.Recorder, o.Registry, o.Now = book, keys, "127.0.0.1:0", nil, nil, clock.now
		srv, err := New(o)
		first.must(err)
		first.must(srv.Start(t.Context()))
		t.Cleanup(func() { first.must(srv.Stop(context.Background())) })
		b := *first
		b.srv, b.url = srv, srv.URL()
		return &b
	}
	one, two := server(Key{"root", rootKey, ScopeAll}), server(Key{"root", "another-root-0123456789", ScopeAll})
	cookie, csrf := one.signIn(key)
	if a := two.get("/api/status", "Cookie", cookie); a.status != http.StatusOK {
		t.Errorf("another server does not know the session: %d", a.status)
	}
	// What one server ends, the other takes no longer.
	one.do("DELETE", "/api/session", nil, "Cookie", cookie, "X-CSRF-Token", csrf)
	clock.add(sessionLook)
	one.wantError(two.get("/api/status", "Cookie", cookie), 401, job.CodeUnauthorized, "")

	// A key of the settings that is another after the restart ends its sessions.
	root, _ := one.signIn(rootKey)
	one.wantError(two.get("/api/status", "Cookie", root), 401, job.CodeUnauthorized, "")
	if a := server(Key{"root", rootKey, ScopeAll}).get("/api/status", "Cookie", root); a.status != http.StatusOK {
		t.Errorf("a restart ended the session: %d", a.status)
	}

	cookie, _ = one.signIn(key)
	clock.add(sessionIdle - time.Minute)
	if a := one.get("/api/status", "Cookie", cookie); a.status != http.StatusOK {
		t.Errorf("before it ends: %d", a.status)
	}
	clock.add(sessionIdle - time.Minute) // it was used since
	if a := two.get("/api/status", "Cookie", cookie); a.status != http.StatusOK {
		t.Errorf("a session that is used ended: %d", a.status)
	}
	clock.add(sessionIdle)
	one.wantError(one.get("/api/status", "Cookie", cookie), 401, job.CodeUnauthorized, "")

	cookie, _ = one.signIn(key)
	first.must(book.Revoke(t.Context(), "bob"))
	one.until("the revoked key's session ends", func() bool { return one.get("/api/status", "Cookie", cookie).status == http.StatusUnauthorized })
}

// Of too many sessions of one key the oldest end.
func TestSessionsAreBounded(t *testing.T) {
	t.Parallel()
	clock := &shifted{}
	b := setup(t, func(o *Options) { o.Keys, o.Now = keysOfEachScope(), clock.now })
	oldest, _ := b.signIn(rootKey)
	for range sessionsPerKey {
		clock.add(time.Second)
		b.signIn(rootKey)
	}
	clock.add(sessionLook)
	b.wantError(b.get("/api/status", "Cookie", oldest), 401, job.CodeUnauthorized, "")
	if n := len(b.get("/api/sessions", "X-API-Key", rootKey).json(t)["sessions"].([]any)); n != sessionsPerKey {
		t.Errorf("%d sessions", n)
	}
}

func TestWithoutKeysThereIsNothingToSignInTo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.wantError(b.post("/api/session", `{"key":"x"}`), 409, job.CodeConflict, "")
	if a := b.get("/api/session"); a.status != http.StatusOK || a.json(t)["key"] != nil {
		t.Errorf("%d %s", a.status, a.body)
	}
	b.wantError(b.do("DELETE", "/api/session", nil), 409, job.CodeConflict, "")
}

func digestText(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// shifted is a clock that goes as ours does and can be put ahead.
type shifted struct{ ahead atomic.Int64 }

func (s *shifted) now() time.Time { return time.Now().Add(time.Duration(s.ahead.Load())) }

func (s *shifted) add(d time.Duration) { s.ahead.Add(int64(d)) }
