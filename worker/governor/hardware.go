package governor

import (
	"context"
	"fmt"
	"strings"

	"github.com/nexus-continuum/nexus/telemetry/heartbeat"
)

// Devices that may be asked for.
const (
	DeviceAuto = "auto"
	DeviceCPU  = "cpu"
	DeviceCUDA = "cuda"
)

// Detect says what this machine offers and chooses the device to compute on.
// asked is one of the Device constants; cuda is an error, since this build has
// no kernels for it: a service that silently ran elsewhere than told would
// surprise whoever planned for it.
func (s *System) Detect(ctx context.Context, asked string) (heartbeat.Hardware, error) {
	h := heartbeat.Detect(ctx)
	h.Cgroup.CPUs, _ = s.group.quota()
	_, limit := s.group.memoryMB()
	h.Cgroup.MemoryMB = int64(limit)
	gpus, why := s.gpus.describe()
	h.GPUs = gpus
	device, reason, err := choose(asked, h, why)
	if err != nil {
		return heartbeat.Hardware{}, err
	}
	h.Device, h.Why = device, reason
	return h, nil
}

func choose(asked string, h heartbeat.Hardware, noGPU string) (device, why string, err error) {
	kernels := "portable Go kernels"
	if len(h.CPU.Vector) > 0 {
		kernels = strings.Join(h.CPU.Vector, ", ")
	}
	switch asked {
	case DeviceCPU:
		return DeviceCPU, "asked for; kernels: " + kernels, nil
	case DeviceCUDA:
		return "", "", fmt.Errorf("device cuda was asked for, but this build computes on the CPU only; set NEXUS_DEVICE to auto or cpu")
	case DeviceAuto, "":
		if len(h.GPUs) == 0 {
			return DeviceCPU, fmt.Sprintf("%s; kernels: %s", noGPU, kernels), nil
		}
		return DeviceCPU, fmt.Sprintf("a prompt takes well under a millisecond on one core, less than a trip to the %s; kernels: %s", h.GPUs[0].Name, kernels), nil
	}
	return "", "", fmt.Errorf("device %q is not known; auto, cpu or cuda are", asked)
}
