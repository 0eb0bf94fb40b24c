package worker

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/telemetry/heartbeat"
	"github.com/nexus-continuum/nexus/worker/governor"
)

// burning is a machine whose first GPU is too hot and whose second is gone.
type burning struct{}

func (burning) Sample(context.Context) (governor.Reading, error) {
	return governor.Reading{
		At: time.Now(), Cores: 2, CPUPercent: 40, CPUTemperature: 61, MemoryTotalMB: 8000, MemoryUsedMB: 1000, ProcessMB: 100,
		GPUs: []governor.GPU{
			{Index: 0, Name: "H100", UtilizationPercent: 75, MemoryUsedMB: 10, MemoryTotalMB: 100, TemperatureC: 95, PowerW: 300},
			{Index: 1, Lost: "fell off the bus"},
		},
		Faults: []string{"GPU 1: fell off the bus"},
	}, nil
}

func scraped(t *testing.T, w *Worker) string {
	t.Helper()
	r := prometheus.NewRegistry()
	if err := w.Register(r); err != nil {
		t.Fatal(err)
	}
	rec := httptest.NewRecorder()
	promhttp.HandlerFor(r, promhttp.HandlerOpts{}).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/", nil))
	if rec.Code != http.StatusOK {
		t.Fatalf("scrape: %d %s", rec.Code, rec.Body)
	}
	return rec.Body.String()
}

func wantLines(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains("\n"+text, "\n"+line+"\n") {
			t.Errorf("no line %q", line)
		}
	}
}

func TestAWorkerTellsWhatItDoes(t *testing.T) {
	eachMode(t, func(b *bundle) {
		w := b.worker(nil)
		id := b.teach(phrased(20)...)
		b.until("the lessons are learned", func() bool {
			j, err := b.queue.Job(b.ctx, id)
			return err == nil && j.State == job.StateSucceeded
		})
		for _, prompt := range []string{"what is the code of room 3?", "who painted the ceiling?"} {
			if _, _, err := b.queue.Ask(b.ctx, job.Spec{Kind: job.KindInteract, Prompt: prompt}, timeout); err != nil {
				b.Fatal(err)
			}
		}
		text := scraped(b.T, w)
		wantLines(
			b.T, text,
			`nexus_answers_total{outcome="answered"} 1`, `nexus_answers_total{outcome="refused"} 1`,
			`nexus_confidence_count 2`, `nexus_compute_duration_seconds_count 2`, `nexus_queue_wait_seconds_count 2`, `nexus_flow_depth_count 2`,
			`nexus_model_lessons 20`, `nexus_model_info{architecture="flowing",size="small"} 1`, `nexus_worker_trainer 1`,
			`nexus_breaker_state{breaker="inference",state="closed"} 1`, `nexus_breaker_state{breaker="inference",state="open"} 0`,
			`nexus_interact_jobs_failed_total 0`, `nexus_consolidations_total{outcome="failed"} 0`,
		)
		for _, want := range []string{"nexus_training_loss ", `nexus_training_accuracy_ratio{weights="after"} `} {
			if !strings.Contains(text, want) {
				b.Errorf("no %q after gradient steps", want)
			}
		}
		if strings.Contains(text, "nexus_training_steps_total 0\n") {
			b.Error("no gradient steps were counted")
		}
		if b.Failed() {
			b.Log(text)
		}
		lint(b.T, text)
	})
}

// lint asks the checker that operators would use.
func lint(t *testing.T, text string) {
	t.Helper()
	if _, err := exec.LookPath("promtool"); err != nil {
		t.Log("promtool is not on PATH (Debian package prometheus); the conventions are not checked here")
		return
	}
	cmd := exec.Command("promtool", "check", "metrics")
	cmd.Stdin = strings.NewReader(text)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil || out.Len() > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, &out)
	}
}

func TestReadingsOfTheMachineAreTold(t *testing.T) {
	t.Parallel()
	b := setup(t, "embedded")
	g, err := governor.New(governor.Options{Sampler: burning{}, UseGPU: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Start(b.ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	w := b.worker(func(opt *Options) { opt.Governor = g })
	text := scraped(t, w)
	wantLines(
		t, text,
		`nexus_governor_mode{mode="cooling"} 1`, `nexus_governor_mode{mode="idle"} 0`, `nexus_governor_training_share_ratio 0`,
		`nexus_governor_cores 2`, `nexus_governor_cpu_ratio 0.4`, `nexus_governor_faults 1`, `nexus_cpu_temperature_celsius 61`,
		`nexus_gpu_temperature_celsius{gpu="0"} 95`, `nexus_gpu_utilization_ratio{gpu="0"} 0.75`, `nexus_gpu_power_watts{gpu="0"} 300`,
		`nexus_gpu_lost{gpu="0"} 0`, `nexus_gpu_lost{gpu="1"} 1`,
	)
	if strings.Contains(text, `nexus_gpu_temperature_celsius{gpu="1"}`) {
		t.Error("a GPU that is gone has a temperature")
	}
	lint(t, text)
}

func TestAnUnknownReasonMakesNoNewSeries(t *testing.T) {
	t.Parallel()
	m := newMetrics()
	r := prometheus.NewRegistry()
	r.MustRegister(m.collectors()...)
	count := func() int {
		families, err := r.Gather()
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, f := range families {
			n += len(f.GetMetric())
		}
		return n
	}
	before := count()
	for i := range 100 {
		reason := fmt.Sprint("reason ", i)
		m.answered(&job.Answer{Reason: &reason, Flow: job.Flow{Depth: i}, Confidence: float64(i) / 100})
	}
	if after := count(); after != before {
		t.Errorf("%d series became %d", before, after)
	}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "nexus_confidence" {
			h := f.GetMetric()[0].GetHistogram()
			if len(h.GetBucket()) == 0 || len(h.GetPositiveSpan()) == 0 {
				t.Errorf("confidence is no native and classic histogram: %d buckets, %d spans", len(h.GetBucket()), len(h.GetPositiveSpan()))
			}
		}
	}
}

func BenchmarkObserveAnswer(b *testing.B) {
	m, rec := newMetrics(), heartbeat.New(heartbeat.Options{})
	a := &job.Answer{Responded: true, Confidence: .97, Flow: job.Flow{Depth: 7, Converged: true}, Timing: job.Timing{QueueMS: .4, ComputeMS: .3}}
	b.Run("prometheus", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			m.answered(a)
		}
	})
	b.Run("heartbeat", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			rec.Answer(a)
		}
	})
}
