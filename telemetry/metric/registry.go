// Package metric shows to Prometheus what belongs to no single role: the
// process itself, and the facts of the cluster that every API and scheduler
// process can tell. What a role counts of its own work, the role's package
// registers in the same registry.
//
// No label takes a value that a caller chooses, so the number of series is
// bounded by the code.
package metric

import (
	"net/http"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// NewRegistry returns a registry that knows the Go runtime, the process and
// the version of the program.
func NewRegistry(version string) *prometheus.Registry {
	r := prometheus.NewRegistry()
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "nexus_build_info", Help: "Always 1; the labels name the version of the program and of Go.",
		ConstLabels: prometheus.Labels{"version": version, "go": runtime.Version()},
	})
	build.Set(1)
	r.MustRegister(build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// Handler answers a scrape at /metrics and /api/metrics and a probe at
// /healthz, for processes that serve nothing else over HTTP.
func Handler(r *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	scrape := promhttp.HandlerFor(r, promhttp.HandlerOpts{EnableOpenMetrics: true, Registry: r})
	mux.Handle("GET /metrics", scrape)
	mux.Handle("GET /api/metrics", scrape)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		// A prober that hung up has no use for the error.
		_, _ = w.Write([]byte(`{"status": "ok"}` + "\n"))
	})
	return mux
}
