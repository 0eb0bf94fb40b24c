package api

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/queue"
	"github.com/nexus-continuum/nexus/queue/provider"
	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/storage/dir"
	"github.com/nexus-continuum/nexus/telemetry/heartbeat"
	"github.com/nexus-continuum/nexus/telemetry/interaction"
	"github.com/nexus-continuum/nexus/telemetry/presence"
	"github.com/nexus-continuum/nexus/topic"
)

// The paths that the runbook's jq calls read.
func TestStatusHasEveryPathOfTheRunbook(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.post("/api/interact", `{"prompt":"x"}`)
	m := b.get("/api/status").json(t)
	for _, path := range []string{
		"health.healthy", "health.status", "health.issues", "daemon.running", "daemon.paused", "daemon.uptime_seconds",
		"metrics.requests.total", "metrics.requests.success_rate", "metrics.requests.refusal_rate", "metrics.requests.rate_per_second",
		"metrics.latency.request.p50_ms", "metrics.latency.request.p95_ms", "metrics.latency.request.p99_ms",
		"memory.process.current_mb", "memory.process.peak_mb", "memory.process.growth_rate_mb_per_hour", "memory.process.growth_confidence", "memory.process.level",
		"metrics.flow.average_depth", "metrics.flow.convergence_rate", "resources.cpu_percent", "resources.mode",
		"circuit_breakers.inference.state", "model.confidence_threshold", "model.architecture", "model.size", "model.parameters",
		"model.target_error", "model.lessons", "model.topics", "queues.interactive.pending", "queues.batch.oldest_ms", "queues.train.max",
		"redis.rung", "storage.kind",
	} {
		var at any = m
		for _, key := range strings.Split(path, ".") {
			parent, _ := at.(map[string]any)
			at = parent[key]
		}
		if at == nil {
			t.Errorf("%s is not there", path)
		}
	}
	var s status
	b.must(json.Unmarshal(b.get("/api/status").body, &s))
	if s.Metrics.Requests.Total != 1 || s.Metrics.Latency.Request.P50MS <= 0 || s.Metrics.Flow.AverageDepth != 7 || s.Metrics.Requests.RefusalRate != 1 {
		t.Errorf("after one refusal: %+v", s.Metrics)
	}
	if len(s.Workers) != 1 || s.Workers[0].Slots != 8 || s.Redis.Rung == "" || !s.Redis.Connected || len(s.Hardware) != 1 {
		t.Errorf("workers %+v, redis %+v", s.Workers, s.Redis)
	}
	if !s.Health.Healthy || s.Health.Status != "healthy" || s.Health.Issues == nil || len(s.Health.Issues) != 0 {
		t.Errorf("health %+v", s.Health)
	}
	if hw := b.get("/api/hardware"); !strings.Contains(string(hw.body), `"device":"cpu"`) {
		t.Errorf("hardware: %s", hw.body)
	}
}

// A client finds counted what it was answered, in the next status that it reads, and
// also what was answered by processes that have ended.
func TestStatusCountsAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	gone := heartbeat.New(heartbeat.Options{ID: "gone", Roles: []string{heartbeat.RoleAPI}, Host: "far", Version: "test"})
	for range 7 {
		gone.Served(time.Millisecond)
	}
	payload, err := json.Marshal(gone.Snapshot())
	b.must(err)
	b.must(b.presence.Beat(t.Context(), "gone", payload, time.Minute))
	b.must(b.presence.Remove(t.Context(), "gone"))
	for n := range 5 {
		b.post("/api/interact", `{"prompt":"x"}`)
		var s status
		b.must(json.Unmarshal(b.get("/api/status").body, &s))
		if got := s.Metrics.Requests; got.Total != int64(7+n+1) || got.Refusals[job.ReasonUntaught] != int64(n+1) {
			t.Errorf("after %d answers here and 7 before the status counts %+v", n+1, got)
		}
	}
}

func TestStatusSumsTheCluster(t *testing.T) {
	t.Parallel()
	b := setup(t)
	other := heartbeat.New(heartbeat.Options{ID: "other", Roles: []string{heartbeat.RoleWorker, heartbeat.RoleAPI}, Host: "far", Version: "test"})
	other.Fill(func(k *heartbeat.Beat) {
		k.Mode, k.ModeReason = heartbeat.ModeThrottled, "memory"
		k.Memory = heartbeat.Memory{CurrentMB: 100, PeakMB: 120, GrowthRateMBPerHour: 50, GrowthConfidence: 0.99}
		k.StartedAt = job.At(time.Now().Add(-2 * time.Hour))
		k.Model = &heartbeat.Model{Architecture: "flowing", Size: "small", Checkpoint: "c", Lessons: 5}
	})
	for range 30 {
		other.Served(3 * time.Second)
	}
	payload, err := json.Marshal(other.Snapshot())
	b.must(err)
	b.must(b.presence.Beat(t.Context(), "other", payload, time.Minute))
	b.must(b.presence.Beat(t.Context(), "broken", []byte(`{"id":7}`), time.Minute))
	b.post("/api/interact", `{"prompt":"x"}`)
	var s status
	b.until("the other process shows", func() bool {
		b.must(json.Unmarshal(b.get("/api/status").body, &s))
		return len(s.Workers) == 2
	})
	if s.Metrics.Requests.Total != 31 || s.Memory.Process.CurrentMB != 100 || s.Resources.Mode != heartbeat.ModeThrottled || *s.Resources.Reason != "memory" {
		t.Errorf("%+v %+v %+v", s.Metrics.Requests, s.Memory, s.Resources)
	}
	said := strings.Join(s.Health.Issues, "\n")
	if s.Health.Status != "degraded" || !strings.Contains(said, "p95") || !strings.Contains(said, "grows by 50 MB") {
		t.Errorf("%+v", s.Health)
	}
}

// grown is a worker that has run for some time and has such a memory.
func grown(now time.Time, runs time.Duration, m heartbeat.Memory) func(*view) {
	return func(v *view) { v.cluster.Beats[0].StartedAt, v.cluster.Beats[0].Memory = job.At(now.Add(-runs)), m }
}

func TestHealthIssues(t *testing.T) {
	t.Parallel()
	now := time.Now()
	worker := heartbeat.Beat{ID: "w", Host: "h", Roles: []string{heartbeat.RoleWorker}, Model: &heartbeat.Model{Checkpoint: "a", Lessons: 9}}
	well := func() view {
		return view{at: now, cluster: heartbeat.Cluster{
			Beats: []heartbeat.Beat{worker}, Model: worker.Model, SuccessRate: 1, ConvergenceRate: 1,
			Recent: heartbeat.Counts{Requests: 200, Answered: 180, Refused: 20, Flowed: 200},
		}, head: storage.Head{Checkpoint: "a", MovedAt: now.Add(-time.Hour)}}
	}
	for name, tc := range map[string]struct {
		change func(*view)
		status string
		words  string
	}{
		"well":         {func(*view) {}, "healthy", ""},
		"Redis gone":   {func(v *view) { v.redis = job.Errorf(job.CodeUnavailable, "x") }, "unhealthy", "Redis"},
		"no worker":    {func(v *view) { v.cluster.Beats = nil }, "unhealthy", "no worker"},
		"no model":     {func(v *view) { v.cluster.Model = nil }, "unhealthy", "model"},
		"failures":     {func(v *view) { v.cluster.SuccessRate = 0.85 }, "degraded", "success rate 85 %"},
		"few failures": {func(v *view) { v.cluster.SuccessRate, v.cluster.Recent.Requests = 0.5, 4 }, "healthy", ""},
		"refusals":     {func(v *view) { v.cluster.Recent.Answered, v.cluster.Recent.Refused = 80, 120 }, "degraded", "refusal rate 60 %"},
		"a few trials": {func(v *view) { v.cluster.Recent.Answered, v.cluster.Recent.Refused = 9, 90 }, "healthy", ""},
		"untaught": {func(v *view) {
			v.cluster.Recent.Answered, v.cluster.Recent.Refused, v.cluster.Model = 0, 200, &heartbeat.Model{Checkpoint: "a"}
		}, "healthy", ""},
		"untaught before": {func(v *view) {
			v.cluster.Recent.Refused, v.cluster.Recent.Refusals = 820, map[string]int64{job.ReasonUntaught: 800}
		}, "healthy", ""},
		"slow p95":          {func(v *view) { v.cluster.Latency.P95 = 2100 }, "degraded", "p95"},
		"slow p99":          {func(v *view) { v.cluster.Latency.P99 = 5100 }, "degraded", "p99"},
		"growth":            {grown(now, time.Hour, heartbeat.Memory{GrowthRateMBPerHour: 11, GrowthConfidence: 0.97}), "degraded", "grows by 11 MB an hour (confidence 97 %)"},
		"uncertain growth":  {grown(now, time.Hour, heartbeat.Memory{GrowthRateMBPerHour: 60, GrowthConfidence: 0.6}), "healthy", ""},
		"warming up":        {grown(now, 30*time.Minute, heartbeat.Memory{CurrentMB: 300, GrowthRateMBPerHour: 111, GrowthConfidence: 0.99, WarningMB: 3072}), "healthy", ""},
		"taught for hours":  {grown(now, 3*time.Hour, heartbeat.Memory{CurrentMB: 150, GrowthRateMBPerHour: 28, GrowthConfidence: 1, WarningMB: 3072}), "healthy", ""},
		"a leak":            {grown(now, 3*time.Hour, heartbeat.Memory{CurrentMB: 400, GrowthRateMBPerHour: 120, GrowthConfidence: 1, WarningMB: 3072}), "degraded", "grows by 120 MB an hour"},
		"a slow leak":       {grown(now, 90*time.Hour, heartbeat.Memory{CurrentMB: 2900, GrowthRateMBPerHour: 28, GrowthConfidence: 1, WarningMB: 3072}), "degraded", "grows by 28 MB an hour (confidence 100 %); it is 2900 MB now, and 3072 is the warning bound"},
		"a leak at once":    {grown(now, 8*time.Minute, heartbeat.Memory{CurrentMB: 600, GrowthRateMBPerHour: 3600, GrowthConfidence: 0.99, WarningMB: 3072}), "degraded", "grows by 3600 MB an hour"},
		"convergence":       {func(v *view) { v.cluster.ConvergenceRate = 0.7 }, "degraded", "convergence"},
		"breaker":           {func(v *view) { v.cluster.Breakers = map[string]heartbeat.Breaker{"redis": {State: "open"}} }, "degraded", "redis is open"},
		"old queue":         {func(v *view) { v.lanes = []queue.LaneState{{Name: job.LaneBatch, OldestMS: 40_000}} }, "degraded", "waited 40 s"},
		"training may wait": {func(v *view) { v.lanes = []queue.LaneState{{Name: job.LaneTrain, OldestMS: 40_000}} }, "healthy", ""},
		"stale checkpoint":  {func(v *view) { v.head.Checkpoint = "b" }, "degraded", "not the head b"},
		"a new checkpoint":  {func(v *view) { v.head.Checkpoint, v.head.MovedAt = "b", now }, "healthy", ""},
		"ahead of the last look": {func(v *view) {
			v.head.Checkpoint, v.head.MovedAt = "b", now.Add(-time.Hour)
			v.cluster.Beats = []heartbeat.Beat{{ID: "w", Roles: worker.Roles, Model: &heartbeat.Model{Checkpoint: "c", Lessons: 9, LoadedAt: job.At(now.Add(-time.Second))}}}
		}, "healthy", ""},
		"passed over": {func(v *view) {
			v.head.Checkpoint, v.head.MovedAt = "c", now
			v.checkpoints = []checkpoint{{ID: "c", CreatedAt: job.At(now)}, {ID: "b", CreatedAt: job.At(now.Add(-time.Minute))}}
			v.cluster.Beats = []heartbeat.Beat{{ID: "w", Roles: worker.Roles, Model: &heartbeat.Model{Checkpoint: "a", Lessons: 9, LoadedAt: job.At(now.Add(-time.Hour))}}}
		}, "degraded", "not the head c"},
		"much memory": {func(v *view) {
			v.cluster.Beats[0].Memory = heartbeat.Memory{CurrentMB: 3500, WarningMB: 3072, Level: heartbeat.MemoryWarning}
		}, "degraded", "3500 MB, above 3072"},
		"no memory": {func(v *view) {
			v.cluster.Beats[0].Memory = heartbeat.Memory{CurrentMB: 4500, CriticalMB: 4096, Level: heartbeat.MemoryCritical}
		}, "degraded", "above the critical 4096"},
		"too hot": {func(v *view) {
			v.cluster.Beats[0].Mode, v.cluster.Beats[0].ModeReason = heartbeat.ModeCooling, "GPU 0 95 °C"
		}, "degraded", "GPU 0 95 °C"},
		"a poison dataset": {func(v *view) {
			v.cluster.Beats[0].SetAside = []heartbeat.SetAside{{Dataset: "0197-poison", Why: "panic: index out of range"}}
		}, "degraded", "dataset 0197-poison was set aside"},
		"disk full": {
			func(v *view) { v.cluster.Beats[0].Folder = &heartbeat.Folder{Fault: "no space left"} }, "degraded", "takes no writes, nothing can be taught or saved: no space left",
		},
		"bucket refuses": {
			func(v *view) { v.cluster.Beats[0].Uploads = &heartbeat.Uploads{Bucket: "b", Fault: "access denied"} }, "degraded", "the bucket b cannot be used, 0 objects wait: access denied",
		},
		"lessons that only a lost host has": {func(v *view) {
			v.cluster.Beats[0].Absent = []heartbeat.Absent{{Dataset: "0197-lost", Since: now.Add(-2 * time.Minute)}, {Dataset: "0198-young", Since: now}}
		}, "degraded", "the lessons of job 0197-lost have been missing from the shared storage"},
		"lessons on their way": {func(v *view) { v.cluster.Beats[0].Absent = []heartbeat.Absent{{Dataset: "0198-young", Since: now}} }, "healthy", ""},
		"storage gone":         {func(v *view) { v.store = storage.ErrUnavailable }, "degraded", "storage"},
	} {
		v := well()
		tc.change(&v)
		h := judge(v)
		if h.Status != tc.status || h.Healthy != (tc.status == "healthy") || !strings.Contains(strings.Join(h.Issues, "\n"), tc.words) || h.Issues == nil {
			t.Errorf("%s: %+v, want %s saying %q", name, h, tc.status, tc.words)
		}
	}
}

// From nothing to the JSON of the status of 50 workers, whose beats lie in a real
// Redis. Callers share it for a quarter of a second.
func BenchmarkStatusOf50(b *testing.B) {
	provided, err := provider.Start(b.Context(), provider.Options{Mode: redisMode(), Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	q := queue.Open(queue.Options{Redis: provided.Client(), Asynq: provided.Asynq()})
	log, processes := interaction.New(interaction.Options{Redis: provided.Client()}), presence.New(presence.Options{Redis: provided.Client(), Listener: q})
	if err := q.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := errors.Join(q.Stop(context.Background()), provided.Stop(context.Background())); err != nil {
			b.Error(err)
		}
	}()
	for range 50 {
		r := heartbeat.New(heartbeat.Options{Roles: []string{heartbeat.RoleWorker}})
		for n := range 1000 {
			r.Served(time.Duration(n) * time.Millisecond)
		}
		p, err := json.Marshal(r.Snapshot())
		if err != nil {
			b.Fatal(err)
		}
		if err := processes.Beat(b.Context(), r.ID(), p, time.Hour); err != nil {
			b.Fatal(err)
		}
	}
	store, err := dir.Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	topics, err := topic.Open("")
	if err != nil {
		b.Fatal(err)
	}
	s, err := New(Options{
		Queue: q, Interactions: log, Presence: processes, Redis: provided.Client(), Datasets: storage.NewDatasets(store, storage.DatasetOptions{}), Checkpoints: storage.NewCheckpoints(store, storage.Options{}),
		Control: storage.NewControl(store, storage.ControlOptions{}), Known: (&worker0{}).known, Topics: topics, Checks: storage.NewChecks(store, nil), Validity: storage.NewValidity(store, nil),
	})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		v := s.takeView(b.Context(), view{})
		if len(v.cluster.Beats) < 50 {
			b.Fatalf("%d processes are seen", len(v.cluster.Beats))
		}
		if _, err := json.Marshal(s.statusOf(v)); err != nil {
			b.Fatal(err)
		}
	}
}

// A growth that is not sure is no figure to act on.
func TestUnsureGrowthIsNotShown(t *testing.T) {
	t.Parallel()
	for confidence, want := range map[float64]float64{0.5: 0, 0.949: 0, 0.95: 60} {
		if got := roundMemory(heartbeat.Memory{GrowthRateMBPerHour: 60, GrowthConfidence: confidence}).GrowthRateMBPerHour; got != want {
			t.Errorf("at a confidence of %g the status shows %g MB an hour, want %g", confidence, got, want)
		}
	}
}
