package metric

import (
	"strings"

	"github.com/hibiken/asynq"
	"github.com/hibiken/asynq/x/metrics"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// transport passes on asynq's own collector. Two of its gauges end in _total,
// which the conventions keep for counters; they lose the ending here.
type transport struct {
	inner   prometheus.Collector
	renamed map[string]*prometheus.Desc
}

func newTransport(inspector *asynq.Inspector) *transport {
	return &transport{
		inner: metrics.NewQueueMetricsCollector(inspector),
		renamed: map[string]*prometheus.Desc{
			"asynq_tasks_enqueued_total": desc("asynq_tasks_enqueued", "Number of tasks in a queue by state.", "queue", "state"),
			"asynq_queue_paused_total":   desc("asynq_queue_paused", "Whether a queue is paused.", "queue"),
		},
	}
}

func (t *transport) collect(out chan<- prometheus.Metric) {
	in := make(chan prometheus.Metric)
	go func() {
		defer close(in)
		t.inner.Collect(in)
	}()
	for m := range in {
		for name, d := range t.renamed {
			if strings.Contains(m.Desc().String(), `fqName: "`+name+`"`) {
				m = renamed{m, d}
			}
		}
		out <- m
	}
}

// renamed is a metric under another name with the same labels.
type renamed struct {
	prometheus.Metric
	desc *prometheus.Desc
}

// Desc implements prometheus.Metric.
func (r renamed) Desc() *prometheus.Desc { return r.desc }

// Write implements prometheus.Metric.
func (r renamed) Write(m *dto.Metric) error { return r.Metric.Write(m) }
