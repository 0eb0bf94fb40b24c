package api

import (
	"net/http"
	"strings"
	"testing"
)

// A query parameter that a route does not have is refused, by the route's own list in
// the OpenAPI file.
func TestUnknownQueryParametersAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for route, known := range map[string]string{
		"/api/jobs?stat=failed": "state", "/api/jobs?limit=3&Cursor=x": "cursor", "/api/lessons?topics=x": "topic",
		"/api/refusals?limit=3": "cursor", "/api/status?x=1": "none", "/api/checkpoints?cursor=x": "",
	} {
		a := b.get(route)
		_, query, _ := strings.Cut(route, "?")
		if a.status != http.StatusBadRequest || !strings.Contains(a.text(t, "detail"), "unknown query parameter") || !strings.Contains(a.text(t, "detail"), known) {
			t.Errorf("%s: %d %s", query, a.status, a.body)
		}
	}
	if a := b.do(http.MethodDelete, "/api/lessons?topic=x&dry=1", nil); a.status != http.StatusBadRequest {
		t.Errorf("a deletion with an unknown parameter: %d %s", a.status, a.body)
	}
	if a := b.post("/api/interact?wait=1", `{"prompt":"x"}`); a.status != http.StatusBadRequest {
		t.Errorf("an ask with an unknown parameter: %d %s", a.status, a.body)
	}
	if a := b.get("/api/jobs?kind=interact&state=failed&limit=3"); a.status != http.StatusOK {
		t.Errorf("known parameters: %d %s", a.status, a.body)
	}
}
