package heartbeat

import "time"

// Growth counts from MinGrowthMBPerHour and SureGrowth on. It is judged against
// Memory.WarningMB: a process of 150 MB that gets 28 MB an hour while it is taught is
// sound.
const (
	MinGrowthMBPerHour = 10.0
	SureGrowth         = 0.95 // confidence

	// warmUp is how long a process grows because of what it comes to hold: models,
	// caches, connections.
	warmUp = time.Hour
	// The bound counts if it would be reached within soonFull, and within dayFull once
	// the process is warm.
	soonFull, dayFull = time.Hour, 24 * time.Hour
)

// Outgrows reports whether the memory of the process certainly grows so fast that it
// would soon be above its warning bound. The health and the metric that the alert
// NexusMemoryGrowth reads both come from here.
func (b *Beat) Outgrows(now time.Time) bool {
	m := &b.Memory
	if m.GrowthRateMBPerHour <= MinGrowthMBPerHour || m.GrowthConfidence < SureGrowth {
		return false
	}
	warm, within := b.StartedAt != nil && now.Sub(b.StartedAt.Time) >= warmUp, soonFull
	if warm {
		within = dayFull
	}
	if m.WarningMB == 0 {
		return warm
	}
	return m.untilWarning() <= within
}

// untilWarning is how long memory takes to its warning bound at its growth, which must
// be above 0.
func (m *Memory) untilWarning() time.Duration {
	hours := (m.WarningMB - m.CurrentMB) / m.GrowthRateMBPerHour
	return time.Duration(max(hours, 0) * float64(time.Hour))
}
