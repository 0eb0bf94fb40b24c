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
// learning leaves behind should not be paid for twice. A process without a model has
// so small a heap that it would collect all the time. GOGC overrides both.
const (
	gcPercent             = 50
	gcPercentWithoutModel = 200
)

// limitMemory sets the limit of Go's heap from NEXUS_MEMORY_LIMIT_MB or from the
// container's own limit, whichever is lower; GOMEMLIMIT overrides it.
func limitMemory(s *Settings, hasModel bool, log *slog.Logger) {
	group, err := memlimit.FromCgroup()
	if err != nil {
		group = 0 // no limit, or nobody who tells
	}
	if limit := heapLimit(s.MemoryLimitMB, group, os.Getenv("GOMEMLIMIT")); limit > 0 {
		debug.SetMemoryLimit(limit)
		log.Debug("memory limit of the heap", "bytes", limit)
	}
	if _, set := os.LookupEnv("GOGC"); !set {
		percent := gcPercentWithoutModel
		if hasModel {
			percent = gcPercent
		}
		debug.SetGCPercent(percent)
	}
}

// heapLimit is the limit to set in bytes; 0 leaves what Go has taken from its
// own variable.
func heapLimit(settingMB int, group uint64, variable string) int64 {
	if variable != "" {
		return 0
	}
	limit := int64(settingMB) << 20
	if group > 0 && group < uint64(limit) { //nolint:gosec // a limit is not negative
		limit = int64(group) //nolint:gosec // it is less than limit, an int64
	}
	return int64(float64(limit) * heapShare)
}
