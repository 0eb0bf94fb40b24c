package api

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/nexus-continuum/nexus/job"
)

// TestValidityOverHTTP sets when an answer may be given, and finds it again in lists
// and exports.
func TestValidityOverHTTP(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if a := b.post("/api/lessons", `{"topic": "shop", "lessons": [
		{"prompt": "when do you open", "response": "At nine.", "draft": true},
		{"prompt": "opening hours", "response": "At nine."},
		{"prompt": "summer sale", "response": "From June.", "valid_from": "2031-06-01T00:00:00Z", "valid_until": "2031-07-01T00:00:00Z"},
		{"prompt": "where are you", "response": "Main Street 1"}]}`, "Prefer", "wait=10"); a.status != http.StatusAccepted {
		t.Fatalf("teaching: %d %s", a.status, a.body)
	}
	list := func(query string) map[string]map[string]any {
		t.Helper()
		var page struct{ Answers []map[string]any }
		b.must(json.Unmarshal(b.get("/api/answers"+query).body, &page))
		out := map[string]map[string]any{}
		for _, a := range page.Answers {
			out[a["response"].(string)] = a
		}
		return out
	}
	all := list("")
	if all["At nine."]["state"] != "draft" || all["From June."]["state"] != "scheduled" || all["Main Street 1"]["state"] != "live" {
		t.Fatalf("states: %v", all)
	}
	if got := list("?state=draft"); len(got) != 1 || got["At nine."]["phrasings"] != 2.0 {
		t.Errorf("drafts: %v", got)
	}
	b.wantError(b.get("/api/answers?state=new"), http.StatusBadRequest, job.CodeInvalid, "state", "scheduled")

	id := all["At nine."]["id"].(string)
	a := b.do(http.MethodPatch, "/api/answers/"+id, []byte(`{"draft": false, "valid_until": "2020-01-01T00:00:00Z"}`), "Content-Type", "application/json")
	if m := a.json(t); a.status != http.StatusOK || m["state"] != "expired" || m["draft"] != false || m["valid_until"] != "2020-01-01T00:00:00.000Z" {
		t.Fatalf("published with an end in the past: %d %s", a.status, a.body)
	}
	for _, bad := range []struct{ body, field, word string }{
		{`{"valid_from": "tomorrow"}`, "valid_from", "2027-01-31T08:00:00Z"},
		{`{"valid_from": "2021-01-01T00:00:00Z"}`, "valid_until", "later"}, // beside what is kept
		{`{"draft": "yes"}`, "draft", ""},
	} {
		a := b.do(http.MethodPatch, "/api/answers/"+id, []byte(bad.body), "Content-Type", "application/json")
		b.wantError(a, http.StatusBadRequest, job.CodeInvalid, bad.field, bad.word)
	}

	csv := string(b.get("/api/export?format=csv").body)
	if !strings.HasPrefix(csv, "prompt,response,topic,draft,valid_from,valid_until\n") || !strings.Contains(csv, "summer sale,From June.,shop,,2031-06-01T00:00:00Z,2031-07-01T00:00:00Z\n") {
		t.Errorf("CSV: %s", csv)
	}
	lines := string(b.get("/api/export").body)
	if strings.Count(lines, `"valid_until":"2020-01-01T00:00:00.000Z"`) != 2 || strings.Contains(lines, "Main Street 1\",\"topic\":\"shop\",\"d") {
		t.Errorf("NDJSON: %s", lines)
	}

	// What is exported means the same where nothing was taught.
	for _, form := range []struct{ kind, path, body string }{
		{"application/x-ndjson", "/api/lessons", lines},
		{"text/csv", "/api/lessons", csv},
		{"text/csv", "/api/import?filename=a.csv", csv},
		{"application/x-ndjson", "/api/import?filename=a.ndjson", lines},
	} {
		t.Run(form.kind+form.path, func(t *testing.T) {
			t.Parallel()
			other := setup(t)
			if a := other.do(http.MethodPost, form.path, []byte(form.body), "Content-Type", form.kind, "Prefer", "wait=10"); a.status != http.StatusAccepted {
				t.Fatalf("%d %s", a.status, a.body)
			}
			if got := string(other.get("/api/export?format=csv").body); got != csv {
				t.Errorf("after the import:\n%s\nwant\n%s", got, csv)
			}
		})
	}

	// A deleted answer is live when it is taught again.
	if a := b.do(http.MethodDelete, "/api/answers/"+id, nil, "Prefer", "wait=10"); a.status != http.StatusAccepted {
		t.Fatalf("delete: %d %s", a.status, a.body)
	}
	b.post("/api/lessons", `{"topic": "shop", "lessons": [{"prompt": "hours", "response": "At nine."}]}`, "Prefer", "wait=10")
	if got := list("")["At nine."]; got["state"] != "live" {
		t.Errorf("taught again: %v", got)
	}
	// One that gets another text keeps its dates.
	id = list("")["From June."]["id"].(string)
	a = b.do(http.MethodPatch, "/api/answers/"+id, []byte(`{"response": "From July."}`), "Content-Type", "application/json", "Prefer", "wait=10")
	if a.status != http.StatusAccepted {
		t.Fatalf("revise: %d %s", a.status, a.body)
	}
	if got := list("?state=scheduled"); got["From July."]["valid_from"] != "2031-06-01T00:00:00.000Z" {
		t.Errorf("after a new text: %v", got)
	}
}
