package governor

import (
	"context"
	"slices"

	"github.com/nexus-continuum/nexus/telemetry/heartbeat"
)

// Detect says what this machine offers, computing on the CPU, and why there is no GPU that
// could be measured; empty where there is one.
func (s *System) Detect(ctx context.Context) (h heartbeat.Hardware, noGPU string) {
	h = heartbeat.Detect(ctx)
	h.Cgroup.CPUs, _ = s.group.quota()
	_, limit := s.group.memoryMB()
	h.Cgroup.MemoryMB = int64(limit)
	h.GPUs, noGPU = s.gpus.describe()
	return h, noGPU
}

// Watches reports whether the GPU with this UUID, or the card that it is a slice of, can be measured.
func (s *System) Watches(uuid string) bool {
	all, _ := s.gpus.sample()
	return slices.ContainsFunc(all, func(g GPU) bool {
		return g.Lost == "" && (g.UUID == uuid || slices.Contains(g.Slices, uuid))
	})
}
