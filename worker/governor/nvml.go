//go:build cgo && linux

package governor

import (
	"errors"
	"fmt"

	"github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/nexus-continuum/nexus/telemetry/heartbeat"
)

// gpus reads GPUs through NVML. Without the driver's library every call but
// Init kills the process, so nothing is called unless Init went well.
type gpus struct {
	lib   nvml.Interface
	found bool
	// why says why there are no GPUs to read.
	why string
	// names of devices seen once, so that a lost one can still be named.
	names []string
}

func findGPUs() *gpus { return newGPUs(nvml.New()) }

func newGPUs(lib nvml.Interface) *gpus {
	g := &gpus{lib: lib}
	ret := lib.Init()
	switch {
	case errors.Is(ret, nvml.SUCCESS):
		g.found = true
	case errors.Is(ret, nvml.ERROR_LIBRARY_NOT_FOUND):
		g.why = "no NVIDIA driver on this machine"
	default:
		g.why = fmt.Sprintf("the NVIDIA driver does not start (NVML code %d)", int(ret))
	}
	return g
}

func (g *gpus) close() {
	if g.found {
		// At the end of the process nobody could act on a failure.
		_ = g.lib.Shutdown()
		g.found = false
	}
}

// sample reads each GPU; one that fails is reported as lost.
func (g *gpus) sample() ([]GPU, error) {
	if !g.found {
		return nil, nil
	}
	n, ret := g.lib.DeviceGetCount()
	if !errors.Is(ret, nvml.SUCCESS) {
		return g.lost(g.lib.ErrorString(ret)), fmt.Errorf("count GPUs: %s", g.lib.ErrorString(ret))
	}
	out := make([]GPU, 0, n)
	for i := range n {
		out = append(out, g.read(i))
	}
	// A device that was there and is counted no more is lost too.
	for i := n; i < len(g.names); i++ {
		out = append(out, GPU{Index: i, Name: g.names[i], Lost: "it is no longer on the bus"})
	}
	return out, nil
}

func (g *gpus) lost(why string) []GPU {
	out := make([]GPU, len(g.names))
	for i, name := range g.names {
		out[i] = GPU{Index: i, Name: name, Lost: why}
	}
	return out
}

func (g *gpus) read(i int) GPU {
	r := GPU{Index: i}
	if i < len(g.names) {
		r.Name = g.names[i]
	}
	d, ret := g.lib.DeviceGetHandleByIndex(i)
	if !errors.Is(ret, nvml.SUCCESS) {
		r.Lost = g.lib.ErrorString(ret)
		return r
	}
	if name, ret := d.GetName(); errors.Is(ret, nvml.SUCCESS) {
		r.Name = name
		if i == len(g.names) {
			g.names = append(g.names, name)
		}
	}
	m, ret := d.GetMemoryInfo()
	if !errors.Is(ret, nvml.SUCCESS) {
		r.Lost = g.lib.ErrorString(ret)
		return r
	}
	r.MemoryUsedMB, r.MemoryTotalMB = float64(m.Used)/(1<<20), float64(m.Total)/(1<<20)
	t, ret := d.GetTemperature(nvml.TEMPERATURE_GPU)
	if !errors.Is(ret, nvml.SUCCESS) {
		r.Lost = g.lib.ErrorString(ret)
		return r
	}
	r.TemperatureC = float64(t)
	// Some devices (MIG slices, old ones) do not report these; that is no loss.
	if u, ret := d.GetUtilizationRates(); errors.Is(ret, nvml.SUCCESS) {
		r.UtilizationPercent = float64(u.Gpu)
	}
	if p, ret := d.GetPowerUsage(); errors.Is(ret, nvml.SUCCESS) {
		r.PowerW = float64(p) / 1000
	}
	return r
}

// describe lists the GPUs for people; the text says why there are none.
func (g *gpus) describe() ([]heartbeat.GPU, string) {
	out := []heartbeat.GPU{}
	if !g.found {
		return out, g.why
	}
	n, ret := g.lib.DeviceGetCount()
	if !errors.Is(ret, nvml.SUCCESS) {
		return out, "GPUs cannot be counted: " + g.lib.ErrorString(ret)
	}
	driver, _ := g.lib.SystemGetDriverVersion()
	for i := range n {
		h := heartbeat.GPU{Driver: driver}
		d, ret := g.lib.DeviceGetHandleByIndex(i)
		if errors.Is(ret, nvml.SUCCESS) {
			h.Name, _ = d.GetName()
			if m, ret := d.GetMemoryInfo(); errors.Is(ret, nvml.SUCCESS) {
				h.MemoryMB = int64(m.Total >> 20)
			}
			if major, minor, ret := d.GetCudaComputeCapability(); errors.Is(ret, nvml.SUCCESS) {
				h.Capability = fmt.Sprintf("%d.%d", major, minor)
			}
		}
		out = append(out, h)
	}
	if n == 0 {
		return out, "the NVIDIA driver knows no GPU"
	}
	return out, ""
}
