package api

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/storage"
)

// keyed is a key of each scope alone, of all, and one that owns what the others
// reach for.
const (
	ownerKey = "owner-0123456789abcdef"
	rootKey  = "root-0123456789abcdefg"
)

func scopeKey(scope string) string { return "only-" + scope + "-0123456789abcdef" }

func keysOfEachScope() []Key {
	keys := []Key{{Name: "owner", Key: ownerKey, Scopes: ScopeUsual}, {Name: "root", Key: rootKey, Scopes: ScopeAll}}
	for i, name := range scopeNames {
		keys = append(keys, Key{Name: "only-" + name, Key: scopeKey(name), Scopes: 1 << i})
	}
	return keys
}

// bodies are what the routes take that want one; {id} is the owner's.
var bodies = map[string]string{
	"POST /api/interact": `{"prompt":"walked"}`, "POST /api/lessons": `{"lessons":[{"prompt":"p","response":"r"}]}`,
	"POST /api/jobs": `{"kind":"interact","prompt":"walked"}`, "POST /api/interactions/{id}/feedback": `{"correct":true}`,
	"POST /api/control": `{"action":"resume"}`,
}

// Every operation of the OpenAPI file with every scope, and with no key at all:
// only those that the file names may do it, and nobody reaches what another key
// made without control.
func TestRoutesByScopeAndOwner(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *Options) { o.Keys = keysOfEachScope() })
	k := newContract(t)
	walked := 0
	for path, item := range k.doc.Paths.Map() {
		for method, op := range item.Operations() {
			name := method + " " + path
			if op.Security != nil && len(*op.Security) == 1 && len((*op.Security)[0]) == 0 {
				continue // open to everyone, see TestKeysAreAsked
			}
			if path == "/api/events" {
				continue // does not end, see TestEventsAreForReaders
			}
			walked++
			raw, _ := op.Extensions["x-scopes"].([]any)
			var allowed []string
			for _, s := range raw {
				allowed = append(allowed, fmt.Sprint(s))
			}
			if len(allowed) == 0 {
				t.Errorf("%s: openapi.yaml does not say which scopes it needs (x-scopes)", name)
				continue
			}
			b.walk(name, method, path, allowed)
		}
	}
	if walked < 18 {
		t.Errorf("only %d operations were walked", walked)
	}
}

func (b *bundle) walk(name, method, path string, allowed []string) {
	b.Helper()
	// What is owned is made anew for each: some routes end it.
	call := func(key string) answer {
		id := b.owned(path)
		headers := []string{"Content-Type", "application/json"}
		if key != "" {
			headers = append(headers, "X-API-Key", key)
		}
		var body []byte
		if text, ok := bodies[name]; ok {
			body = []byte(text)
		}
		return b.do(method, strings.ReplaceAll(path, "{id}", id), body, headers...)
	}
	b.wantError(call(""), 401, job.CodeUnauthorized, "")
	b.wantError(call("wrong-0123456789abcdef"), 401, job.CodeUnauthorized, "")
	owned := strings.Contains(path, "/jobs/{id}") || strings.Contains(path, "/interactions/{id}")
	for _, scope := range scopeNames {
		a := call(scopeKey(scope))
		switch {
		case !slices.Contains(allowed, scope):
			if a.status != http.StatusForbidden {
				b.Errorf("%s with the scope %s: %d, want 403", name, scope, a.status)
			}
		case owned && scope != "control":
			b.wantError(a, 404, job.CodeNotFound, "")
		case a.status == http.StatusUnauthorized || a.status == http.StatusForbidden || a.status >= 500:
			b.Errorf("%s with the scope %s: %d %s", name, scope, a.status, job.Clip(string(a.body), 200))
		}
	}
	for _, key := range []string{rootKey, ownerKey} {
		if key == ownerKey && len(allowed) == 1 && allowed[0] == "control" {
			continue
		}
		// A job that waits cannot be tried again: it is there, and says so.
		a := call(key)
		if strings.HasSuffix(path, "/retry") && a.status == http.StatusConflict {
			continue
		}
		if a.status >= 500 || owned && a.status >= 400 || a.status == 401 || a.status == 403 {
			b.Errorf("%s with the key %.5s: %d %s", name, key, a.status, job.Clip(string(a.body), 200))
		}
	}
}

// owned makes what a path with an id reaches for: a job that waits, or an
// interaction. It belongs to the key "owner".
func (b *bundle) owned(path string) string {
	b.Helper()
	switch {
	case strings.Contains(path, "/jobs/{id}/events"), strings.Contains(path, "/interactions/"):
		a := b.post("/api/interact", `{"prompt":"the owner's secret question"}`, "X-API-Key", ownerKey)
		if a.status != http.StatusOK {
			b.Fatalf("%d %s", a.status, a.body)
		}
		return a.text(b, "interaction_id")
	case strings.Contains(path, "/jobs/{id}"):
		b.must(b.queue.PauseLane(b.Context(), job.LaneBatch, true, "a test"))
		a := b.post("/api/jobs", `{"kind":"interact","prompt":"the owner's secret question"}`, "X-API-Key", ownerKey)
		if a.status != http.StatusAccepted {
			b.Fatalf("%d %s", a.status, a.body)
		}
		return a.text(b, "id")
	}
	return "unknown"
}

func TestListsShowAKeyItsOwn(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *Options) {
		o.Keys = []Key{{"alice", ownerKey, ScopeUsual}, {"bob", "bob-0123456789abcdef", ScopeUsual}, {"root", rootKey, ScopeAll}}
	})
	b.ended2(b.post("/api/jobs", `{"kind":"interact","prompt":"alice's secret"}`, "X-API-Key", ownerKey), ownerKey)
	b.ended2(b.post("/api/lessons", `{"lessons":[{"prompt":"p","response":"r"}]}`, "X-API-Key", ownerKey), ownerKey)
	for key, want := range map[string]int{ownerKey: 2, "bob-0123456789abcdef": 0, rootKey: 2} {
		if got := len(b.get("/api/jobs", "X-API-Key", key).json(t)["jobs"].([]any)); got != want {
			t.Errorf("the key %.5s sees %d jobs, want %d", key, got, want)
		}
		found := strings.Contains(string(b.get("/api/refusals", "X-API-Key", key).body), "alice's secret")
		if found != (want > 0) {
			t.Errorf("the key %.5s sees the refusal: %v", key, found)
		}
	}
	// The dataset remembers it too, for a job that Redis lost.
	ids, err := b.datasets.IDs(t.Context())
	b.must(err)
	if ds, err := b.datasets.Stat(t.Context(), ids[0]); err != nil || ds.Owner != "alice" {
		t.Errorf("the dataset belongs to %q, %v", ds.Owner, err)
	}
	for _, kind := range []string{`{"kind":"train"}`, `{"kind":"train","topic":"general_knowledge"}`} {
		b.wantError(b.post("/api/jobs", kind, "X-API-Key", scopeKey("jobs")), 401, job.CodeUnauthorized, "")
	}
}

// ended2 waits for a job that a key made.
func (b *bundle) ended2(a answer, key string) {
	b.Helper()
	id := a.text(b, "id")
	b.until("the job ends", func() bool {
		return job.State(b.get("/api/jobs/"+id, "X-API-Key", key).text(b, "state")).Final()
	})
}

func TestTheMonitorOnlyShowsWithoutControl(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *Options) { o.Keys = keysOfEachScope() })
	b.must(b.queue.PauseLane(t.Context(), job.LaneBatch, true, "a test"))
	b.post("/api/jobs", `{"kind":"interact","prompt":"the owner's secret question"}`, "X-API-Key", ownerKey)
	tasks := "/monitoring/api/queues/batch/pending_tasks"
	seen := b.get(tasks, "X-API-Key", scopeKey("read"))
	if seen.status != http.StatusOK || strings.Contains(string(seen.body), "secret question") {
		t.Errorf("a key that may only look sees the payload: %d %s", seen.status, seen.body)
	}
	if full := b.get(tasks, "X-API-Key", rootKey); !strings.Contains(string(full.body), "secret question") {
		t.Errorf("a key with control does not: %s", full.body)
	}
	pause := "/monitoring/api/queues/interactive:pause"
	b.wantError(b.do("POST", pause, nil, "X-API-Key", scopeKey("read")), 403, job.CodeForbidden, "", "control")
	b.wantError(b.get("/monitoring", "X-API-Key", scopeKey("ask")), 403, job.CodeForbidden, "", "read or control")
	b.get("/api/status", "X-API-Key", rootKey)
	if a := b.do("POST", pause, nil, "X-API-Key", rootKey); a.status >= 300 {
		t.Errorf("with control: %d %s", a.status, a.body)
	}
	// Errors have the form of this API's, and say what is at fault.
	b.wantError(b.do("POST", pause, nil, "X-API-Key", rootKey), 409, job.CodeConflict, "", "already paused")
	b.wantError(b.get("/monitoring/api/queues/nope", "X-API-Key", rootKey), 404, job.CodeNotFound, "", "no such queue")
	// The very next status says so.
	if a := b.get("/api/status", "X-API-Key", rootKey); !strings.Contains(string(a.body), "queue interactive is paused") {
		t.Errorf("health does not name a queue that was just paused: %s", a.body)
	}
}

func TestKeptKeys(t *testing.T) {
	t.Parallel()
	var book *storage.Keys
	b := setup(t, func(o *Options) {})
	_ = b
	book = storage.NewKeys(b.store, storage.KeyOptions{})
	c := setup(t, func(o *Options) { o.KeyBook = book })
	if a := c.get("/api/status"); a.status != http.StatusOK {
		t.Fatalf("before the first key: %d", a.status)
	}
	first, err := NewKey(nil)
	c.must(err)
	second, err := NewKey(nil)
	c.must(err)
	c.must(book.Create(t.Context(), storage.Key{Name: "bob", Scopes: []string{"read"}}, digestText(first)))
	// From then on nobody comes in without one, and the new one works at once or
	// within the time that the book is looked at.
	c.until("the service is closed", func() bool { return c.get("/api/status").status == http.StatusUnauthorized })
	if a := c.get("/api/status", "X-API-Key", first); a.status != http.StatusOK {
		t.Errorf("the new key: %d", a.status)
	}
	c.must(book.Rotate(t.Context(), "bob", digestText(second), time.Hour))
	c.until("the rotated key works", func() bool { return c.get("/api/status", "X-API-Key", second).status == http.StatusOK })
	if a := c.get("/api/status", "X-API-Key", first); a.status != http.StatusOK {
		t.Errorf("the older key within its overlap: %d", a.status)
	}
	third, err := NewKey(nil)
	c.must(err)
	c.must(book.Rotate(t.Context(), "bob", digestText(third), time.Millisecond))
	c.until("the older key is refused after its overlap", func() bool { return c.get("/api/status", "X-API-Key", second).status == http.StatusUnauthorized })
	short, err := NewKey(nil)
	c.must(err)
	c.must(book.Create(t.Context(), storage.Key{Name: "guest", Scopes: []string{"read"}, ExpiresAt: time.Now().Add(4 * time.Second)}, digestText(short)))
	c.until("the guest's key works", func() bool { return c.get("/api/status", "X-API-Key", short).status == http.StatusOK })
	c.until("the guest's key has expired", func() bool { return c.get("/api/status", "X-API-Key", short).status == http.StatusUnauthorized })
	c.must(book.Revoke(t.Context(), "bob"))
	c.until("the revoked key is refused", func() bool { return c.get("/api/status", "X-API-Key", third).status == http.StatusUnauthorized })
	c.must(c.srv.Stop(t.Context()))
	if used, err := book.LastUse(t.Context()); err != nil || used["bob"].IsZero() {
		t.Errorf("last use %v, %v", used, err)
	}
}
