package governor

import "fmt"

// Mode says how training is governed now.
type Mode string

// The modes, mildest first.
const (
	// ModeIdle: no requests come; training may use its idle share.
	ModeIdle Mode = "idle"
	// ModeActive: callers are active; training keeps to its active share.
	ModeActive Mode = "active"
	// ModeThrottled: something is near its limit; training has half its share.
	ModeThrottled Mode = "throttled"
	// ModePaused: a limit is reached or an operator paused; no training.
	ModePaused Mode = "paused"
	// ModeCooling: a critical temperature; no training until it has cooled.
	ModeCooling Mode = "cooling"
)

func (m Mode) severity() int {
	switch m {
	case ModeThrottled:
		return 1
	case ModePaused:
		return 2
	case ModeCooling:
		return 3
	case ModeIdle, ModeActive:
	}
	return 0
}

// Where rules on memory enter and leave, as shares of the limit. They enter
// before the limit, so that the limit itself is not passed between two readings.
const (
	memoryEnter    = 0.95
	memoryLeave    = 0.85
	throttleEnter  = 0.88
	throttleLeave  = 0.80
	machineEnter   = 95 // percent of the machine's memory
	machineLeave   = 90
	risingReadings = 2
	coolerByC      = 3  // °C below a line before it counts as left
	freerByPercent = 10 // points of utilisation below the limit
)

// rule watches one quantity. It holds from the reading that enters until one
// that leaves, so that a value swinging about a line does not flap the mode.
type rule struct {
	mode Mode
	// look returns the reason if the rule enters; held says that it holds
	// already, when the lower line counts.
	look func(r Reading, held bool) string
	// memory marks rules on memory: learning more, even by heart, and taking
	// more jobs would make it worse, which is not so with heat.
	memory bool
	// passing marks rules that hold for one reading at a time.
	passing bool
}

// rules are those that the limits give. GPU rules count only where the model
// runs on the GPU: a hot GPU is no reason to stop work on the CPU.
func rules(l Limits, useGPU bool) []rule {
	all := []rule{
		{mode: ModeThrottled, memory: true, look: func(r Reading, held bool) string {
			return overShare("memory of the process", r.ProcessMB, l.MemoryMB, line(held, throttleEnter, throttleLeave))
		}},
		{mode: ModePaused, memory: true, look: func(r Reading, held bool) string {
			return overShare("memory of the process", r.ProcessMB, l.MemoryMB, line(held, memoryEnter, memoryLeave))
		}},
		{mode: ModePaused, memory: true, look: func(r Reading, held bool) string {
			if p := r.MemoryPercent(); p >= line(held, machineEnter, machineLeave) {
				return fmt.Sprintf("memory of the machine %.0f %% used (%.0f of %.0f MB)", p, r.MemoryUsedMB, r.MemoryTotalMB)
			}
			return ""
		}},
		{mode: ModeThrottled, look: func(r Reading, held bool) string {
			return tooHot("CPU", r.CPUTemperature, r.CPUHigh, line(held, 0, coolerByC))
		}},
		{mode: ModeCooling, look: func(r Reading, held bool) string {
			return tooHot("CPU", r.CPUTemperature, r.CPUCritical, line(held, 0, 2*coolerByC))
		}},
		rising("memory of the process", l.MemoryMB, func(r Reading) float64 { return r.ProcessMB }),
	}
	if !useGPU {
		return all
	}
	return append(
		all,
		rule{mode: ModePaused, look: func(r Reading, _ bool) string {
			if len(r.GPUs) == 0 {
				return "the GPU is gone"
			}
			return eachGPU(r, func(g GPU) string {
				if g.Lost != "" {
					return fmt.Sprintf("GPU %d does not answer: %s", g.Index, g.Lost)
				}
				return ""
			})
		}},
		rule{mode: ModePaused, look: func(r Reading, held bool) string {
			return eachGPU(r, func(g GPU) string {
				return overPoints(fmt.Sprintf("GPU %d memory", g.Index), g.MemoryPercent(), l.GPUMemory, line(held, memoryEnter, memoryLeave)*l.GPUMemory)
			})
		}},
		rule{mode: ModeThrottled, look: func(r Reading, held bool) string {
			return eachGPU(r, func(g GPU) string {
				return overPoints(fmt.Sprintf("GPU %d utilisation", g.Index), g.UtilizationPercent, l.GPUUtilization, l.GPUUtilization-line(held, 0, freerByPercent))
			})
		}},
		rule{mode: ModeThrottled, look: func(r Reading, held bool) string {
			return eachGPU(r, func(g GPU) string {
				return tooHot(fmt.Sprintf("GPU %d", g.Index), g.TemperatureC, l.GPUWarning, line(held, 0, coolerByC))
			})
		}},
		rule{mode: ModeCooling, look: func(r Reading, held bool) string {
			return eachGPU(r, func(g GPU) string {
				// Cooling ends below the warning line, not just below the critical one.
				return tooHot(fmt.Sprintf("GPU %d", g.Index), g.TemperatureC, l.GPUCritical, line(held, 0, l.GPUCritical-l.GPUWarning))
			})
		}},
	)
}

// rising stops before a limit is passed by what grows too fast for the margin
// below it: at the pace of the last reading it would be over the limit two
// readings on.
func rising(what string, limit float64, value func(Reading) float64) rule {
	var last float64
	return rule{mode: ModePaused, memory: true, passing: true, look: func(r Reading, _ bool) string {
		now := value(r)
		before := last
		last = now
		if before <= 0 || now <= before || now+risingReadings*(now-before) < limit {
			return ""
		}
		return fmt.Sprintf("%s %.0f MB and %.0f more at each reading, limit %.0f", what, now, now-before, limit)
	}}
}

func line(held bool, enter, leave float64) float64 {
	if held {
		return leave
	}
	return enter
}

func eachGPU(r Reading, look func(GPU) string) string {
	for _, g := range r.GPUs {
		if why := look(g); why != "" {
			return why
		}
	}
	return ""
}

func overShare(what string, value, limit, share float64) string {
	if limit <= 0 || value < share*limit {
		return ""
	}
	return fmt.Sprintf("%s %.0f MB, limit %.0f", what, value, limit)
}

func overPoints(what string, value, limit, at float64) string {
	if value < at {
		return ""
	}
	return fmt.Sprintf("%s %.0f %%, limit %.0f", what, value, limit)
}

func tooHot(what string, temperature, limit, margin float64) string {
	if limit <= 0 || temperature <= 0 || temperature < limit-margin {
		return ""
	}
	return fmt.Sprintf("%s %.0f °C, limit %.0f", what, temperature, limit)
}

// judge keeps which rules hold.
type judge struct {
	rules []rule
	held  []bool
}

func newJudge(l Limits, useGPU bool) *judge {
	r := rules(l, useGPU)
	return &judge{rules: r, held: make([]bool, len(r))}
}

// ruling is what the rules ask for.
type ruling struct {
	mode Mode
	why  string
	// full says why nothing more may be learned, not even by heart; it is the
	// reason of a rule on memory that stops.
	full string
	// near says why no more jobs may be taken: a limit of memory is near.
	near string
}

// see takes a reading and returns the most severe mode that it asks for, with
// the reason; ModeIdle if no rule holds.
func (j *judge) see(r Reading) ruling {
	out := ruling{mode: ModeIdle}
	for i, rule := range j.rules {
		why := rule.look(r, j.held[i])
		j.held[i] = why != "" && !rule.passing
		if why == "" {
			continue
		}
		if rule.mode.severity() > out.mode.severity() {
			out.mode, out.why = rule.mode, why
		}
		if rule.memory {
			out.near = why
			if rule.mode == ModePaused {
				out.full = why
			}
		}
	}
	return out
}
