package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/nexus-continuum/nexus/job"
)

func TestOtherOrigins(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *Options) { o.CORSOrigins = []string{"https://shop.example"} })
	const ask = `{"prompt":"x"}`
	from := func(origin string) answer {
		return b.post("/api/interact", ask, "Origin", origin, "Sec-Fetch-Site", "cross-site")
	}
	if a := from("https://shop.example"); a.status != http.StatusOK || a.header.Get("Access-Control-Allow-Origin") != "https://shop.example" ||
		!strings.Contains(a.header.Get("Access-Control-Expose-Headers"), "Retry-After") || a.header.Get("Cross-Origin-Resource-Policy") != "cross-origin" {
		t.Errorf("%d %v", a.status, a.header)
	}
	other := from("https://evil.example")
	b.wantError(other, 403, job.CodeForbidden, "")
	if other.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("another origin is let in: %v", other.header)
	}
	a := b.do(http.MethodOptions, "/api/interact", nil, "Origin", "https://shop.example", "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "content-type,x-api-key")
	if a.status != http.StatusNoContent || !strings.Contains(a.header.Get("Access-Control-Allow-Headers"), "X-API-Key") ||
		!strings.Contains(a.header.Get("Access-Control-Allow-Methods"), "PUT") {
		t.Errorf("preflight: %d %v", a.status, a.header)
	}
	if a := b.do(http.MethodOptions, "/api/interact", nil, "Origin", "https://evil.example", "Access-Control-Request-Method", "POST"); a.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("preflight of another origin: %d %v", a.status, a.header)
	}

	w := b.get("/widget.js")
	if w.status != http.StatusOK || len(widgetScript) > 15<<10 || w.header.Get("Cross-Origin-Resource-Policy") != "cross-origin" || !strings.HasPrefix(w.header.Get("Content-Type"), "text/javascript") {
		t.Errorf("the widget: %d, %d bytes, %v", w.status, len(widgetScript), w.header)
	}
	for _, bad := range []string{"*", "shop.example", "https://shop.example/", "https://*.example"} {
		if CheckOrigins([]string{bad}) == nil {
			t.Errorf("%q is taken for an origin", bad)
		}
	}
}
