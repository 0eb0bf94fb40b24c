package footprint_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nexus-continuum/nexus/telemetry/footprint"
	"github.com/nexus-continuum/nexus/telemetry/heartbeat"
)

// process is one whose memory the test decides.
type process struct {
	mu    sync.Mutex
	mb    float64
	err   error
	log   strings.Builder
	freed int
}

func (p *process) set(mb float64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mb, p.err = mb, err
}

func (p *process) read(context.Context) (float64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mb, p.err
}

func (p *process) free() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.freed++
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Write(b)
}

// said counts the lines of the log with a word in them.
func (p *process) said(word string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Count(p.log.String(), word)
}

func (p *process) start(t *testing.T, reliefs ...footprint.Relief) *footprint.Manager {
	t.Helper()
	m, err := footprint.New(footprint.Options{WarningMB: 300, CriticalMB: 400, Read: p.read, Free: p.free, Log: slog.New(slog.NewTextHandler(p, nil))})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range reliefs {
		m.OnPressure(r)
	}
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for range 2 {
			if err := m.Stop(context.Background()); err != nil {
				t.Error(err)
			}
		}
	})
	return m
}

// after lets fake time pass.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestPressureIsToldAndRelieved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &process{mb: 200}
		var mild, hard int
		m := p.start(t, func(critical bool) {
			if critical {
				hard++
			} else {
				mild++
			}
		})
		after(10 * time.Second)
		if s := m.State(); s.Level != heartbeat.MemoryOK || s.CurrentMB != 200 || s.WarningMB != 300 || s.Cleanups != 0 {
			t.Fatalf("%+v", s)
		}
		p.set(310, nil)
		after(30 * time.Second)
		if s := m.State(); s.Level != heartbeat.MemoryWarning || mild != 1 || p.freed != 1 || p.said("level=WARN") != 1 {
			t.Errorf("above the warning: %+v, %d mild reliefs, freed %d times, %d warnings", s, mild, p.freed, p.said("level=WARN"))
		}
		p.set(290, nil) // not far enough below to be well
		after(60 * time.Second)
		if s := m.State(); s.Level != heartbeat.MemoryWarning || mild != 2 {
			t.Errorf("just below the warning: %+v, %d reliefs in a minute and a half", s, mild)
		}
		p.set(450, nil)
		after(2 * time.Minute)
		if s := m.State(); s.Level != heartbeat.MemoryCritical || hard < 1 || p.said("level=ERROR") != 1 || s.PeakMB != 450 {
			t.Errorf("above the critical bound: %+v, %d hard reliefs, %d errors", s, hard, p.said("level=ERROR"))
		}
		p.set(100, nil)
		after(5 * time.Second)
		s := m.State()
		if s.Level != heartbeat.MemoryOK || s.PeakMB != 450 || s.Cleanups != int64(mild+hard) {
			t.Errorf("afterwards: %+v", s)
		}
		m.Relieve() // as the governor asks
		m.Relieve() // and again, at once
		if n := m.State().Cleanups - s.Cleanups; n > 1 {
			t.Errorf("%d cleanups in one minute", n)
		}
	})
}

func TestALeakShowsInTheBeatWithItsConfidence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &process{mb: 100}
		m := p.start(t)
		for i := range 600 {
			p.set(100+float64(i)/60, nil)
			after(time.Second)
		}
		var b heartbeat.Beat
		m.Fill(&b)
		if k := b.Memory; k.GrowthRateMBPerHour < 50 || k.GrowthRateMBPerHour > 70 || k.GrowthConfidence < 0.95 || k.GrowthLowMBPerHour <= 10 || k.GrowthHighMBPerHour < k.GrowthRateMBPerHour {
			t.Errorf("60 MB/h were planted; the beat says %+v", k)
		}
	})
}

func TestAReadingThatFailsIsToldOnceAndKeepsTheLast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &process{mb: 200}
		m := p.start(t)
		p.set(0, errors.New("no /proc"))
		after(20 * time.Second)
		if s := m.State(); s.CurrentMB != 200 || p.said("no /proc") != 1 {
			t.Errorf("%+v, told %d times", s, p.said("no /proc"))
		}
	})
}

func TestThisProcessIsRead(t *testing.T) {
	t.Parallel()
	m, err := footprint.New(footprint.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Stop(t.Context()); err != nil {
		t.Errorf("stop before start: %v", err)
	}
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = m.Stop(context.Background()) }()
	if s := m.State(); s.CurrentMB < 1 || s.PeakMB < s.CurrentMB || s.WarningMB != footprint.DefaultWarningMB || s.CriticalMB != footprint.DefaultCriticalMB {
		t.Errorf("%+v", s)
	}
}

func TestBoundsThatCannotBeMeantAreRefused(t *testing.T) {
	t.Parallel()
	for _, o := range []footprint.Options{{WarningMB: 500, CriticalMB: 400}, {WarningMB: -1}, {CriticalMB: 1000}} {
		if _, err := footprint.New(o); err == nil {
			t.Errorf("%g and %g MB are taken", o.WarningMB, o.CriticalMB)
		}
	}
}
