package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
)

// checkPprof refuses an address that others could reach: profiles show what is
// in memory, prompts too.
func checkPprof(ctx context.Context, s *Settings) error {
	if s.PprofListen == "" {
		return nil
	}
	if want := loopback(ctx, s.PprofListen); want != "" {
		return &settingError{"NEXUS_PPROF_LISTEN", s.PprofListen, want}
	}
	return nil
}

// addPprof opens the profiles of the Go runtime if NEXUS_PPROF_LISTEN is set.
func addPprof(h *house, s *Settings, log *slog.Logger) {
	if s.PprofListen == "" {
		return
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	l := &listener{setting: "NEXUS_PPROF_LISTEN", listen: s.PprofListen, handler: mux, log: log}
	h.add("pprof", l)
	h.sayOf("pprof", func() string { return l.url() + "/debug/pprof/" })
}

// loopback says what is wrong with an address that others could reach; empty if
// nothing is.
func loopback(ctx context.Context, listen string) (want string) {
	const right = "must be host:port with an address of this machine alone, such as 127.0.0.1:6060, since profiles show what is in memory"
	host, _, err := net.SplitHostPort(listen)
	if err != nil || host == "" {
		return right
	}
	ips := []net.IP{net.ParseIP(host)}
	if ips[0] == nil {
		if ips, err = net.DefaultResolver.LookupIP(ctx, "ip", host); err != nil {
			return right + "; " + err.Error()
		}
	}
	for _, ip := range ips {
		if !ip.IsLoopback() {
			return right + "; " + ip.String() + " can be reached by others"
		}
	}
	return ""
}
