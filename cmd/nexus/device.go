package main

import (
	"context"
	"strings"

	"github.com/nexus-continuum/nexus/telemetry/heartbeat"
	"github.com/nexus-continuum/nexus/worker/accelerator"
	"github.com/nexus-continuum/nexus/worker/governor"
)

// machine is where the GPUs are found. The zero value is the real one.
type machine struct {
	library string                                        // of the driver
	look    func() (*governor.System, error)              // at the machine
	measure func(accelerator.Machine) accelerator.Machine // changes what is measured
	tune    func(*accelerator.Options)                    // changes how cards are used
}

func (m machine) system() (*governor.System, error) {
	if m.look != nil {
		return m.look()
	}
	return governor.NewSystem()
}

// openDevice chooses what to compute on. The accelerator is nil on the CPU.
func (s *shared) openDevice(ctx context.Context, system *governor.System, gov *governor.Governor) (heartbeat.Hardware, *accelerator.Accelerator, error) {
	hardware, noGPU := system.Detect(ctx)
	limit := float64(s.settings.GPUMemoryLimit)
	m := accelerator.Real(s.machine.library, limit, s.modelConfig())
	m.Kernels, m.NoGPU = "portable Go kernels", noGPU
	if len(hardware.CPU.Vector) > 0 {
		m.Kernels = strings.Join(hardware.CPU.Vector, ", ")
	}
	m.Watched = system.Watches
	if s.machine.measure != nil {
		m = s.machine.measure(m)
	}
	d, err := accelerator.Decide(accelerator.Wish{Device: s.settings.Device, GPUs: s.settings.GPUDevices}, m)
	if err != nil {
		return hardware, nil, &settingError{"NEXUS_DEVICE", s.settings.Device, err.Error()}
	}
	hardware.Device, hardware.Why = d.Device, d.Why
	if len(d.Cards) == 0 {
		return hardware, nil, nil
	}
	opt := accelerator.Options{Cards: d.Cards, Library: s.machine.library, MemoryLimit: limit, From: d.From, Governor: gov, Log: s.log}
	if s.machine.tune != nil {
		s.machine.tune(&opt)
	}
	return hardware, accelerator.New(opt), nil
}
