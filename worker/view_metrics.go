package worker

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// viewMetrics counts the requests to the embedding server.
type viewMetrics struct {
	prompts  *prometheus.CounterVec
	texts    *prometheus.CounterVec
	requests prometheus.Histogram

	sent, late, failed atomic.Int64
}

func newViewMetrics() *viewMetrics {
	m := &viewMetrics{
		prompts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "nexus_embeddings_prompts_total", Help: "Prompts for the embedding server, by outcome: answered, refused, late (the caller gives up too soon to ask), failed (no vector in time).",
		}, []string{"outcome"}),
		texts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "nexus_embeddings_texts_total", Help: "Texts of prompts whose vector was wanted, by whether it was known: hit, miss.",
		}, []string{"cache"}),
		requests: histogram("nexus_embeddings_request_duration_seconds", "Time of one request to the embedding server for prompts.", []float64{.001, .0025, .005, .01, .025, .05, .1, .15, .25, .5, 1, 2.5}),
	}
	for _, o := range []string{viewAnswered, viewRefused, viewLate, viewFailed} {
		m.prompts.WithLabelValues(o)
	}
	for _, c := range []string{"hit", "miss"} {
		m.texts.WithLabelValues(c)
	}
	return m
}

func (m *viewMetrics) count(outcome string) {
	m.prompts.WithLabelValues(outcome).Inc()
	switch outcome {
	case viewLate:
		m.late.Add(1)
	case viewFailed:
		m.failed.Add(1)
	default:
		m.sent.Add(1)
	}
}

func (m *viewMetrics) counts() (sent, late, failed int64) {
	return m.sent.Load(), m.late.Load(), m.failed.Load()
}

func (m *viewMetrics) hits(hits, misses int) {
	m.texts.WithLabelValues("hit").Add(float64(hits))
	m.texts.WithLabelValues("miss").Add(float64(misses))
}

func (m *viewMetrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.prompts, m.texts, m.requests}
}
