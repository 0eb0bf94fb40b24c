package metric

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/nexus-continuum/nexus/heartbeat"
)

const bytesPerMB = 1 << 20

// Process shows what a process's heartbeat says of its memory and its machine.
type Process struct {
	recorder *heartbeat.Recorder

	resident, peak, growth, busy *prometheus.Desc
}

// NewProcess returns a collector of the process that recorder records.
func NewProcess(recorder *heartbeat.Recorder) *Process {
	return &Process{
		recorder: recorder,
		resident: desc("nexus_memory_resident_bytes", "Resident memory of this process."),
		peak:     desc("nexus_memory_peak_bytes", "Most resident memory that this process was seen to have."),
		growth:   desc("nexus_memory_growth_bytes_per_second", "Growth of the resident memory by robust regression over the last hour; 0 until five minutes have been seen."),
		busy:     desc("nexus_cpu_busy_ratio", "Share of the machine's CPU in use by everyone, 0 to 1."),
	}
}

// Describe implements prometheus.Collector.
func (p *Process) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{p.resident, p.peak, p.growth, p.busy} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (p *Process) Collect(out chan<- prometheus.Metric) {
	b := p.recorder.Snapshot()
	gauge(out, p.resident, b.Memory.CurrentMB*bytesPerMB)
	gauge(out, p.peak, b.Memory.PeakMB*bytesPerMB)
	gauge(out, p.growth, b.Memory.GrowthRateMBPerHour*bytesPerMB/3600)
	gauge(out, p.busy, b.CPUPercent/100)
}
