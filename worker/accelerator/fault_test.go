//go:build linux && cgo

package accelerator_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock"

	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/telemetry/heartbeat"
	"github.com/nexus-continuum/nexus/worker/accelerator"
	"github.com/nexus-continuum/nexus/worker/governor"
)

// script is what NVML says of the one card, and may be changed while it is read.
type script struct {
	mu          sync.Mutex
	temperature uint32
	utilisation uint32
	lost        bool
	gone        bool
	broken      bool
}

func (s *script) set(f func(*script)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

// nvml is a library that reads the script. The card's UUID is that of the driver's card.
func (s *script) nvml() nvml.Interface {
	card := &mock.Device{
		GetNameFunc:       func() (string, nvml.Return) { return "Stand-in 0", nvml.SUCCESS },
		GetUUIDFunc:       func() (string, nvml.Return) { return "GPU-00010203-0405-0607-0809-0a0b0c0d0e0f", nvml.SUCCESS },
		GetMigModeFunc:    func() (int, int, nvml.Return) { return 0, 0, nvml.ERROR_NOT_SUPPORTED },
		GetPowerUsageFunc: func() (uint32, nvml.Return) { return 0, nvml.ERROR_NOT_SUPPORTED },
		GetMemoryInfoFunc: func() (nvml.Memory, nvml.Return) { return nvml.Memory{Total: 1 << 30}, nvml.SUCCESS },
		GetTemperatureFunc: func(nvml.TemperatureSensors) (uint32, nvml.Return) {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.temperature, nvml.SUCCESS
		},
		GetUtilizationRatesFunc: func() (nvml.Utilization, nvml.Return) {
			s.mu.Lock()
			defer s.mu.Unlock()
			return nvml.Utilization{Gpu: s.utilisation}, nvml.SUCCESS
		},
	}
	return &mock.Interface{
		InitFunc: func() nvml.Return { return nvml.SUCCESS }, ShutdownFunc: func() nvml.Return { return nvml.SUCCESS },
		ErrorStringFunc: func(r nvml.Return) string {
			if r == nvml.ERROR_GPU_IS_LOST {
				return "GPU is lost"
			}
			return "unknown error"
		},
		DeviceGetCountFunc: func() (int, nvml.Return) {
			s.mu.Lock()
			defer s.mu.Unlock()
			switch {
			case s.broken:
				return 0, nvml.ERROR_UNKNOWN
			case s.gone:
				return 0, nvml.SUCCESS
			}
			return 1, nvml.SUCCESS
		},
		DeviceGetHandleByIndexFunc: func(int) (nvml.Device, nvml.Return) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.lost {
				return nil, nvml.ERROR_GPU_IS_LOST
			}
			return card, nvml.SUCCESS
		},
	}
}

// governed is an accelerator whose governor reads the script.
func governed(t *testing.T, s *script) (*bench, *governor.Governor) {
	t.Helper()
	system, err := governor.NewSystemOver(s.nvml())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(system.Close)
	g, err := governor.New(governor.Options{Sampler: system, Every: 2 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return setup(t, g, func(o *accelerator.Options) { o.Now = time.Now }), g
}

// TestFaultMatrix takes one card through everything that may befall it, in order, so that what
// was passed before counts: each step is a reading, and what the worker does then.
func TestFaultMatrix(t *testing.T) {
	t.Parallel()
	s := &script{temperature: 45, utilisation: 20}
	b, g := governed(t, s)
	whole := b.same("at the start")
	if whole.Prompts < model.MaxBatch {
		t.Fatalf("at the start: %+v", whole)
	}
	for _, step := range []struct {
		what   string
		change func(*script)
		state  string
		says   string
		halved bool
		rests  bool
	}{
		{what: "74 °C", change: func(s *script) { s.temperature = 74 }, state: heartbeat.CardComputes},
		{what: "75 °C", change: func(s *script) { s.temperature = 75 }, state: heartbeat.CardSlowed, says: "GPU 0 75 °C, warning from 75", halved: true},
		{what: "73 °C, warm before", change: func(s *script) { s.temperature = 73 }, state: heartbeat.CardSlowed, says: "GPU 0 73 °C", halved: true},
		{what: "71 °C", change: func(s *script) { s.temperature = 71 }, state: heartbeat.CardComputes},
		{what: "85 °C", change: func(s *script) { s.temperature = 85 }, state: heartbeat.CardStopped, says: "GPU 0 85 °C, limit 85; the cores compute"},
		{what: "76 °C, critical before", change: func(s *script) { s.temperature = 76 }, state: heartbeat.CardStopped, says: "76 °C"},
		{what: "74 °C, critical before", change: func(s *script) { s.temperature = 74 }, state: heartbeat.CardSlowed, says: "74 °C", halved: true},
		{what: "50 °C", change: func(s *script) { s.temperature = 50 }, state: heartbeat.CardComputes},
		{what: "busy", change: func(s *script) { s.utilisation = 80 }, state: heartbeat.CardSlowed, says: "GPU 0 utilisation 80 %, limit 80", rests: true},
		{what: "less busy", change: func(s *script) { s.utilisation = 71 }, state: heartbeat.CardSlowed, says: "71 %", rests: true},
		{what: "not busy", change: func(s *script) { s.utilisation = 60 }, state: heartbeat.CardComputes},
		{what: "lost to NVML", change: func(s *script) { s.lost = true }, state: heartbeat.CardStopped, says: "GPU 0 does not answer: GPU is lost"},
		{what: "back", change: func(s *script) { s.lost = false }, state: heartbeat.CardComputes},
		{what: "NVML fails", change: func(s *script) { s.broken = true }, state: heartbeat.CardStopped, says: "GPU 0 does not answer"},
		{what: "NVML answers again", change: func(s *script) { s.broken = false }, state: heartbeat.CardComputes},
		{what: "gone from the bus", change: func(s *script) { s.gone = true }, state: heartbeat.CardStopped, says: "the cores compute"},
		{what: "on the bus again", change: func(s *script) { s.gone = false }, state: heartbeat.CardComputes},
	} {
		s.set(step.change)
		b.awaitReading(g)
		state := b.await(0, step.state)
		if !strings.Contains(state.Why, step.says) {
			t.Errorf("%s: the card says %q, want %q", step.what, state.Why, step.says)
		}
		launches := b.driver.Launches()
		c := b.same(step.what)
		stopped := step.state == heartbeat.CardStopped
		if stopped != (c.Prompts == 0) || stopped != (c.Declined > 0) || stopped && b.driver.Launches() != launches {
			t.Errorf("%s: the work counts as %+v", step.what, c)
		}
		if step.halved && c.Batches <= whole.Batches {
			t.Errorf("%s: %d batches, %d before", step.what, c.Batches, whole.Batches)
		}
		if rest := b.acc.Rest(20 * time.Millisecond); (rest == 20*time.Millisecond) != step.rests || !step.rests && rest != 0 {
			t.Errorf("%s: the worker rests %v", step.what, rest)
		}
	}
}

// awaitReading waits until the governor has read the machine twice, so that what it says
// comes from a reading that began after the call.
func (b *bench) awaitReading(g *governor.Governor) {
	b.Helper()
	for range 2 {
		for last := g.State().At; g.State().At.Equal(last); {
			select {
			case <-time.After(time.Millisecond):
			case <-b.Context().Done():
				b.Fatal("the governor no longer reads")
			}
		}
	}
}

// TestHeatAtTheStart: a card that is too hot is not even opened.
func TestHeatAtTheStart(t *testing.T) {
	t.Parallel()
	s := &script{temperature: 90}
	b, _ := governed(t, s)
	calls := b.driver.Calls()
	if c := b.same("hot"); c.Prompts != 0 || b.driver.Calls() != calls {
		t.Errorf("a hot card: %+v", c)
	}
	s.set(func(s *script) { s.temperature = 40 })
	b.await(0, heartbeat.CardComputes)
}
