package heartbeat

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Cluster is the sum of all beats. No figure is ever NaN or infinite.
type Cluster struct {
	Beats []Beat // sorted by host and id

	Total, Recent Counts
	RatePerSecond float64

	// The rates are over the last Window or, if it saw nothing, over the lives
	// of the processes. SuccessRate is 1 before the first request.
	SuccessRate     float64
	RefusalRate     float64
	ConvergenceRate float64

	Latency    Summary // ms
	Queue      Summary // ms
	Compute    Summary // ms
	Depth      Summary // steps
	Confidence Summary

	// Memory sums sizes; see addMemory for the rest.
	Memory Memory
	// CPUPercent is the busiest host's; ProcessCPUPercent sums all processes.
	CPUPercent        float64
	ProcessCPUPercent float64
	Mode, ModeReason  string

	StartedAt time.Time // of the process that has run longest
	Breakers  map[string]Breaker
	// Model is the one that the trainer serves, which knows new lessons first, or else
	// the most recently updated worker; nil if there is none.
	Model     *Model
	byTrainer bool // Model is the trainer's
	// Successor is the model that a trainer makes to follow it; nil if none is.
	Successor *Replacement
}

// Decode reads the beats that processes sent. Those that cannot be read are
// left out and named in the error; the rest is returned all the same.
func Decode(payloads map[string][]byte) ([]Beat, error) {
	beats := make([]Beat, 0, len(payloads))
	var errs []error
	for id, p := range payloads {
		var b Beat
		if err := json.Unmarshal(p, &b); err != nil {
			errs = append(errs, fmt.Errorf("beat of process %s: %w", id, err))
			continue
		}
		beats = append(beats, b)
	}
	return beats, errors.Join(errs...)
}

// Sum adds up beats. The error names sketches that could not be merged; the
// sum holds the rest.
func Sum(beats []Beat) (Cluster, error) {
	c := Cluster{Beats: slices.Clone(beats), Mode: ModeIdle, Breakers: map[string]Breaker{}, Memory: Memory{Level: MemoryOK}}
	slices.SortFunc(c.Beats, func(a, b Beat) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.ID, b.ID))
	})
	var latency, queue, compute, depth, confidence accumulator
	var errs []error
	for i := range c.Beats {
		b := &c.Beats[i]
		c.Total.Add(b.Total)
		c.Recent.Add(b.Recent)
		c.RatePerSecond += b.RatePerSecond
		for _, m := range []struct {
			into *accumulator
			from Sketch
		}{{&latency, b.Latency}, {&queue, b.Queue}, {&compute, b.Compute}, {&depth, b.Depth}, {&confidence, b.Confidence}} {
			if err := m.into.add(m.from); err != nil {
				errs = append(errs, fmt.Errorf("beat of process %s: %w", b.ID, err))
			}
		}
		c.addResources(b)
		c.addBreakers(b)
		c.addModel(b)
	}
	c.Latency, c.Queue, c.Compute = latency.summary(), queue.summary(), compute.summary()
	c.Depth, c.Confidence = depth.summary(), confidence.summary()
	c.rates()
	return c, errors.Join(errs...)
}

func (c *Cluster) addResources(b *Beat) {
	c.addMemory(b.Memory)
	c.CPUPercent = max(c.CPUPercent, finite(b.CPUPercent))
	c.ProcessCPUPercent += finite(b.ProcessCPUPercent)
	if severity(b.Mode) > severity(c.Mode) {
		c.Mode, c.ModeReason = b.Mode, b.ModeReason
	}
	if b.StartedAt != nil && (c.StartedAt.IsZero() || b.StartedAt.Before(c.StartedAt)) {
		c.StartedAt = b.StartedAt.Time
	}
}

// addMemory adds sizes. The growth is that of the process of which it is most
// certain that it grows fast; bounds are the lowest, the level is the worst.
func (c *Cluster) addMemory(m Memory) {
	k := &c.Memory
	k.CurrentMB += finite(m.CurrentMB)
	k.PeakMB += finite(m.PeakMB)
	k.Cleanups += m.Cleanups
	certain := func(m Memory) float64 { return finite(m.GrowthRateMBPerHour) * max(finite(m.GrowthConfidence), 0.01) }
	if c.StartedAt.IsZero() || certain(m) > certain(*k) {
		k.GrowthRateMBPerHour, k.GrowthConfidence = finite(m.GrowthRateMBPerHour), finite(m.GrowthConfidence)
		k.GrowthLowMBPerHour, k.GrowthHighMBPerHour = finite(m.GrowthLowMBPerHour), finite(m.GrowthHighMBPerHour)
	}
	lowest := func(have, other float64) float64 {
		if have == 0 || other > 0 && other < have {
			return finite(other)
		}
		return have
	}
	k.WarningMB, k.CriticalMB = lowest(k.WarningMB, m.WarningMB), lowest(k.CriticalMB, m.CriticalMB)
	levels := []string{MemoryOK, MemoryWarning, MemoryCritical}
	if slices.Index(levels, m.Level) > slices.Index(levels, k.Level) {
		k.Level = m.Level
	}
}

func severity(mode string) int {
	return slices.Index([]string{ModeIdle, ModeActive, ModeThrottled, ModePaused, ModeCooling}, mode)
}

// addBreakers keeps the worst state of each breaker in the cluster.
func (c *Cluster) addBreakers(b *Beat) {
	worse := []string{"closed", "half-open", "open"}
	for name, br := range b.Breakers {
		have, ok := c.Breakers[name]
		if !ok || slices.Index(worse, br.State) > slices.Index(worse, have.State) {
			c.Breakers[name] = br
		}
	}
}

func (c *Cluster) addModel(b *Beat) {
	if b.Successor != nil {
		c.Successor = b.Successor
	}
	if b.Model == nil {
		return
	}
	if c.byTrainer && !b.Trainer {
		return
	}
	if c.Model == nil || b.Trainer && !c.byTrainer || (b.Model.LoadedAt != nil && (c.Model.LoadedAt == nil || b.Model.LoadedAt.After(c.Model.LoadedAt.Time))) {
		c.Model, c.byTrainer = b.Model, b.Trainer
	}
}

func (c *Cluster) rates() {
	share := func(pick func(Counts) (part, whole int64), empty float64) float64 {
		for _, counts := range []Counts{c.Recent, c.Total} {
			if part, whole := pick(counts); whole > 0 {
				return min(1, float64(part)/float64(whole))
			}
		}
		return empty
	}
	c.SuccessRate = share(func(k Counts) (int64, int64) {
		whole := k.Requests + k.JobsFailed
		return max(0, k.Requests-k.Failed), whole
	}, 1)
	c.RefusalRate = share(func(k Counts) (int64, int64) { return k.Refused, k.Answered + k.Refused }, 0)
	c.ConvergenceRate = share(func(k Counts) (int64, int64) { return k.Converged, k.Flowed }, 1)
}
