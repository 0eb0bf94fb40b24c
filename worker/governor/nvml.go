//go:build cgo && linux

package governor

import (
	"errors"
	"fmt"
	"slices"
	"strings"

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
	// known are the names and UUIDs of devices seen once, so that a lost one can still be named.
	known []GPU
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
	for i := n; i < len(g.known); i++ {
		gone := g.known[i]
		gone.Lost = "it is no longer on the bus"
		out = append(out, gone)
	}
	return out, nil
}

func (g *gpus) lost(why string) []GPU {
	out := slices.Clone(g.known)
	for i := range out {
		out[i].Lost = why
	}
	return out
}

func (g *gpus) read(i int) GPU {
	r := GPU{Index: i}
	if i < len(g.known) {
		r = g.known[i]
	}
	d, ret := g.lib.DeviceGetHandleByIndex(i)
	if !errors.Is(ret, nvml.SUCCESS) {
		r.Lost = g.lib.ErrorString(ret)
		return r
	}
	if name, ret := d.GetName(); errors.Is(ret, nvml.SUCCESS) {
		r.Name = name
	}
	r.UUID, r.Slices = identify(d)
	switch known := (GPU{Index: i, Name: r.Name, UUID: r.UUID, Slices: r.Slices}); {
	case i < len(g.known):
		g.known[i] = known // it may have been cut into slices since
	case i == len(g.known):
		g.known = append(g.known, known)
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

// identify gives the UUID of a device and those of its slices, if it is cut into some. The heat of a
// slice is that of its card.
func identify(d nvml.Device) (uuid string, slices []string) {
	uuid = plainUUID(d)
	if mode, _, ret := d.GetMigMode(); !errors.Is(ret, nvml.SUCCESS) || mode != nvml.DEVICE_MIG_ENABLE {
		return uuid, nil
	}
	n, ret := d.GetMaxMigDeviceCount()
	if !errors.Is(ret, nvml.SUCCESS) {
		return uuid, nil
	}
	for i := range n {
		if slice, ret := d.GetMigDeviceHandleByIndex(i); errors.Is(ret, nvml.SUCCESS) {
			slices = append(slices, plainUUID(slice))
		}
	}
	return uuid, slices
}

// plainUUID is the UUID of a device without its prefix, empty where it has none.
func plainUUID(d nvml.Device) string {
	uuid, ret := d.GetUUID()
	if !errors.Is(ret, nvml.SUCCESS) {
		return ""
	}
	for _, prefix := range []string{"GPU-", "MIG-"} {
		uuid = strings.TrimPrefix(uuid, prefix)
	}
	return strings.ToLower(uuid)
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

// NewSystemOver is NewSystem with another NVML library, for tests.
func NewSystemOver(lib nvml.Interface) (*System, error) {
	s, err := NewSystem()
	if err == nil {
		s.gpus.close()
		s.gpus = newGPUs(lib)
	}
	return s, err
}
