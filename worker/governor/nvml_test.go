//go:build cgo && linux

package governor

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/dgxh100"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/server"
)

// eightH100s is NVIDIA's own mock of a machine, with the readings that it
// leaves unset.
func eightH100s(t *testing.T) (*server.Server, *gpus) {
	t.Helper()
	s := dgxh100.New()
	for _, d := range s.Devices {
		d, ok := d.(*server.Device)
		if !ok {
			t.Fatalf("the mock's device is a %T", d)
		}
		d.GetUtilizationRatesFunc = func() (nvml.Utilization, nvml.Return) { return nvml.Utilization{Gpu: 42}, nvml.SUCCESS }
		d.GetTemperatureFunc = func(nvml.TemperatureSensors) (uint32, nvml.Return) { return 61, nvml.SUCCESS }
		d.GetPowerUsageFunc = func() (uint32, nvml.Return) { return 350_500, nvml.SUCCESS }
		d.GetMemoryInfoFunc = func() (nvml.Memory, nvml.Return) {
			return nvml.Memory{Used: 20 << 30, Total: 80 << 30}, nvml.SUCCESS
		}
	}
	return s, newGPUs(s)
}

func TestNVMLReadings(t *testing.T) {
	t.Parallel()
	s, g := eightH100s(t)
	all, err := g.sample()
	if err != nil || len(all) != 8 {
		t.Fatalf("%d GPUs, %v", len(all), err)
	}
	r := all[3]
	if r.Index != 3 || !strings.Contains(r.Name, "H100") || r.MemoryPercent() != 25 || r.UtilizationPercent != 42 || r.TemperatureC != 61 || r.PowerW != 350.5 || r.Lost != "" {
		t.Errorf("read %+v", r)
	}
	described, why := g.describe()
	if len(described) != 8 || why != "" || described[0].MemoryMB != 80<<10 || described[0].Capability != "9.0" || described[0].Driver == "" {
		t.Errorf("described %+v (%s)", described, why)
	}

	if plain := strings.TrimPrefix(strings.ToLower(r.UUID), "gpu-"); plain == "" || r.UUID != plain || r.Slices != nil {
		t.Errorf("the UUID is %q, slices %v", r.UUID, r.Slices)
	}

	// The third card is cut in two.
	cut, ok := s.Devices[3].(*server.Device)
	if !ok {
		t.Fatalf("the mock's device is a %T", s.Devices[3])
	}
	cut.GetMigModeFunc = func() (int, int, nvml.Return) { return nvml.DEVICE_MIG_ENABLE, nvml.DEVICE_MIG_ENABLE, nvml.SUCCESS }
	cut.GetMaxMigDeviceCountFunc = func() (int, nvml.Return) { return 7, nvml.SUCCESS }
	cut.GetMigDeviceHandleByIndexFunc = func(i int) (nvml.Device, nvml.Return) {
		if i > 1 {
			return nil, nvml.ERROR_NOT_FOUND
		}
		return &mock.Device{GetUUIDFunc: func() (string, nvml.Return) { return fmt.Sprintf("MIG-AB-%d", i), nvml.SUCCESS }}, nvml.SUCCESS
	}
	if all, err = g.sample(); err != nil || !slices.Equal(all[3].Slices, []string{"ab-0", "ab-1"}) {
		t.Errorf("the slices of a card are %v, %v", all[3].Slices, err)
	}

	s.DeviceGetHandleByIndexFunc = func(int) (nvml.Device, nvml.Return) { return nil, nvml.ERROR_GPU_IS_LOST }
	s.ErrorStringFunc = func(nvml.Return) string { return "GPU is lost" }
	all, err = g.sample()
	if err != nil || len(all) != 8 || all[0].Lost != "GPU is lost" || all[0].Name == "" {
		t.Errorf("after the loss: %+v, %v", all, err)
	}
	s.DeviceGetCountFunc = func() (int, nvml.Return) { return 0, nvml.ERROR_UNKNOWN }
	all, err = g.sample()
	if err == nil || len(all) != 8 || all[7].Lost == "" {
		t.Errorf("when nothing can be counted: %+v, %v", all, err)
	}
	g.close()
}

// Without the library any call but Init would kill the process: the mock
// panics on those, so reaching the end is the proof.
func TestNVMLMissing(t *testing.T) {
	t.Parallel()
	g := newGPUs(&mock.Interface{InitFunc: func() nvml.Return { return nvml.ERROR_LIBRARY_NOT_FOUND }})
	if all, err := g.sample(); len(all) != 0 || err != nil {
		t.Errorf("sample: %v, %v", all, err)
	}
	if all, why := g.describe(); len(all) != 0 || why != "no NVIDIA driver on this machine" {
		t.Errorf("describe: %v, %q", all, why)
	}
	g.close()
}
