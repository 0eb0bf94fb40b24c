package api

import (
	"net/http"
	"net/netip"
	"os"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/nexus-continuum/nexus/job"
)

// hosts are the names under which the service may be called. A browser sends the name
// in its address bar. A site that points its own name to this machine (DNS rebinding)
// is therefore recognised by that name. If every caller needs a key, which no other
// site has, names are checked only if they are configured.
type hosts struct {
	names map[string]bool
	ends  []string // ".example.com" of *.example.com
	any   bool
	// addresses accepts every literal address, because DNS rebinding needs a name.
	addresses bool
}

// newHosts returns the accepted names: those of loopback and allowed. public says that
// the service may be reached from elsewhere without a key.
func newHosts(allowed []string, listen string, public bool) *hosts {
	h := &hosts{names: map[string]bool{"localhost": true}, ends: []string{".localhost"}, addresses: public}
	if public {
		if name, err := os.Hostname(); err == nil {
			h.names[strings.ToLower(name)] = true
		}
	}
	if name := hostName(listen); name != "" {
		h.names[name] = true
	}
	for _, a := range allowed {
		a = strings.ToLower(strings.TrimSpace(a))
		switch {
		case a == "*":
			h.any = true
		case strings.HasPrefix(a, "*."):
			h.ends = append(h.ends, a[1:])
		case a != "":
			h.names[hostName(a)] = true
		}
	}
	return h
}

// hostName is a Host header without port, brackets and the last dot.
func hostName(host string) string {
	host = strings.ToLower(host)
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") && (strings.Count(host, ":") == 1 || host[0] == '[') {
		host = host[:i]
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.TrimSuffix(host, ".")
}

func (h *hosts) knows(host string) bool {
	name := hostName(host)
	if h.any || name == "" || h.names[name] {
		return true // no browser leaves it empty
	}
	for _, end := range h.ends {
		if strings.HasSuffix(name, end) {
			return true
		}
	}
	a, err := netip.ParseAddr(name)
	return err == nil && (h.addresses || a.Unmap().IsLoopback())
}

// ofOurs refuses requests for a name that does not belong to the service. Probes may
// use any name.
func (s *Server) ofOurs(next echo.HandlerFunc) echo.HandlerFunc {
	strict := len(s.opt.AllowedHosts) > 0
	return func(c echo.Context) error {
		r := c.Request()
		if !strict && !s.keys.open() || s.hosts.knows(r.Host) || r.URL.Path == "/healthz" || r.URL.Path == "/readyz" {
			return next(c)
		}
		return job.Errorf(job.CodeForbidden,
			"this service is not called %q; a name other than localhost must be listed in NEXUS_ALLOWED_HOSTS, so that no other site can reach it through a browser", job.Clip(hostName(r.Host), 80))
	}
}

// OnLoopback passes on only requests that name this machine as loopback. It is for
// ports that serve nothing else.
func OnLoopback(next http.Handler) http.Handler {
	ours := newHosts(nil, "", false)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !ours.knows(r.Host) {
			http.Error(w, "this port is for localhost only", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}
