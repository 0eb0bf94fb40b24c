package worker

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/queue"
	"github.com/nexus-continuum/nexus/queue/provider"
	"github.com/nexus-continuum/nexus/worker/governor"
	"github.com/nexus-continuum/nexus/worker/trainer"
)

// machine is a sampler that plays what the test writes.
type machine struct {
	mu      sync.Mutex
	reading governor.Reading
	err     error
}

func well() governor.Reading {
	return governor.Reading{
		Cores: 2, CPUPercent: 20, MemoryUsedMB: 2_000, MemoryTotalMB: 8_000, ProcessMB: 300,
		GPUs: []governor.GPU{{Name: "H100", UtilizationPercent: 20, MemoryUsedMB: 10_000, MemoryTotalMB: 80_000, TemperatureC: 45}},
	}
}

func (m *machine) become(change func(*governor.Reading), err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reading, m.err = well(), err
	change(&m.reading)
}

func (m *machine) Sample(context.Context) (governor.Reading, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.reading
	r.At = time.Now()
	return r, m.err
}

// steps are learners of which the first waits for a word at each step and the
// later ones end by themselves.
type steps struct {
	begun chan struct{}
	step  chan error
	over  <-chan struct{}
	mu    sync.Mutex
	made  int
}

type stepper struct {
	of    *steps
	waits bool
	done  int
}

func (s *steps) learn(*model.Model, []string, uint64, func()) (trainer.Learner, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made++
	s.begun <- struct{}{}
	return &stepper{of: s, waits: s.made == 1}, nil
}

func (l *stepper) Step() (float64, error) {
	var err error
	if l.waits {
		select {
		case err = <-l.of.step:
		case <-l.of.over:
		}
	}
	l.done++
	return 1, err
}
func (l *stepper) Done() int  { return l.done }
func (l *stepper) Total() int { return 1000 }
func (l *stepper) Finish(m *model.Model) (*model.Model, trainer.Report, error) {
	return m, trainer.Report{Steps: l.done}, nil
}

// faults are what may befall a machine that trains: what the mode becomes, what
// the job says, and whether more can be learned by heart meanwhile.
var faults = []struct {
	name   string
	cpu    bool // the model runs on the CPU
	change func(*governor.Reading)
	err    error
	step   error // how the step ends that is under way
	mode   governor.Mode
	says   string // by the job; nothing if training goes on
	full   bool   // nothing is learned by heart either
}{
	{name: "GPU at 95 °C", change: func(r *governor.Reading) { r.GPUs[0].TemperatureC = 95 }, mode: governor.ModeCooling, says: "governor: GPU 0 95 °C, limit 85"},
	{name: "GPU memory full", change: func(r *governor.Reading) { r.GPUs[0].MemoryUsedMB = 79_500 }, mode: governor.ModePaused, says: "governor: GPU 0 memory 99 %, limit 50"},
	{name: "GPU utilisation 100 %", change: func(r *governor.Reading) { r.GPUs[0].UtilizationPercent = 100 }, mode: governor.ModeThrottled},
	{
		name: "device lost in the middle of a step", change: func(r *governor.Reading) { r.GPUs[0].Lost = "GPU is lost" }, step: errors.New("CUDA error 999"),
		mode: governor.ModePaused, says: "governor: GPU 0 does not answer: GPU is lost",
	},
	{name: "NVML stops to answer", change: func(*governor.Reading) {}, err: errors.New("NVML: unknown error"), mode: governor.ModePaused, says: "governor: GPU 0 does not answer: NVML: unknown error"},
	{name: "the device is gone from the list", change: func(r *governor.Reading) { r.GPUs = nil }, mode: governor.ModePaused, says: "governor: the GPU is gone"},
	{name: "NVML missing, on the CPU", cpu: true, change: func(r *governor.Reading) { r.GPUs = nil }, mode: governor.ModeActive},
	{name: "a hot GPU, on the CPU", cpu: true, change: func(r *governor.Reading) { r.GPUs[0].TemperatureC = 95 }, mode: governor.ModeActive},
	{name: "memory of the process full", cpu: true, change: func(r *governor.Reading) { r.ProcessMB = 4_090 }, mode: governor.ModePaused, says: "governor: memory of the process 4090 MB", full: true},
	{name: "memory of the machine full", cpu: true, change: func(r *governor.Reading) { r.MemoryUsedMB = 7_900 }, mode: governor.ModePaused, says: "governor: memory of the machine 99 % used", full: true},
	{name: "control group shrunk", cpu: true, change: func(r *governor.Reading) { r.MemoryTotalMB, r.Cores = 2_050, 0.5 }, mode: governor.ModePaused, says: "governor: memory of the machine 98 % used (2000 of 2050 MB)", full: true},
	{name: "CPU too hot", cpu: true, change: func(r *governor.Reading) { r.CPUTemperature, r.CPUCritical = 104, 100 }, mode: governor.ModeCooling, says: "governor: CPU 104 °C, limit 100"},
}

// Each fault meets a real worker in the middle of its gradient steps. Prompts are
// answered throughout, the job says why it waits, no attempt is spent, and when
// the fault is over it ends with everything that was taught.
func TestFaultMatrix(t *testing.T) {
	t.Parallel()
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, provider.Embedded)
			m := &machine{}
			m.become(func(*governor.Reading) {}, nil)
			gov := b.govern(m, !f.cpu)
			s := &steps{begun: make(chan struct{}, 100), step: make(chan error), over: t.Context().Done()}
			b.worker(func(o *Options) { o.Governor, o.Learn = gov, s.learn })
			id := b.teach(lessons(20)...)
			<-s.begun
			if a := b.ask("lesson number 7"); a.Response != "answer 7" {
				b.Errorf("before the fault: %+v", a)
			}

			m.become(f.change, f.err)
			b.until("the governor sees the fault", func() bool {
				// Callers are active, or not any more: both are as well.
				mode := gov.State().Mode
				return mode == f.mode || f.mode == governor.ModeActive && mode == governor.ModeIdle
			})
			s.step <- f.step
			if f.says == "" {
				s.step <- nil // the next one is taken all the same
				if j := b.job(id); j.State != job.StateRunning || j.WaitingFor != nil {
					b.Errorf("the job is %s and waits for %v", j.State, j.WaitingFor)
				}
				close(s.step)
			} else {
				b.waitsFor(id, f.says)
			}

			if a := b.ask("lesson number 3"); a.Response != "answer 3" {
				b.Errorf("during the fault: %+v", a)
			}
			other := b.teach("by heart → yes")
			if f.full {
				b.waitsFor(other, f.says)
				if lane := b.lane(job.LaneTrain); lane.Active != 0 {
					b.Errorf("%d train jobs were taken above the limit", lane.Active)
				}
			} else {
				b.ends(other)
			}

			m.become(func(*governor.Reading) {}, nil)
			got := b.ends(id)
			if j := b.job(id); j.Attempts != 1 || got.LessonsTaken != 20 || got.Steps != 1000 {
				b.Errorf("afterwards: %d attempts, %d lessons, %d steps", j.Attempts, got.LessonsTaken, got.Steps)
			}
			b.ends(other)
			if a := b.ask("by heart"); a.Response != "yes" {
				b.Errorf("afterwards: %+v", a)
			}
		})
	}
}

// Near a limit what runs goes on, and nothing more is taken.
func TestNoJobIsTakenNearALimit(t *testing.T) {
	eachMode(t, func(b *bundle) {
		m := &machine{}
		m.become(func(*governor.Reading) {}, nil)
		gov := b.govern(m, false)
		s := &steps{begun: make(chan struct{}, 100), step: make(chan error), over: b.Context().Done()}
		b.worker(func(o *Options) { o.Governor, o.Learn = gov, s.learn })
		running := b.teach(lessons(20)...)
		<-s.begun
		m.become(func(r *governor.Reading) { r.ProcessMB = 3_700 }, nil)
		const says = "governor: memory of the process 3700 MB, limit 4096"
		b.until("the lane is held", func() bool { return b.lane(job.LaneTrain).PausedWhy == says })
		waiting := b.teach("later → yes")
		b.waitsFor(waiting, says)
		s.step <- nil
		s.step <- nil // two steps on, the job that ran still runs
		if j := b.job(running); j.State != job.StateRunning {
			b.Errorf("the job that ran is %s, waiting for %v", j.State, j.WaitingFor)
		}
		if j := b.job(waiting); j.State != job.StateQueued || j.Attempts != 0 || j.QueuePosition == nil {
			b.Errorf("the job that waits: %+v", j)
		}
		m.become(func(*governor.Reading) {}, nil)
		close(s.step)
		b.ends(waiting)
		b.ends(running)
		if lane := b.lane(job.LaneTrain); lane.PausedWhy != "" {
			b.Errorf("the lane still says %q", lane.PausedWhy)
		}
	})
}

// govern runs a quick governor over a machine until the test ends.
func (b *bundle) govern(m *machine, gpu bool) *governor.Governor {
	b.Helper()
	g, err := governor.New(governor.Options{Sampler: m, UseGPU: gpu, Every: 20 * time.Millisecond, RetryAfter: time.Second, Relieve: func() {}, Log: testLog(b.T)})
	if err != nil {
		b.Fatal(err)
	}
	if err := g.Start(b.ctx); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := g.Stop(context.Background()); err != nil {
			b.Error(err)
		}
	})
	return g
}

// waitsFor waits until a job is back in its queue and says why, without having
// spent an attempt.
func (b *bundle) waitsFor(id, says string) {
	b.Helper()
	b.until("job "+id+" says "+says, func() bool {
		j := b.job(id)
		return j.State == job.StateQueued && j.WaitingFor != nil && strings.HasPrefix(*j.WaitingFor, says)
	})
	if j := b.job(id); j.State == job.StateQueued && j.Attempts != 0 {
		b.Errorf("job %s has spent %d attempts", id, j.Attempts)
	}
}

func (b *bundle) lane(name job.Lane) queue.LaneState {
	b.Helper()
	all, err := b.queue.Lanes(b.ctx)
	if err != nil {
		b.Fatal(err)
	}
	for _, l := range all {
		if l.Name == name {
			return l
		}
	}
	b.Fatalf("no lane %s", name)
	return queue.LaneState{}
}

// A panic while learning fails the job with the cause, runs it again, and takes
// neither the process nor its answers with it.
func TestAPanicWhileLearning(t *testing.T) {
	t.Parallel()
	b := setup(t, provider.Embedded)
	var poison atomic.Bool
	poison.Store(true)
	b.worker(func(o *Options) {
		o.Learn = func(m *model.Model, fresh []string, seed uint64, yield func()) (trainer.Learner, error) {
			if poison.Load() {
				panic("index out of range [512]")
			}
			return learn(m, fresh, seed, yield)
		}
	})
	id := b.teach(phrased(20)...)
	b.until("the job says why it runs again", func() bool {
		j := b.job(id)
		return j.State == job.StateQueued && j.WaitingFor != nil && strings.Contains(*j.WaitingFor, "index out of range [512]")
	})
	if a := b.ask("the code of room 3"); a.Response != "code 21" {
		b.Errorf("after the panic: %+v", a)
	}
	poison.Store(false)
	if got := b.ends(id); got.LessonsTaken != 20 || got.Steps == 0 {
		b.Errorf("result %+v", got)
	}
}
