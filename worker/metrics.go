package worker

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/telemetry/heartbeat/gather"
	"github.com/nexus-continuum/nexus/worker/trainer"
)

// metrics count what this worker does; gauges.go shows what it is.
type metrics struct {
	answers  *prometheus.CounterVec
	refusals *prometheus.CounterVec
	flows    *prometheus.CounterVec
	// The counters that every prompt needs, looked up once.
	given, refused, converged, diverged prometheus.Counter

	failures  prometheus.Counter
	rollbacks prometheus.Counter

	wait, compute, depth, confidence prometheus.Histogram

	computed *gather.Batch[job.Measures]

	steps          prometheus.Counter
	loss           *prometheus.GaugeVec
	consolidations *prometheus.CounterVec
	accuracy       *prometheus.GaugeVec
}

// histogram is a native histogram for scrapers that support it, with classic buckets
// for the others.
func histogram(name, help string, buckets []float64) prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: name, Help: help, Buckets: buckets,
		NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160, NativeHistogramMinResetDuration: time.Hour,
	})
}

func newMetrics() *metrics {
	count := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
	}
	short := []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	m := &metrics{
		answers:  count("nexus_answers_total", "Prompts computed, by outcome: answered, refused.", "outcome"),
		refusals: count("nexus_refusals_total", "Prompts refused, by reason.", "reason"),
		flows:    count("nexus_flows_total", "Prompts that ran the flow, by whether it converged.", "converged"),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nexus_interact_jobs_failed_total", Help: "Prompts that could not be computed and whose callers do not wait.",
		}),
		rollbacks: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nexus_model_rollbacks_total", Help: "Models that kept failing within a minute of their swap and were taken back.",
		}),
		wait:       histogram("nexus_queue_wait_seconds", "Time between the submission of a prompt and its computing.", append(short, 30, 120, 600)),
		compute:    histogram("nexus_compute_duration_seconds", "Time to compute an answer.", short),
		depth:      histogram("nexus_flow_depth", "Steps to the equilibrium; a measure of work, not of confidence.", []float64{1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 75, 100, 200, 500, 1000}),
		confidence: histogram("nexus_confidence", "Confidence in the best answer, given or not.", prometheus.LinearBuckets(.05, .05, 20)),
		steps:      prometheus.NewCounter(prometheus.CounterOpts{Name: "nexus_training_steps_total", Help: "Gradient steps taken."}),
		loss: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "nexus_training_loss", Help: "Loss of the last gradient step; absent before the first.",
		}, nil),
		consolidations: count("nexus_consolidations_total", "Ends of gradient steps: promoted, kept (the former weights were better), failed.", "outcome"),
		accuracy: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "nexus_training_accuracy_ratio", Help: "Share of held-out prompts answered right at the last judging, with the weights before and after; absent before the first.",
		}, []string{"weights"}),
	}
	for vec, values := range map[*prometheus.CounterVec][]string{
		m.answers:        {"answered", "refused"},
		m.refusals:       append(reasons(), otherReason),
		m.flows:          {"true", "false"},
		m.consolidations: {"promoted", "kept", "failed"},
	} {
		for _, v := range values {
			vec.WithLabelValues(v)
		}
	}
	m.given, m.refused = m.answers.WithLabelValues("answered"), m.answers.WithLabelValues("refused")
	m.converged, m.diverged = m.flows.WithLabelValues("true"), m.flows.WithLabelValues("false")
	m.computed = gather.New(m.count)
	return m
}

// otherReason is the label for a reason that this version does not know.
const otherReason = "other"

func reasons() []string {
	out := make([]string, 0, len(sentences)+1)
	for reason := range sentences {
		out = append(out, reason)
	}
	return out
}

func (m *metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{
		m.computed.Collector(m.answers, m.refusals, m.flows, m.wait, m.compute, m.depth, m.confidence),
		m.failures, m.rollbacks, m.steps, m.loss, m.consolidations, m.accuracy,
	}
}

// answered counts an interact that was computed.
func (m *metrics) answered(a *job.Answer) { m.computed.Add(a.Measures()) }

func (m *metrics) count(all []job.Measures) {
	for i := range all {
		a := &all[i]
		if a.Responded {
			m.given.Inc()
		} else {
			m.refused.Inc()
			reason := otherReason
			if sentences[a.Reason] != "" {
				reason = a.Reason
			}
			m.refusals.WithLabelValues(reason).Inc()
		}
		m.wait.Observe(a.QueueMS / 1000)
		m.compute.Observe(a.ComputeMS / 1000)
		m.confidence.Observe(a.Confidence)
		if a.Depth > 0 {
			m.depth.Observe(float64(a.Depth))
			if a.Converged {
				m.converged.Inc()
			} else {
				m.diverged.Inc()
			}
		}
	}
}

// watch counts the steps and results of the learners that learn makes.
func (m *metrics) watch(learn learnFunc) learnFunc {
	return func(from *model.Model, fresh []string, seed uint64, yield func()) (trainer.Learner, error) {
		l, err := learn(from, fresh, seed, yield)
		if err != nil {
			return nil, err
		}
		return watched{l, m}, nil
	}
}

// watchReplacements is watch for replacements.
func (m *metrics) watchReplacements(replace replaceFunc) replaceFunc {
	return func(from *model.Model, cfg model.Config, seed uint64, yield func()) (trainer.Learner, error) {
		l, err := replace(from, cfg, seed, yield)
		if err != nil {
			return nil, err
		}
		return watched{l, m}, nil
	}
}

// failedSteps counts gradient steps that ended with an error.
func (m *metrics) failedSteps() { m.consolidations.WithLabelValues("failed").Inc() }

type replaceFunc = func(m *model.Model, cfg model.Config, seed uint64, yield func()) (trainer.Learner, error)

type learnFunc = func(m *model.Model, fresh []string, seed uint64, yield func()) (trainer.Learner, error)

// watched is a learner whose steps and results are counted.
type watched struct {
	trainer.Learner
	metrics *metrics
}

// Step implements trainer.Learner.
func (w watched) Step() (loss float64, err error) {
	if loss, err = w.Learner.Step(); err == nil {
		w.metrics.steps.Inc()
		w.metrics.loss.WithLabelValues().Set(loss)
	}
	return loss, err
}

// Finish implements trainer.Learner.
func (w watched) Finish(onto *model.Model) (*model.Model, trainer.Report, error) {
	m, report, err := w.Learner.Finish(onto)
	if err == nil {
		outcome := "kept"
		if report.Promoted {
			outcome = "promoted"
		}
		w.metrics.consolidations.WithLabelValues(outcome).Inc()
		w.metrics.accuracy.WithLabelValues("before").Set(report.Before.Accuracy)
		w.metrics.accuracy.WithLabelValues("after").Set(report.After.Accuracy)
	}
	return m, report, err
}
