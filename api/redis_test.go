package api

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/nexus-continuum/nexus/queue"
	"github.com/nexus-continuum/nexus/queue/provider"
	"github.com/nexus-continuum/nexus/queue/provider/redistest"
	"github.com/nexus-continuum/nexus/telemetry/interaction"
	"github.com/nexus-continuum/nexus/telemetry/presence"
)

// onRedis has the server stand on a Redis of the test's own.
func onRedis(t *testing.T, s *redistest.Server) func(*Options) {
	return func(opt *Options) {
		provided, err := provider.Start(t.Context(), provider.Options{URL: "redis://" + s.Addr, Timeout: 20 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = provided.Stop(t.Context()) })
		log := interaction.New(interaction.Options{Redis: provided.Client(), Log: opt.Log})
		q := queue.Open(queue.Options{Redis: provided.Client(), Asynq: provided.Asynq(), Delivered: log.Job, Log: opt.Log})
		if err := q.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = q.Stop(t.Context()) })
		opt.Queue, opt.Interactions, opt.Redis = q, log, provided.Client()
		opt.Presence = presence.New(presence.Options{Redis: provided.Client(), Listener: q})
	}
}

// issues are those of the health.
func (b *bundle) issues() (status, all string) {
	b.Helper()
	health, _ := b.get("/api/status").json(b)["health"].(map[string]any)
	status, _ = health["status"].(string)
	for _, i := range health["issues"].([]any) {
		all += i.(string) + "\n"
	}
	return status, all
}

// A read-only replica answers each PING, and takes no jobs.
func TestReplicaIsNotReady(t *testing.T) {
	t.Parallel()
	primary, s := redistest.Start(t), redistest.Start(t, "--appendonly", "yes")
	b := setup(t, onRedis(t, s))
	b.until("ready", func() bool { return b.get("/readyz").status == http.StatusOK })
	if status, issues := b.issues(); status != "healthy" {
		t.Errorf("health is %s: %s", status, issues)
	}
	c := s.Client()
	t.Cleanup(func() { _ = c.Close() })
	host, port, _ := strings.Cut(primary.Addr, ":")
	b.must(c.ReplicaOf(t.Context(), host, port).Err())
	b.until("not ready", func() bool { return b.get("/readyz").status == http.StatusServiceUnavailable })
	b.wantError(b.get("/readyz"), http.StatusServiceUnavailable, "unavailable", "", "read-only replica")
	b.until("unhealthy", func() bool {
		status, issues := b.issues()
		return status == "unhealthy" && strings.Contains(issues, "read-only replica")
	})
	m := b.get("/api/status").json(t)["redis"].(map[string]any)
	if m["connected"] != true || m["fault"] == nil {
		t.Errorf("redis is %v", m)
	}
	b.wantError(b.post("/api/interact", `{"prompt":"x"}`), http.StatusServiceUnavailable, "unavailable", "", "read-only replica")
}

// How Redis is set up is a matter of health: what it may lose is named.
func TestRedisThatMayLoseJobsIsAnIssue(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, "--maxmemory", "500mb", "--maxmemory-policy", "allkeys-lru")
	b := setup(t, onRedis(t, s))
	b.until("the issues are told", func() bool {
		status, issues := b.issues()
		return status == "degraded" && strings.Contains(issues, "allkeys-lru") && strings.Contains(issues, "append-only file")
	})
	m := b.get("/api/status").json(t)["redis"].(map[string]any)
	if m["max_bytes"] != float64(500<<20) || m["used_bytes"] == float64(0) || m["policy"] != "allkeys-lru" || m["append_only"] != false {
		t.Errorf("redis is %v", m)
	}
}

// A queue that somebody paused with asynq's tools is a matter of health, and its jobs
// say so.
func TestPausedQueueIsAnIssue(t *testing.T) {
	t.Parallel()
	b := setup(t)
	inspector := asynq.NewInspector(b.provided.Asynq())
	t.Cleanup(func() { _ = inspector.Close() })
	b.must(inspector.PauseQueue("batch"))
	began := time.Now()
	a := b.post("/api/jobs", `{"kind":"interact","prompt":"x"}`)
	id := a.text(t, "id")
	b.until("the job and the health say so", func() bool {
		waiting, _ := b.get("/api/jobs/" + id).json(t)["waiting_for"].(string)
		status, issues := b.issues()
		return strings.Contains(waiting, "paused in asynq's tools since 20") && status == "degraded" &&
			strings.Contains(issues, "queue batch is paused since 20") && strings.Contains(issues, "asynq's tools")
	})
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it was seen after %s", took)
	}
	b.must(inspector.UnpauseQueue("batch"))
	b.ended(id)
	b.until("healthy again", func() bool { status, _ := b.issues(); return status == "healthy" })
}
