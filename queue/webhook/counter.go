package webhook

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
)

// Outcomes counts the events of the whole cluster by outcome;
// *outbox.Outbox does.
type Outcomes interface {
	Counts(ctx context.Context) (map[string]int64, error)
}

// Counter shows them as a metric.
type Counter struct {
	outcomes Outcomes
	total    *prometheus.Desc
}

var _ prometheus.Collector = (*Counter)(nil)

// NewCounter makes a collector for a process's registry.
func NewCounter(outcomes Outcomes) *Counter {
	return &Counter{outcomes: outcomes, total: prometheus.NewDesc("nexus_webhook_events_total",
		"Events for webhooks by outcome, of the whole cluster: the same in every process.", []string{"outcome"}, nil)}
}

// Describe is part of prometheus.Collector.
func (c *Counter) Describe(out chan<- *prometheus.Desc) { out <- c.total }

// Collect is part of prometheus.Collector. While Redis is away it shows nothing,
// rather than fail the other metrics.
func (c *Counter) Collect(out chan<- prometheus.Metric) {
	sums, err := c.outcomes.Counts(context.Background())
	if err != nil {
		return
	}
	for outcome, n := range sums {
		out <- prometheus.MustNewConstMetric(c.total, prometheus.CounterValue, float64(n), outcome)
	}
}
