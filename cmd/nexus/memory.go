package main

import (
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// heapShare is the share of the limit that Go's heap may take before it
// collects harder; the rest is for stacks, the program and its Redis.
const heapShare = 0.8

// gcPercent trades a little CPU for memory: a model at rest is small, and what
// learning leaves behind should not be paid for twice. GOGC overrides it.
const gcPercent = 50

// limitMemory sets GOMEMLIMIT from NEXUS_MEMORY_LIMIT_MB or from the container's
// own limit, whichever is lower.
func limitMemory(s *Settings, log *slog.Logger) {
	limit := int64(float64(s.MemoryLimitMB<<20) * heapShare)
	if group, err := memlimit.FromCgroup(); err == nil && group > 0 {
		limit = min(limit, int64(float64(group)*heapShare))
	}
	debug.SetMemoryLimit(limit)
	if _, set := os.LookupEnv("GOGC"); !set {
		debug.SetGCPercent(gcPercent)
	}
	log.Debug("memory limit of the heap", "bytes", limit)
}
