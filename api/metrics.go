package api

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/telemetry/heartbeat/gather"
)

// Outcomes of an interact for its caller.
const (
	outcomeAnswered = "answered"
	outcomeRefused  = "refused"
	outcomeAccepted = "accepted"
	outcomeFailed   = "failed"
)

// metrics are those of this process; a scraper must read each process.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	interact map[string]prometheus.Observer // by outcome
	limited  prometheus.Counter
	inFlight prometheus.Gauge
	off      bool // nothing is counted

	interacts *gather.Batch[interacted]
	answers   *gather.Batch[answered]
	series    map[seriesKey]series // of answers, by who counts them
}

// newMetrics registers with registry, or with a registry of its own if that is nil.
func newMetrics(registry *prometheus.Registry) (*metrics, error) {
	if registry == nil {
		registry = prometheus.NewRegistry()
		registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	}
	buckets := []float64{.0005, .001, .002, .005, .01, .025, .05, .1, .25, .5, 1, 2, 5, 10, 30, 120}
	histogram := func(name, help string, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: name, Help: help, Buckets: buckets,
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160, NativeHistogramMinResetDuration: time.Hour,
		}, labels)
	}
	m := &metrics{
		registry: registry,
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "nexus_http_requests_total", Help: "HTTP requests by route, method and status.",
		}, []string{"route", "method", "status"}),
		duration: histogram("nexus_http_request_duration_seconds", "Time to answer an HTTP request, by route.", "route", "method"),
		interact: map[string]prometheus.Observer{},
		series:   map[seriesKey]series{},
		limited: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nexus_rate_limited_total", Help: "Requests refused by the rate limit.",
		}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "nexus_http_requests_in_flight", Help: "HTTP requests being answered.",
		}),
	}
	interact := histogram("nexus_interact_duration_seconds", "Time to answer an interact as its caller saw it, by outcome.", "outcome")
	m.interacts, m.answers = gather.New(m.countInteracts), gather.New(m.countAnswers)
	for _, c := range []prometheus.Collector{m.answers.Collector(m.requests, m.duration), m.interacts.Collector(interact), m.limited, m.inFlight} {
		if err := registry.Register(c); err != nil {
			if _, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
				return nil, fmt.Errorf("register the metrics of the API twice in one registry: %w", err)
			}
			return nil, fmt.Errorf("register the metrics of the API: %w", err)
		}
	}
	for _, o := range []string{outcomeAnswered, outcomeRefused, outcomeAccepted, outcomeFailed} {
		m.interact[o] = interact.WithLabelValues(o)
	}
	return m, nil
}

// interacted is an interact that has an outcome.
type interacted struct {
	outcome string
	took    time.Duration
}

// interacted counts an interact.
func (m *metrics) interacted(outcome string, took time.Duration) {
	if !m.off {
		m.interacts.Add(interacted{outcome, took})
	}
}

func (m *metrics) countInteracts(all []interacted) {
	for _, i := range all {
		m.interact[i.outcome].Observe(i.took.Seconds())
	}
}

// answered is an HTTP request that was answered.
type answered struct {
	seriesKey
	took time.Duration
}

// seriesKey tells series apart.
type seriesKey struct {
	route, method string
	status        int
}

// series are the metrics of one route, method and status, so that they are looked up
// only once.
type series struct {
	requests prometheus.Counter
	duration prometheus.Observer
}

// answered counts an HTTP request. route is the pattern, not the path, so that the
// number of series is limited.
func (m *metrics) answered(route, method string, status int, took time.Duration) {
	m.answers.Add(answered{seriesKey{route, knownMethod(method), status}, took})
}

func (m *metrics) countAnswers(all []answered) {
	for _, a := range all {
		s, ok := m.series[a.seriesKey]
		if !ok {
			route := cmp.Or(a.route, "none")
			s = series{m.requests.WithLabelValues(route, a.method, strconv.Itoa(a.status)), m.duration.WithLabelValues(route, a.method)}
			m.series[a.seriesKey] = s
		}
		s.requests.Inc()
		s.duration.Observe(a.took.Seconds())
	}
}

func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}

func (m *metrics) handler() http.Handler {
	// The middleware compresses, so this handler must not.
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{EnableOpenMetrics: true, Registry: m.registry, DisableCompression: true})
}

func outcomeOf(a *job.Answer) string {
	if a.Responded {
		return outcomeAnswered
	}
	return outcomeRefused
}
