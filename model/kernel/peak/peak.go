// Package peak measures how many floating-point operations a core can do at most, which benchmarks set their figures
// against. No product code uses it.
package peak

import "time"

// Flops runs the multiply-add loop of the vector width, 16 or 8 elements, for about the time given, by the caller's clock, and returns
// operations a second. It returns 0 where there is no such loop. The caller makes sure that the CPU has the instructions.
func Flops(width int, during time.Duration, now func() time.Time) float64 {
	sums := 24
	if width == 8 {
		sums = 12
	}
	const turns = 20_000
	var most float64
	for begin := now(); ; {
		start := now()
		if !run(width, turns) {
			return 0
		}
		end := now()
		// The fastest of many short runs: other processes disturb the rest.
		most = max(most, float64(2*turns*sums*width)/end.Sub(start).Seconds())
		if end.Sub(begin) >= during {
			return most
		}
	}
}
