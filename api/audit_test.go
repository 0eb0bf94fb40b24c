package api

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// Every change says who made it, what it was and from where; prompts and what
// was refused are no changes.
func TestChangesAreAudited(t *testing.T) {
	t.Parallel()
	file := &journal{}
	b := setup(t, func(o *Options) { o.Keys, o.Audit = keysOfEachScope(), file })
	b.post("/api/interact", `{"prompt":"a secret question"}`, "X-API-Key", rootKey)
	b.post("/api/control", `{"action":"pause"}`, "X-API-Key", ownerKey) // 403
	b.post("/api/control", `{"action":"resume"}`, "X-API-Key", rootKey)
	taught := b.post("/api/lessons", `{"lessons":[{"prompt":"p","response":"a secret answer"}]}`, "X-API-Key", ownerKey)
	if taught.status != http.StatusAccepted {
		t.Fatal(taught.status)
	}
	b.do("POST", "/monitoring/api/queues/batch:pause", nil, "X-API-Key", rootKey)

	var seen []string
	b.until("all three are there", func() bool {
		var page struct{ Changes []change }
		b.must(json.Unmarshal(b.get("/api/audit", "X-API-Key", rootKey).body, &page))
		seen = nil
		for _, c := range page.Changes {
			if c.From != "127.0.0.1" || c.At == nil || c.RequestID == "" {
				t.Errorf("%+v", c)
			}
			seen = append(seen, strings.TrimSpace(c.Who+" "+c.Method+" "+c.Path+" "+c.Action))
		}
		return len(seen) == 3
	})
	want := []string{"root POST /monitoring/api/queues/batch:pause", "owner POST /api/lessons", "root POST /api/control resume"}
	if !slices.Equal(seen, want) {
		t.Errorf("%q, want %q", seen, want)
	}
	if lines := strings.Count(file.String(), "\n"); lines != 3 || strings.Contains(file.String(), "secret") {
		t.Errorf("the file:\n%s", file)
	}
	first := b.get("/api/audit?limit=2", "X-API-Key", rootKey)
	rest := b.get("/api/audit?limit=2&cursor="+first.text(t, "next_cursor"), "X-API-Key", rootKey)
	if n := len(rest.json(t)["changes"].([]any)); n != 1 {
		t.Errorf("the second page has %d", n)
	}
	b.wantError(b.get("/api/audit?cursor=x", "X-API-Key", rootKey), 400, "invalid_request", "cursor")
}
