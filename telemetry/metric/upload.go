package metric

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/nexus-continuum/nexus/telemetry/heartbeat"
)

// Uploads shows how far the bucket is behind the folder of this process.
type Uploads struct {
	recorder *heartbeat.Recorder

	pending, lag, up *prometheus.Desc
}

// NewUploads returns a collector of what recorder's process says of its uploads.
func NewUploads(recorder *heartbeat.Recorder) *Uploads {
	return &Uploads{
		recorder: recorder,
		pending:  desc("nexus_storage_uploads_pending", "Datasets, checkpoints and records in this process's folder that are not in the bucket yet."),
		lag:      desc("nexus_storage_upload_lag_seconds", "How long the first of them has waited."),
		up:       desc("nexus_storage_bucket_up", "Whether the last exchange with the bucket went well."),
	}
}

// Describe implements prometheus.Collector.
func (u *Uploads) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{u.pending, u.lag, u.up} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (u *Uploads) Collect(out chan<- prometheus.Metric) {
	s := u.recorder.Snapshot().Uploads
	if s == nil {
		return
	}
	gauge(out, u.pending, float64(s.Pending))
	gauge(out, u.lag, s.LagSeconds)
	gauge(out, u.up, truth(s.Fault == ""))
}
