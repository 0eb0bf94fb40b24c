package main

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"os"
	"strings"
	"time"

	"github.com/nexus-continuum/nexus/api"
)

// profileTimeout is more than the longest profile that one may want to take.
const profileTimeout = 15 * time.Minute

// checkPprof refuses an address that others could reach: profiles show what is
// in memory, prompts too.
func checkPprof(ctx context.Context, s *Settings) error {
	if s.PprofListen == "" {
		return nil
	}
	if want := loopback(ctx, s.PprofListen, ", since profiles show what is in memory"); want != "" {
		return &settingError{"NEXUS_PPROF_LISTEN", s.PprofListen, want}
	}
	return nil
}

// addPprof opens the profiles of the Go runtime if NEXUS_PPROF_LISTEN is set.
func addPprof(h *app, s *Settings, hide *redaction, log *slog.Logger) {
	if s.PprofListen == "" {
		return
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		_, _ = io.WriteString(w, hide.text(strings.Join(os.Args, "\x00"))) //nolint:gosec // plain text of our own command line
	})
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	l := &listener{setting: "NEXUS_PPROF_LISTEN", listen: s.PprofListen, handler: api.OnLoopback(mux), within: profileTimeout, log: log}
	h.add("pprof", l)
	h.addLineLater("pprof", func() string { return l.url() + "/debug/pprof/" })
}
