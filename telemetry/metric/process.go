package metric

import (
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nexus-continuum/nexus/telemetry/heartbeat"
)

const bytesPerMB = 1 << 20

// Process shows what a process's heartbeat says of its memory and its machine.
type Process struct {
	recorder *heartbeat.Recorder

	resident, peak, growth, confidence *prometheus.Desc
	outgrows                           *prometheus.Desc
	warning, critical, heap, cleanups  *prometheus.Desc
	busy, writable                     *prometheus.Desc
}

// NewProcess returns a collector of the process that recorder records.
func NewProcess(recorder *heartbeat.Recorder) *Process {
	return &Process{
		recorder:   recorder,
		resident:   desc("nexus_memory_resident_bytes", "Resident memory of this process."),
		peak:       desc("nexus_memory_peak_bytes", "Most resident memory that this process was seen to have."),
		growth:     desc("nexus_memory_growth_bytes_per_second", "Growth of the resident memory by robust regression over the last hour; 0 until six minutes have been seen."),
		confidence: desc("nexus_memory_growth_confidence_ratio", "How sure it is that the memory grows, or shrinks, at all: 0 to 1."),
		outgrows:   desc("nexus_memory_growth_excessive", "1 while the memory certainly grows by more than 10 MB an hour and would be above nexus_memory_warning_bytes within a day, or within an hour if the process is younger than an hour; as the health judges it."),
		warning:    desc("nexus_memory_warning_bytes", "Resident memory from which this process warns."),
		critical:   desc("nexus_memory_critical_bytes", "Resident memory from which this process gives up what it can spare."),
		heap:       desc("nexus_memory_heap_limit_bytes", "Size at which Go collects its heap harder (GOMEMLIMIT)."),
		cleanups:   desc("nexus_memory_cleanups_total", "Times that memory was given back under pressure."),
		busy:       desc("nexus_cpu_busy_ratio", "Share of the machine's CPU in use by everyone, 0 to 1."),
		writable:   desc("nexus_storage_writable", "Whether the storage folder of this process takes writes."),
	}
}

// Describe implements prometheus.Collector.
func (p *Process) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{p.resident, p.peak, p.growth, p.confidence, p.outgrows, p.warning, p.critical, p.heap, p.cleanups, p.busy, p.writable} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (p *Process) Collect(out chan<- prometheus.Metric) {
	b := p.recorder.Snapshot()
	gauge(out, p.resident, b.Memory.CurrentMB*bytesPerMB)
	gauge(out, p.peak, b.Memory.PeakMB*bytesPerMB)
	gauge(out, p.growth, b.Memory.GrowthRateMBPerHour*bytesPerMB/3600)
	gauge(out, p.confidence, b.Memory.GrowthConfidence)
	gauge(out, p.outgrows, truth(b.Outgrows(b.At.Time)))
	gauge(out, p.warning, b.Memory.WarningMB*bytesPerMB)
	gauge(out, p.critical, b.Memory.CriticalMB*bytesPerMB)
	gauge(out, p.heap, float64(debug.SetMemoryLimit(-1)))
	counter(out, p.cleanups, float64(b.Memory.Cleanups))
	gauge(out, p.busy, b.CPUPercent/100)
	if b.Folder != nil {
		gauge(out, p.writable, truth(b.Folder.Fault == ""))
	}
}
