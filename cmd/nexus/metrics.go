package main

import (
	"fmt"
	"time"

	"github.com/hibiken/asynq"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/nexus-continuum/nexus/telemetry/metric"
	"github.com/nexus-continuum/nexus/worker"
)

// openMetrics makes the one registry of this process. The API shows it under
// /api/metrics; NEXUS_METRICS_LISTEN shows it on a port of its own.
func (s *shared) openMetrics(h *app, roles roleSet, w *worker.Worker) (*prometheus.Registry, error) {
	r := metric.NewRegistry(versionText())
	parts := []prometheus.Collector{metric.NewProcess(s.recorder)}
	if roles.api || roles.scheduler {
		parts = append(parts, metric.NewCluster(metric.ClusterOptions{
			Queue: s.queue, Presence: s.presence, Interactions: s.interactions, Checkpoints: s.checkpoints, Control: s.control,
			Inspector: asynq.NewInspectorFromRedisClient(s.redis.Client()), Now: time.Now, Log: s.log,
		}))
	}
	if s.mirror != nil {
		parts = append(parts, metric.NewUploads(s.recorder))
	}
	for _, c := range parts {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register the metrics of the process: %w", err)
		}
	}
	if w != nil {
		if err := w.Register(r); err != nil {
			return nil, err
		}
	}
	if s.settings.MetricsListen != "" {
		l := &listener{setting: "NEXUS_METRICS_LISTEN", listen: s.settings.MetricsListen, handler: metric.Handler(r), log: s.log}
		h.add("metrics", l)
		h.addLineLater("metrics", func() string { return l.url() + "/metrics" })
	}
	return r, nil
}
