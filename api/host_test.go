package api

import (
	"io"
	"net/http"
	"testing"

	"github.com/nexus-continuum/nexus/job"
)

func (b *bundle) asHost(host, method, path string) answer {
	b.Helper()
	req, err := http.NewRequestWithContext(b.Context(), method, b.url+path, http.NoBody)
	b.must(err)
	req.Host = host
	req.Header.Set("Origin", "http://"+host) // as a browser that was rebound sends it
	res, err := b.client.Do(req)
	b.must(err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	b.must(err)
	return answer{status: res.StatusCode, header: res.Header, body: body}
}

// A site whose own name was made to lead to this machine does nothing here.
func TestNamesOfOtherSites(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *Options) { o.AllowedHosts = nil })
	for _, evil := range []string{"evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.7", "[2001:db8::1]:80"} {
		b.wantError(b.asHost(evil, "POST", "/api/control"), 403, job.CodeForbidden, "", "NEXUS_ALLOWED_HOSTS")
		b.wantError(b.asHost(evil, "GET", "/dashboard"), 403, job.CodeForbidden, "")
		b.wantError(b.asHost(evil, "GET", "/monitoring/api/queues"), 403, job.CodeForbidden, "")
		if a := b.asHost(evil, "GET", "/healthz"); a.status != http.StatusOK {
			t.Errorf("a probe by the address of a pod: %d", a.status)
		}
	}
	for _, ours := range []string{"localhost", "LOCALHOST:8000", "nexus.localhost:80", "127.0.0.1:1", "127.8.8.8", "[::1]:8000", "localhost."} {
		if a := b.asHost(ours, "GET", "/api/status"); a.status != http.StatusOK {
			t.Errorf("%s: %d %s", ours, a.status, a.body)
		}
	}
	named := setup(t, func(o *Options) { o.AllowedHosts = []string{"nexus.example", "*.inside.example"} })
	for host, want := range map[string]int{"nexus.example:8000": 200, "a.inside.example": 200, "inside.example": 403, "evil.example": 403, "localhost": 200} {
		if a := named.asHost(host, "GET", "/api/status"); a.status != want {
			t.Errorf("%s: %d, want %d", host, a.status, want)
		}
	}
	// Where every caller needs a key, another site has none: names do not matter.
	keyed := setup(t, func(o *Options) { o.Keys = []Key{{Name: "root", Key: rootKey}} })
	keyed.wantError(keyed.asHost("any.example", "GET", "/api/status"), 401, job.CodeUnauthorized, "")
}
