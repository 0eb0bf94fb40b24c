package governor_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nexus-continuum/nexus/worker/governor"
)

// script is a Sampler that plays what it is told.
type script struct {
	mu      sync.Mutex
	reading governor.Reading
	err     error
}

func (s *script) set(change func(*governor.Reading), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reading, s.err = healthy(), err
	if change != nil {
		change(&s.reading)
	}
}

func (s *script) Sample(context.Context) (governor.Reading, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return governor.Reading{}, s.err
	}
	r := s.reading
	r.At = time.Now()
	return r, nil
}

func healthy() governor.Reading {
	return governor.Reading{
		Cores: 2, CPUPercent: 10, MemoryUsedMB: 2_000, MemoryTotalMB: 8_000, ProcessMB: 300,
		GPUs: []governor.GPU{{Name: "H100", UtilizationPercent: 20, MemoryUsedMB: 10_000, MemoryTotalMB: 80_000, TemperatureC: 45}},
	}
}

// start runs a governor on a script, inside a bubble of fake time.
func start(t *testing.T, s *script, useGPU bool) *governor.Governor {
	t.Helper()
	g, err := governor.New(governor.Options{Sampler: s, UseGPU: useGPU, Relieve: func() {}})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return g
}

// tick lets the governor take its next reading.
func tick() {
	time.Sleep(1100 * time.Millisecond) // fake time
	synctest.Wait()
}

func TestFaultMatrix(t *testing.T) {
	t.Parallel()
	gpu := func(f func(*governor.GPU)) func(*governor.Reading) {
		return func(r *governor.Reading) { f(&r.GPUs[0]) }
	}
	for _, c := range []struct {
		name   string
		cpu    bool // the model runs on the CPU
		change func(*governor.Reading)
		err    error
		mode   governor.Mode
		says   string
		// almost is a reading within the hysteresis: the mode must stay.
		almost func(*governor.Reading)
	}{
		{
			name: "GPU at 95 °C", change: gpu(func(g *governor.GPU) { g.TemperatureC = 95 }), mode: governor.ModeCooling, says: "GPU 0 95 °C, limit 85",
			almost: gpu(func(g *governor.GPU) { g.TemperatureC = 80 }),
		},
		{
			name: "GPU at 76 °C", change: gpu(func(g *governor.GPU) { g.TemperatureC = 76 }), mode: governor.ModeThrottled, says: "GPU 0 76 °C, limit 75",
			almost: gpu(func(g *governor.GPU) { g.TemperatureC = 73 }),
		},
		{
			name: "GPU memory full", change: gpu(func(g *governor.GPU) { g.MemoryUsedMB = 79_000 }), mode: governor.ModePaused, says: "GPU 0 memory 99 %, limit 50",
			almost: gpu(func(g *governor.GPU) { g.MemoryUsedMB = 36_000 }),
		},
		{
			name: "GPU memory just below its limit", change: gpu(func(g *governor.GPU) { g.MemoryUsedMB = 39_000 }), mode: governor.ModePaused, says: "limit 50",
		},
		{
			name: "GPU utilisation 100 %", change: gpu(func(g *governor.GPU) { g.UtilizationPercent = 100 }), mode: governor.ModeThrottled, says: "GPU 0 utilisation 100 %, limit 80",
			almost: gpu(func(g *governor.GPU) { g.UtilizationPercent = 75 }),
		},
		{name: "device lost", change: gpu(func(g *governor.GPU) { g.Lost = "GPU is lost" }), mode: governor.ModePaused, says: "GPU 0 does not answer: GPU is lost"},
		{name: "all devices gone", change: func(r *governor.Reading) { r.GPUs = nil }, mode: governor.ModePaused, says: "the GPU is gone"},
		{name: "sampler fails", err: errors.New("NVML: unknown error"), mode: governor.ModePaused, says: "NVML: unknown error"},
		{name: "sampler fails, CPU", cpu: true, err: errors.New("no /proc"), mode: governor.ModeIdle, says: "no requests"},
		{name: "NVML missing, CPU", cpu: true, change: func(r *governor.Reading) { r.GPUs = nil }, mode: governor.ModeIdle, says: "no requests"},
		{name: "hot GPU, model on the CPU", cpu: true, change: gpu(func(g *governor.GPU) { g.TemperatureC = 95 }), mode: governor.ModeIdle, says: "no requests"},
		{
			name: "memory of the process", cpu: true, change: func(r *governor.Reading) { r.ProcessMB = 4_000 }, mode: governor.ModePaused, says: "memory of the process 4000 MB, limit 4096",
			almost: func(r *governor.Reading) { r.ProcessMB = 3_600 },
		},
		{name: "memory of the process near", cpu: true, change: func(r *governor.Reading) { r.ProcessMB = 3_700 }, mode: governor.ModeThrottled, says: "memory of the process 3700 MB"},
		{name: "cgroup shrunk", cpu: true, change: func(r *governor.Reading) { r.MemoryTotalMB = 2_050 }, mode: governor.ModePaused, says: "memory of the machine 98 % used"},
		{
			name: "CPU at its critical temperature", cpu: true, change: func(r *governor.Reading) { r.CPUTemperature, r.CPUCritical = 101, 100 }, mode: governor.ModeCooling, says: "CPU 101 °C, limit 100",
			almost: func(r *governor.Reading) { r.CPUTemperature, r.CPUCritical = 96, 100 },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &script{}
				s.set(nil, nil)
				g := start(t, s, !c.cpu)
				if p := g.Permit(); p.HandBack || p.Wait > 0 {
					t.Fatalf("a healthy machine was refused: %+v", p)
				}

				s.set(c.change, c.err)
				tick()
				tick() // the first one also sees a rise
				held(t, g, c.mode, c.says)
				if c.almost != nil {
					s.set(c.almost, nil)
					tick()
					if m := g.State().Mode; m != c.mode {
						t.Errorf("within the hysteresis the mode became %s, want %s", m, c.mode)
					}
				}

				s.set(nil, nil)
				tick()
				if st := g.State(); st.Mode != governor.ModeIdle {
					t.Errorf("after recovery the mode is %s (%s)", st.Mode, st.Reason)
				}
				if p := g.Permit(); p.HandBack {
					t.Errorf("after recovery training is refused: %+v", p)
				}
			})
		})
	}
}

// Every limit counts when it is reached, not only when it is passed, and the
// value just below it does not.
func TestALimitCountsWhenItIsReached(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name         string
		limit, below float64
		change       func(r *governor.Reading, value float64)
		mode         governor.Mode
	}{
		{"GPU critical temperature", 85, 84, func(r *governor.Reading, v float64) { r.GPUs[0].TemperatureC = v }, governor.ModeCooling},
		{"GPU warning temperature", 75, 74, func(r *governor.Reading, v float64) { r.GPUs[0].TemperatureC = v }, governor.ModeThrottled},
		{"GPU utilisation", 80, 79, func(r *governor.Reading, v float64) { r.GPUs[0].UtilizationPercent = v }, governor.ModeThrottled},
		{"CPU critical temperature", 100, 99, func(r *governor.Reading, v float64) {
			r.CPUTemperature, r.CPUCritical, r.CPUHigh = v, 100, 200
		}, governor.ModeCooling},
		{"CPU high temperature", 90, 89, func(r *governor.Reading, v float64) {
			r.CPUTemperature, r.CPUCritical, r.CPUHigh = v, 200, 90
		}, governor.ModeThrottled},
		// Memory counts from a share of its limit.
		{"GPU memory", 0.95 * 40_000, 0.94 * 40_000, func(r *governor.Reading, v float64) { r.GPUs[0].MemoryUsedMB = v }, governor.ModePaused},
		{"memory of the machine", 0.95 * 8_000, 0.94 * 8_000, func(r *governor.Reading, v float64) { r.MemoryUsedMB = v }, governor.ModePaused},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &script{}
				s.set(nil, nil)
				g := start(t, s, true)
				s.set(func(r *governor.Reading) { c.change(r, c.below) }, nil)
				tick()
				if st := g.State(); st.Mode == c.mode {
					t.Errorf("at %g, below %g, the mode is %s already (%s)", c.below, c.limit, st.Mode, st.Reason)
				}
				s.set(func(r *governor.Reading) { c.change(r, c.limit) }, nil)
				tick()
				if st := g.State(); st.Mode != c.mode {
					t.Errorf("at exactly %g the mode is %s (%s), want %s", c.limit, st.Mode, st.Reason, c.mode)
				}
			})
		})
	}
}

func held(t *testing.T, g *governor.Governor, mode governor.Mode, says string) {
	t.Helper()
	st := g.State()
	if st.Mode != mode || !strings.Contains(st.Reason, says) {
		t.Errorf("mode %s (%s), want %s (%s)", st.Mode, st.Reason, mode, says)
	}
	p := g.Permit()
	stops := mode == governor.ModePaused || mode == governor.ModeCooling
	if p.HandBack != stops {
		t.Errorf("in mode %s the job is handed back: %v", mode, p.HandBack)
	}
	if stops && (!strings.HasPrefix(p.Reason, "governor: ") || !strings.Contains(p.Reason, says) || p.RetryAfter <= 0) {
		t.Errorf("the job would say %q and come back after %v", p.Reason, p.RetryAfter)
	}
	if p.Critical != (mode == governor.ModeCooling) {
		t.Errorf("in mode %s work in flight stops: %v", mode, p.Critical)
	}
}

// What grows fast is stopped before it passes the limit, and not after.
func TestWhatGrowsFastIsStoppedBeforeTheLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &script{}
		at := func(mb float64) {
			s.set(func(r *governor.Reading) { r.ProcessMB = mb }, nil)
			tick()
		}
		s.set(nil, nil)
		g := start(t, s, false)
		for mb := 300.0; mb <= 1500; mb += 600 {
			at(mb)
			if p := g.Permit(); p.HandBack {
				t.Fatalf("at %g MB of 4096 training is refused: %+v", mb, p)
			}
		}
		at(3000) // the next reading but one would be 6000
		held(t, g, governor.ModePaused, "memory of the process 3000 MB and 1500 more at each reading, limit 4096")
		if why := g.Near(); !strings.Contains(why, "limit 4096") {
			t.Errorf("jobs are taken although the limit is near: %q", why)
		}
		at(3000)
		if p := g.Permit(); p.HandBack || g.Near() != "" {
			t.Errorf("once it stands, training is refused: %+v, %q", p, g.Near())
		}
	})
}

// Near a limit of memory jobs in hand go on and no new ones are taken; heat is
// no reason not to take lessons into memory.
func TestJobsAreNotTakenNearALimitOfMemory(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*governor.Reading)
		near   bool
		stops  bool
		full   bool
	}{
		"well":         {func(*governor.Reading) {}, false, false, false},
		"near":         {func(r *governor.Reading) { r.ProcessMB = 3_700 }, true, false, false},
		"full":         {func(r *governor.Reading) { r.ProcessMB = 4_000 }, true, true, true},
		"machine full": {func(r *governor.Reading) { r.MemoryUsedMB = 7_900 }, true, true, true},
		"hot":          {func(r *governor.Reading) { r.GPUs[0].TemperatureC = 95 }, false, true, false},
		"hot and full": {func(r *governor.Reading) { r.GPUs[0].TemperatureC, r.ProcessMB = 95, 4_000 }, true, true, true},
		"lost":         {func(r *governor.Reading) { r.GPUs[0].Lost = "gone" }, false, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &script{}
				s.set(c.change, nil)
				g := start(t, s, true)
				p := g.Permit()
				if got := g.Near() != ""; got != c.near || p.HandBack != c.stops || p.Full != c.full {
					t.Errorf("near %v (%s), permit %+v", got, g.Near(), p)
				}
			})
		})
	}
}

func TestTheWorstReasonWins(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &script{}
		s.set(func(r *governor.Reading) {
			r.ProcessMB, r.GPUs[0].TemperatureC, r.GPUs[0].UtilizationPercent = 4_090, 90, 100
		}, nil)
		g := start(t, s, true)
		held(t, g, governor.ModeCooling, "90 °C")
		// An operator's pause does not hide that the device burns.
		g.Pause("paused by an operator")
		held(t, g, governor.ModeCooling, "90 °C")
		s.set(nil, nil)
		tick()
		if st := g.State(); st.Mode != governor.ModePaused || st.Reason != "paused by an operator" {
			t.Errorf("mode %s (%s)", st.Mode, st.Reason)
		}
		g.Pause("")
		if st := g.State(); st.Mode != governor.ModeIdle {
			t.Errorf("after the pause: mode %s", st.Mode)
		}
	})
}

func TestCallersMakeTrainingYield(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &script{}
		s.set(nil, nil)
		g := start(t, s, false)
		if st := g.State(); st.Mode != governor.ModeIdle || st.TrainingShare != 100 {
			t.Fatalf("mode %s, share %g", st.Mode, st.TrainingShare)
		}
		g.Touch()
		if st := g.State(); st.Mode != governor.ModeActive || st.TrainingShare != 50 {
			t.Fatalf("after a call: mode %s, share %g", st.Mode, st.TrainingShare)
		}
		time.Sleep(6 * time.Second)
		if st := g.State(); st.Mode != governor.ModeIdle {
			t.Fatalf("after 6 s without calls: mode %s", st.Mode)
		}
	})
}

// The share that training takes is the share allowed, whatever the length of
// its slices and however much of a slice another program had.
func TestShareIsKept(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		cores      float64
		wall, used time.Duration
		throttled  bool
		want       float64 // percent of the machine
	}{
		{"short slices", 2, 10 * time.Millisecond, 10 * time.Millisecond, false, 25},
		{"long slices", 2, 900 * time.Millisecond, 900 * time.Millisecond, false, 25},
		{"busy neighbour", 2, 40 * time.Millisecond, 20 * time.Millisecond, false, 25},
		{"four threads", 8, 20 * time.Millisecond, 80 * time.Millisecond, false, 25},
		{"throttled", 2, 20 * time.Millisecond, 20 * time.Millisecond, true, 12.5},
		{"half a core", 0.5, 20 * time.Millisecond, 20 * time.Millisecond, false, 25},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &script{}
				s.set(nil, nil)
				s.mu.Lock()
				s.reading.Cores = c.cores
				if c.throttled {
					s.reading.ProcessMB = 3_700
				}
				s.mu.Unlock()
				g, err := governor.New(governor.Options{Sampler: s, Limits: governor.Limits{IdleCPU: 25}, Relieve: func() {}})
				if err != nil {
					t.Fatal(err)
				}
				if err := g.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				defer func() { _ = g.Stop(context.Background()) }()

				began, used := time.Now(), time.Duration(0)
				for time.Since(began) < time.Minute {
					p := g.Permit()
					if p.Wait > 0 {
						time.Sleep(p.Wait)
						continue
					}
					time.Sleep(c.wall)
					used += c.used
					g.Spent(c.used)
				}
				got := 100 * used.Seconds() / (time.Since(began).Seconds() * c.cores)
				if got < c.want-2 || got > c.want+2 {
					t.Errorf("training took %.1f %% of the machine, want %.1f", got, c.want)
				}
			})
		})
	}
}

func TestMemoryIsRelievedOnceAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &script{}
		s.set(func(r *governor.Reading) { r.ProcessMB = 3_900 }, nil)
		relieved := 0
		g, err := governor.New(governor.Options{Sampler: s, Relieve: func() { relieved++ }})
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(90 * time.Second)
		if err := g.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if relieved != 2 {
			t.Errorf("in 90 s memory was given back %d times, want 2", relieved)
		}
		if st := g.State(); st.PeakMB != 3_900 {
			t.Errorf("peak %g MB", st.PeakMB)
		}
	})
}

func TestWrongLimitsAreRefused(t *testing.T) {
	t.Parallel()
	for name, l := range map[string]governor.Limits{
		"warning above critical": {GPUWarning: 90, GPUCritical: 80},
		"over 100 percent":       {ActiveCPU: 150},
		"negative":               {GPUMemory: -1},
	} {
		if _, err := governor.New(governor.Options{Sampler: &script{}, Limits: l}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestStopIsSafe(t *testing.T) {
	t.Parallel()
	g, err := governor.New(governor.Options{Sampler: &script{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Stop(t.Context()); err != nil {
		t.Errorf("stop before start: %v", err)
	}
	if err := g.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := g.Stop(t.Context()); err != nil {
			t.Errorf("stop: %v", err)
		}
	}
}
