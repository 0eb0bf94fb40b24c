package worker

import (
	"fmt"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nexus-continuum/nexus/telemetry/heartbeat"
	"github.com/nexus-continuum/nexus/worker/governor"
)

// Register adds the worker's metrics to a registry.
func (w *Worker) Register(r prometheus.Registerer) error {
	all := append(w.metrics.collectors(), newGauges(w))
	if w.views != nil {
		all = append(all, w.views.metrics.collectors()...)
	}
	for _, c := range all {
		if err := r.Register(c); err != nil {
			return fmt.Errorf("register the metrics of the worker: %w", err)
		}
	}
	return nil
}

// gauges show the state of a worker at the moment of a scrape.
type gauges struct {
	worker *Worker

	slots, busy, trainer, training                                         *prometheus.Desc
	breaker                                                                *prometheus.Desc
	info, parameters, lessons, answers, topics, threshold, target, since   *prometheus.Desc
	mode, share, cores, cpu, used, total, hot, faults                      *prometheus.Desc
	cardState, cardPrompts, cardBatches, cardSearches, cardDeclined        *prometheus.Desc
	gpuUse, gpuUsed, gpuTotal, gpuHot, gpuPower, gpuLost, gpuWarn, gpuCrit *prometheus.Desc
}

func newGauges(w *Worker) *gauges {
	d := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("nexus_"+name, help, labels, nil)
	}
	return &gauges{
		worker: w,

		slots:    d("worker_slots", "Prompts that this worker computes at once."),
		busy:     d("worker_slots_busy", "Slots that compute now."),
		trainer:  d("worker_trainer", "Whether this process holds the trainer's lease."),
		training: d("worker_training", "Whether gradient steps are being taken for a job."),
		breaker:  d("breaker_state", "1 for the state that a circuit breaker is in: closed, half-open, open.", "breaker", "state"),

		info:       d("model_info", "Always 1; the labels name the kind of model that is served.", "architecture", "size"),
		parameters: d("model_parameters", "Weights of the model that is served."),
		lessons:    d("model_lessons", "Lessons in its memory."),
		answers:    d("model_answers", "Different answers in its memory."),
		topics:     d("model_topics", "Topics in its memory."),
		threshold:  d("model_confidence_threshold", "Confidence below which it refuses."),
		target:     d("model_target_error", "Share of wrong answers that it aims for."),
		since:      d("model_loaded_timestamp_seconds", "When the model that is served was put to work."),

		mode:   d("governor_mode", "1 for the mode that the governor is in: idle, active, throttled, paused, cooling.", "mode"),
		share:  d("governor_training_share_ratio", "Training's share of the machine that is allowed now, 0 to 1."),
		cores:  d("governor_cores", "Cores that may be used: the limit of the control group, or all."),
		cpu:    d("governor_cpu_ratio", "Share of those cores in use by everyone, 0 to 1."),
		used:   d("governor_memory_used_bytes", "Memory in use on the machine or in the control group, without what the kernel would give back."),
		total:  d("governor_memory_total_bytes", "Memory of the machine or of the control group."),
		hot:    d("cpu_temperature_celsius", "Temperature of the hottest core; absent where no sensor is."),
		faults: d("governor_faults", "Parts of the machine that could not be read."),

		cardState:    d("gpu_work_state", "1 for the state of a GPU that this worker computes on: computes, slowed, full, stopped, lost.", "gpu", "state"),
		cardPrompts:  d("gpu_prompts_total", "Prompts that GPUs encoded."),
		cardBatches:  d("gpu_batches_total", "Batches of prompts that GPUs encoded."),
		cardSearches: d("gpu_searches_total", "Searches of the memory by GPUs."),
		cardDeclined: d("gpu_declined_total", "Batches and searches that were computed on the cores since no GPU could."),

		gpuUse:   d("gpu_utilization_ratio", "Utilisation of a GPU, 0 to 1.", "gpu"),
		gpuUsed:  d("gpu_memory_used_bytes", "Memory in use on a GPU.", "gpu"),
		gpuTotal: d("gpu_memory_total_bytes", "Memory of a GPU.", "gpu"),
		gpuHot:   d("gpu_temperature_celsius", "Temperature of a GPU.", "gpu"),
		gpuPower: d("gpu_power_watts", "Power that a GPU draws.", "gpu"),
		gpuLost:  d("gpu_lost", "Whether a GPU no longer answers.", "gpu"),
		gpuWarn:  d("gpu_warning_celsius", "Temperature of a GPU from which training is slowed."),
		gpuCrit:  d("gpu_critical_celsius", "Temperature of a GPU from which its work stops."),
	}
}

// Describe implements prometheus.Collector.
func (g *gauges) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		g.slots, g.busy, g.trainer, g.training, g.breaker,
		g.info, g.parameters, g.lessons, g.answers, g.topics, g.threshold, g.target, g.since,
		g.mode, g.share, g.cores, g.cpu, g.used, g.total, g.hot, g.faults,
		g.cardState, g.cardPrompts, g.cardBatches, g.cardSearches, g.cardDeclined,
		g.gpuUse, g.gpuUsed, g.gpuTotal, g.gpuHot, g.gpuPower, g.gpuLost, g.gpuWarn, g.gpuCrit,
	} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (g *gauges) Collect(out chan<- prometheus.Metric) {
	s := scrape(out)
	w := g.worker
	s.put(g.slots, float64(w.opt.Slots))
	s.put(g.busy, float64(w.batcher.busy.Load()))
	t := w.trainer.Load()
	s.put(g.trainer, truth(t != nil))
	s.put(g.training, truth(t != nil && t.Running() != ""))
	for name, b := range w.breakerStates() {
		for _, state := range []string{"closed", "half-open", "open"} {
			s.put(g.breaker, truth(b.State == state), name, state)
		}
	}
	g.collectModel(s)
	g.collectGovernor(s, w.opt.Governor.State())
	if w.opt.Device != nil {
		g.collectDevice(s, w.opt.Device)
	}
}

func (g *gauges) collectDevice(s scrape, d Device) {
	for _, card := range d.State() {
		for _, state := range []string{heartbeat.CardComputes, heartbeat.CardSlowed, heartbeat.CardFull, heartbeat.CardStopped, heartbeat.CardLost} {
			s.put(g.cardState, truth(card.State == state), strconv.Itoa(card.Ordinal), state)
		}
	}
	n := d.Counts()
	s.count(g.cardPrompts, n.Prompts)
	s.count(g.cardBatches, n.Batches)
	s.count(g.cardSearches, n.Searches)
	s.count(g.cardDeclined, n.Declined)
}

func (g *gauges) collectModel(s scrape) {
	served := g.worker.served.Load()
	if served == nil {
		return
	}
	i := served.model.Info()
	s.put(g.info, 1, i.Architecture, i.Size)
	s.put(g.parameters, float64(i.Parameters))
	s.put(g.lessons, float64(i.Lessons))
	s.put(g.answers, float64(i.Answers))
	s.put(g.topics, float64(len(i.Topics)))
	s.put(g.threshold, i.Threshold)
	s.put(g.target, i.TargetError)
	s.put(g.since, float64(served.at.UnixMilli())/1000)
}

func (g *gauges) collectGovernor(s scrape, state governor.State) {
	for _, m := range []governor.Mode{governor.ModeIdle, governor.ModeActive, governor.ModeThrottled, governor.ModePaused, governor.ModeCooling} {
		s.put(g.mode, truth(m == state.Mode), string(m))
	}
	s.put(g.share, state.TrainingShare/100)
	s.put(g.cores, state.Cores)
	s.put(g.cpu, state.CPUPercent/100)
	s.put(g.used, state.MemoryUsedMB*bytesPerMB)
	s.put(g.total, state.MemoryTotalMB*bytesPerMB)
	s.put(g.faults, float64(len(state.Faults)))
	if state.CPUTemperature > 0 {
		s.put(g.hot, state.CPUTemperature)
	}
	s.put(g.gpuWarn, state.Limits.GPUWarning)
	s.put(g.gpuCrit, state.Limits.GPUCritical)
	for _, gpu := range state.GPUs {
		index := strconv.Itoa(gpu.Index)
		s.put(g.gpuLost, truth(gpu.Lost != ""), index)
		if gpu.Lost != "" {
			continue
		}
		s.put(g.gpuUse, gpu.UtilizationPercent/100, index)
		s.put(g.gpuUsed, gpu.MemoryUsedMB*bytesPerMB, index)
		s.put(g.gpuTotal, gpu.MemoryTotalMB*bytesPerMB, index)
		s.put(g.gpuHot, gpu.TemperatureC, index)
		s.put(g.gpuPower, gpu.PowerW, index)
	}
}

const bytesPerMB = 1 << 20

// scrape takes the values of one scrape.
type scrape chan<- prometheus.Metric

func (s scrape) put(d *prometheus.Desc, v float64, labels ...string) {
	s <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (s scrape) count(d *prometheus.Desc, n int64) {
	s <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n))
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
