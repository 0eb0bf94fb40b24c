package governor

import "fmt"

// Limits are the lines that training keeps behind. Zero values take the
// defaults of DefaultLimits.
type Limits struct {
	// GPUMemory and GPUUtilization are percentages of the device.
	GPUMemory, GPUUtilization float64
	// GPUWarning and GPUCritical are temperatures in °C.
	GPUWarning, GPUCritical float64
	// ActiveCPU and IdleCPU are training's share of the machine, in percent,
	// while callers are active and while no requests come.
	ActiveCPU, IdleCPU float64
	// MemoryMB is the resident memory of the process above which training waits.
	MemoryMB float64
}

// DefaultLimits are those of the runbook.
func DefaultLimits() Limits {
	return Limits{
		GPUMemory: 50, GPUUtilization: 80, GPUWarning: 75, GPUCritical: 85,
		ActiveCPU: 50, IdleCPU: 100, MemoryMB: 4096,
	}
}

func (l Limits) withDefaults() Limits {
	d := DefaultLimits()
	for _, p := range []struct {
		value    *float64
		standard float64
	}{
		{&l.GPUMemory, d.GPUMemory},
		{&l.GPUUtilization, d.GPUUtilization},
		{&l.GPUWarning, d.GPUWarning},
		{&l.GPUCritical, d.GPUCritical},
		{&l.ActiveCPU, d.ActiveCPU},
		{&l.IdleCPU, d.IdleCPU},
		{&l.MemoryMB, d.MemoryMB},
	} {
		if *p.value == 0 {
			*p.value = p.standard
		}
	}
	return l
}

func (l Limits) check() error {
	for _, p := range []struct {
		name  string
		value float64
	}{
		{"GPU memory", l.GPUMemory},
		{"GPU utilization", l.GPUUtilization},
		{"active CPU", l.ActiveCPU},
		{"idle CPU", l.IdleCPU},
	} {
		if !(p.value > 0 && p.value <= 100) {
			return fmt.Errorf("governor: the %s limit is %g; it must be above 0 and at most 100 percent", p.name, p.value)
		}
	}
	if l.GPUWarning >= l.GPUCritical {
		return fmt.Errorf("governor: the GPU warning temperature %g °C must be below the critical one, %g °C", l.GPUWarning, l.GPUCritical)
	}
	if l.MemoryMB < 0 {
		return fmt.Errorf("governor: the memory limit is %g MB; it must be positive", l.MemoryMB)
	}
	return nil
}
