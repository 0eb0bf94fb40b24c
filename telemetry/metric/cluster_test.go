package metric_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/queue"
	"github.com/nexus-continuum/nexus/queue/provider"
	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/storage/dir"
	"github.com/nexus-continuum/nexus/telemetry/heartbeat"
	"github.com/nexus-continuum/nexus/telemetry/interaction"
	"github.com/nexus-continuum/nexus/telemetry/metric"
	"github.com/nexus-continuum/nexus/telemetry/presence"
)

// bundle is a registry over real parts: a Redis, a folder, a queue.
type bundle struct {
	*testing.T
	registry    *prometheus.Registry
	queue       *queue.Queue
	presence    *presence.Presence
	checkpoints *storage.Checkpoints
	control     *storage.ControlRecord
	redis       *provider.Provider
}

// eachMode runs a test on every Redis that this machine has.
func eachMode(t *testing.T, test func(b *bundle)) {
	t.Helper()
	t.Parallel()
	names := []string{provider.Embedded}
	if _, err := exec.LookPath("redis-server"); err == nil {
		names = append(names, provider.Child)
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(setup(t, name))
		})
	}
}

func setup(t *testing.T, mode string) *bundle {
	t.Helper()
	r, err := provider.Start(t.Context(), provider.Options{Mode: mode, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	store, err := dir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b := &bundle{
		T: t, redis: r, registry: metric.NewRegistry("v1"),
		queue:       queue.Open(queue.Options{Redis: r.Client(), Asynq: r.Asynq()}),
		checkpoints: storage.NewCheckpoints(store, storage.Options{}),
		control:     storage.NewControl(store, storage.ControlOptions{}),
	}
	b.presence = presence.New(presence.Options{Redis: r.Client(), Listener: b.queue})
	if err := b.queue.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.queue.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return b
}

// register adds the collectors, after the state was made that they should show.
func (b *bundle) register() {
	b.Helper()
	b.registry.MustRegister(
		metric.NewProcess(heartbeat.New(heartbeat.Options{})),
		metric.NewCluster(metric.ClusterOptions{
			Queue: b.queue, Presence: b.presence, Interactions: interaction.New(interaction.Options{Redis: b.redis.Client()}), Checkpoints: b.checkpoints, Control: b.control,
			Inspector: asynq.NewInspectorFromRedisClient(b.redis.Client()),
		}),
	)
}

func (b *bundle) shows(want ...string) {
	b.Helper()
	text := scrape(b.T, b.registry, "/metrics")
	for _, line := range want {
		if !strings.Contains("\n"+text, "\n"+line+"\n") {
			b.Errorf("no line %q", line)
		}
	}
	if b.Failed() {
		b.Log(text)
	}
}

func scrape(t *testing.T, r *prometheus.Registry, path string) string {
	t.Helper()
	rec := httptest.NewRecorder()
	metric.Handler(r).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
	if rec.Code != http.StatusOK {
		t.Fatalf("GET %s: %d %s", path, rec.Code, rec.Body)
	}
	return rec.Body.String()
}

func (b *bundle) beat(id, role string, m *heartbeat.Model) {
	b.Helper()
	rec := heartbeat.New(heartbeat.Options{ID: id, Roles: []string{role}})
	rec.Fill(func(beat *heartbeat.Beat) { beat.Model = m })
	p := heartbeat.NewPulse(rec, heartbeat.NewResources(nil), b.presence.Beat, nil, nil)
	if err := p.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := p.Stop(context.Background()); err != nil {
			b.Error(err)
		}
	})
}

func TestTheClusterIsTold(t *testing.T) {
	eachMode(t, func(b *bundle) {
		for range 3 {
			if _, err := b.queue.Submit(b.Context(), job.Spec{Kind: job.KindInteract, Lane: job.LaneBatch, Prompt: "why?"}); err != nil {
				b.Fatal(err)
			}
		}
		saved, err := b.checkpoints.Save(b.Context(), "", []storage.Part{{Name: "weights", Data: make([]byte, 5000)}}, storage.Meta{Lessons: 7})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := b.control.Update(b.Context(), func(c *storage.Control) { c.Paused = true }); err != nil {
			b.Fatal(err)
		}
		if err := b.redis.Client().HSet(b.Context(), "nexus:{log}:dropped", "interactions", "7").Err(); err != nil {
			b.Fatal(err)
		}
		b.beat("a", heartbeat.RoleAPI, nil)
		b.beat("fresh", heartbeat.RoleWorker, &heartbeat.Model{Checkpoint: saved.ID, LoadedAt: job.At(time.Now())})
		b.beat("newer than the head that is shown", heartbeat.RoleWorker, &heartbeat.Model{Checkpoint: "later", LoadedAt: job.At(time.Now().Add(time.Minute))})
		b.beat("stuck", heartbeat.RoleWorker, &heartbeat.Model{Checkpoint: "old", LoadedAt: job.At(time.Now().Add(-time.Hour))})
		b.register()
		b.shows(
			`nexus_redis_up 1`, `nexus_storage_up 1`,
			`nexus_queue_depth{queue="batch",state="pending"} 3`, `nexus_queue_depth{queue="train",state="pending"} 0`, `nexus_queue_limit{queue="batch"} 10000`,
			`nexus_processes{role="api"} 1`, `nexus_processes{role="worker"} 3`, `nexus_processes{role="scheduler"} 0`,
			`nexus_workers_behind 1`, `nexus_checkpoints 1`, `nexus_checkpoint_lessons 7`,
			`nexus_retention_dropped_total{what="interactions"} 7`, `nexus_retention_dropped_total{what="jobs"} 0`, `nexus_retention_dropped_total{what="webhook_events"} 0`,
			`nexus_learning_paused 1`, `nexus_learning_stopped 0`,
			`asynq_queue_size{queue="batch"} 3`, `asynq_tasks_enqueued{queue="batch",state="pending"} 3`, `asynq_queue_paused{queue="batch"} 0`,
		)
	})
}

func TestTheConventionsAreKept(t *testing.T) {
	eachMode(t, func(b *bundle) {
		if _, err := b.queue.Submit(b.Context(), job.Spec{Kind: job.KindInteract, Lane: job.LaneBatch, Prompt: "why?"}); err != nil {
			b.Fatal(err)
		}
		if _, err := b.checkpoints.Save(b.Context(), "", []storage.Part{{Name: "weights", Data: []byte("w")}}, storage.Meta{}); err != nil {
			b.Fatal(err)
		}
		b.register()
		families, err := b.registry.Gather()
		if err != nil {
			b.Fatal(err)
		}
		problems, err := promlint.NewWithMetricFamilies(families).Lint()
		if err != nil || len(problems) > 0 {
			b.Errorf("%v %v", problems, err)
		}
	})
}

// gone is what hangs until its caller loses patience.
type gone struct{ metric.Queue }

func (gone) Ping(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

type unreadable struct{ metric.Checkpoints }

func (unreadable) Head(context.Context) (storage.Head, error) {
	return storage.Head{}, errors.New("I/O error")
}

func TestWhatCannotBeReadIsSaidAndTheRestIsTold(t *testing.T) {
	t.Parallel()
	store, err := dir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b := &bundle{T: t, registry: metric.NewRegistry("v1")}
	b.registry.MustRegister(metric.NewCluster(metric.ClusterOptions{
		Queue: gone{}, Checkpoints: unreadable{}, Control: storage.NewControl(store, storage.ControlOptions{}),
	}))
	began := time.Now()
	b.shows(`nexus_redis_up 0`, `nexus_storage_up 0`)
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("the scrape took %s; Prometheus gives up after 10", took)
	}
}

func TestAScrapeFindsMetricsUnderBothPaths(t *testing.T) {
	t.Parallel()
	r := metric.NewRegistry("v1.2")
	r.MustRegister(metric.NewProcess(heartbeat.New(heartbeat.Options{})))
	for _, path := range []string{"/metrics", "/api/metrics"} {
		text := scrape(t, r, path)
		for _, want := range []string{`version="v1.2"} 1`, "nexus_memory_resident_bytes ", "nexus_cpu_busy_ratio ", "go_goroutines ", "process_cpu_seconds_total "} {
			if !strings.Contains(text, want) {
				t.Errorf("GET %s: no %q", path, want)
			}
		}
	}
	server := httptest.NewServer(metric.Handler(r))
	defer server.Close()
	res, err := http.Get(server.URL + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, err := io.ReadAll(res.Body); err != nil || !strings.Contains(string(b), "ok") {
		t.Errorf("GET /healthz: %s, %v", b, err)
	}
}
