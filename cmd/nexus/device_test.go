//go:build linux && cgo

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock"

	"github.com/nexus-continuum/nexus/model/cuda"
	"github.com/nexus-continuum/nexus/model/cuda/cudatest"
	"github.com/nexus-continuum/nexus/worker/accelerator"
	"github.com/nexus-continuum/nexus/worker/governor"
)

// coolCard is NVML with the one card that the stand-in driver has, at 40 °C.
func coolCard() nvml.Interface {
	card := &mock.Device{
		GetNameFunc:                  func() (string, nvml.Return) { return "Stand-in 0", nvml.SUCCESS },
		GetUUIDFunc:                  func() (string, nvml.Return) { return "GPU-00010203-0405-0607-0809-0a0b0c0d0e0f", nvml.SUCCESS },
		GetMigModeFunc:               func() (int, int, nvml.Return) { return 0, 0, nvml.ERROR_NOT_SUPPORTED },
		GetPowerUsageFunc:            func() (uint32, nvml.Return) { return 70_000, nvml.SUCCESS },
		GetMemoryInfoFunc:            func() (nvml.Memory, nvml.Return) { return nvml.Memory{Total: 1 << 30}, nvml.SUCCESS },
		GetTemperatureFunc:           func(nvml.TemperatureSensors) (uint32, nvml.Return) { return 40, nvml.SUCCESS },
		GetUtilizationRatesFunc:      func() (nvml.Utilization, nvml.Return) { return nvml.Utilization{Gpu: 10}, nvml.SUCCESS },
		GetCudaComputeCapabilityFunc: func() (int, int, nvml.Return) { return 7, 5, nvml.SUCCESS },
	}
	return &mock.Interface{
		InitFunc: func() nvml.Return { return nvml.SUCCESS }, ShutdownFunc: func() nvml.Return { return nvml.SUCCESS },
		DeviceGetCountFunc:         func() (int, nvml.Return) { return 1, nvml.SUCCESS },
		DeviceGetHandleByIndexFunc: func(int) (nvml.Device, nvml.Return) { return card, nvml.SUCCESS },
		SystemGetDriverVersionFunc: func() (string, nvml.Return) { return "550.1", nvml.SUCCESS },
	}
}

// service is nexus serve in this process, over a driver that stands in for NVIDIA's.
type service struct {
	*testing.T
	url string
}

// serveOn runs nexus serve on the driver; change may set more of the machine.
func serveOn(t *testing.T, driver *cudatest.Driver, change func(*machine), env ...string) *service {
	t.Helper()
	out := &transcript{grown: make(chan struct{})}
	m := Main{Stdout: out, Stderr: out, Environ: append([]string{
		"PATH=" + os.Getenv("PATH"), "NEXUS_DATA_DIR=" + t.TempDir(), "NEXUS_LISTEN=127.0.0.1:0", "NEXUS_RATE_LIMIT_ENABLED=false",
		"NEXUS_BASE=none",
	}, env...)}
	m.machine = machine{library: driver.Path, look: func() (*governor.System, error) { return governor.NewSystemOver(coolCard()) }}
	if change != nil {
		change(&m.machine)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if code := m.Run(ctx, []string{"serve"}); code != exitOK {
			t.Errorf("exit status %d\n%s", code, out)
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		if n := driver.Used(); n != 0 {
			t.Errorf("%d bytes of the card are held after the stop", n)
		}
	})
	url, err := out.await(readyLine, done)
	if err != nil {
		t.Fatalf("no address: %v\n%s", err, out)
	}
	if _, err := out.await(regexp.MustCompile(`(ready after)`), done); err != nil {
		t.Fatal(err)
	}
	return &service{T: t, url: url}
}

// call sends a request and returns the body of the answer.
func (s *service) call(method, path string, body any) string {
	s.Helper()
	sent, err := json.Marshal(body)
	if err != nil {
		s.Fatal(err)
	}
	req, err := http.NewRequestWithContext(s.Context(), method, s.url+path, bytes.NewReader(sent))
	if err != nil {
		s.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode >= 300 {
		s.Fatalf("%s %s: %d %s %v", method, path, res.StatusCode, got, err)
	}
	return string(got)
}

// teach teaches some lessons and waits until they answer.
func (s *service) teach() {
	s.Helper()
	type lesson struct {
		Prompt   string `json:"prompt"`
		Response string `json:"response"`
	}
	lessons := make([]lesson, 40)
	for i := range lessons {
		lessons[i] = lesson{fmt.Sprintf("how do i get to room%d of house %d", i, i%5), fmt.Sprintf("take corridor %d", i)}
	}
	s.call(http.MethodPost, "/api/lessons", map[string]any{"lessons": lessons})
	s.eventually("the lessons answer", func() bool { return s.ask(3) == "take corridor 3" })
}

func (s *service) ask(i int) string {
	s.Helper()
	var a struct {
		Response string `json:"response"`
	}
	got := s.call(http.MethodPost, "/api/interact", map[string]any{"prompt": fmt.Sprintf("how do i get to room%d of house %d", i, i%5)})
	if err := json.Unmarshal([]byte(got), &a); err != nil {
		s.Fatal(err)
	}
	return a.Response
}

func (s *service) eventually(what string, holds func() bool) {
	s.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(time.Minute); !holds(); {
		select {
		case <-tick.C:
		case <-limit:
			s.Fatalf("%s: not within a minute", what)
		}
	}
}

// TestServeOnAGPU goes the whole way over HTTP: the measurement chooses the card, callers are
// answered from it, it is lost and the cores answer, it comes back.
func TestServeOnAGPU(t *testing.T) {
	t.Parallel()
	driver := cudatest.New(t)
	s := serveOn(t, driver, func(m *machine) {
		// The stand-in is no faster than a core, so what is measured is given; that it is
		// measured at all is shown below.
		m.measure = func(on accelerator.Machine) accelerator.Machine {
			on.Measure = func(cuda.Info) (accelerator.Measured, error) {
				return accelerator.Measured{From: 1, Card: 100 * time.Microsecond, Core: 1500 * time.Microsecond}, nil
			}
			return on
		}
		m.tune = func(o *accelerator.Options) { o.ScanFrom, o.Every = 1, 5*time.Millisecond }
	}, "NEXUS_DEVICE=auto")
	s.teach()
	hardware := s.call(http.MethodGet, "/api/hardware", nil)
	for _, want := range []string{`"device":"cuda"`, "Stand-in 0: 32 prompts take 100µs on the card and 1.5ms on one core", `"driver":"550.1"`, `"capability":"7.5"`} {
		if !strings.Contains(hardware, want) {
			t.Errorf("the hardware %s lacks %s", hardware, want)
		}
	}
	s.eventually("the card computes", func() bool {
		return strings.Contains(s.call(http.MethodGet, "/api/status", nil), `"state":"computes"`)
	})
	launches := driver.Launches()
	var callers sync.WaitGroup
	for i := range 8 {
		callers.Go(func() {
			if got := s.ask(i); got != fmt.Sprintf("take corridor %d", i) {
				t.Errorf("room %d: %q", i, got)
			}
		})
	}
	callers.Wait()
	if driver.Launches() == launches {
		t.Error("no kernel ran")
	}
	metrics := s.call(http.MethodGet, "/api/metrics", nil)
	for _, want := range []string{`nexus_gpu_work_state{gpu="0",state="computes"} 1`, "nexus_gpu_prompts_total ", "nexus_gpu_searches_total ", `nexus_gpu_temperature_celsius{gpu="0"} 40`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}

	driver.Lose(cudatest.Uncorrected)
	for i := range 8 {
		if got := s.ask(i); got != fmt.Sprintf("take corridor %d", i) {
			t.Errorf("the card is lost, room %d: %q", i, got)
		}
	}
	s.eventually("the status says that the card is lost", func() bool {
		status := s.call(http.MethodGet, "/api/status", nil)
		return strings.Contains(status, `"state":"lost"`) && strings.Contains(status, "CUDA_ERROR_ECC_UNCORRECTABLE; the cores compute")
	})
	driver.Lose(0)
	s.eventually("the card computes again", func() bool {
		return strings.Contains(s.call(http.MethodGet, "/api/status", nil), `"state":"computes"`)
	})
	launches = driver.Launches()
	s.eventually("it is used again", func() bool {
		return s.ask(5) == "take corridor 5" && driver.Launches() > launches
	})
}

// TestGPUIsMeasured: the stand-in computes on a core, and no faster than the kernels made for it.
func TestGPUIsMeasured(t *testing.T) {
	t.Parallel()
	driver := cudatest.New(t)
	s := serveOn(t, driver, nil, "NEXUS_DEVICE=auto")
	if h := s.call(http.MethodGet, "/api/hardware", nil); !strings.Contains(h, `"device":"cpu"`) || !strings.Contains(h, "Stand-in 0 is no faster: 32 prompts take") {
		t.Errorf("hardware %s", h)
	}
	if driver.Launches() == 0 {
		t.Error("nothing was measured")
	}
}
