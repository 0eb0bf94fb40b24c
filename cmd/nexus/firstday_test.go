package main

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// A new user's first minutes, as the README has them.
func TestFirstDay(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir(), []string{"serve"})

	if a := p.ask("How do I reset my password?"); a.Responded || a.Reason == nil || *a.Reason != "untaught" {
		t.Fatalf("a fresh model must refuse with untaught, got %+v", a)
	}

	const answer = "Open Settings, then Security."
	p.teach("support", lesson{"How do I reset my password?", answer})
	// Soon after the 202, even as the only lesson.
	p.eventually("the lesson answers", func() bool {
		a := p.ask("How do I reset my password?")
		return a.Responded && a.Response == answer
	})
	for _, prompt := range []string{
		"how do i reset my password", "HOW DO I RESET MY PASSWORD???", "how do i reset my pasword",
		"How do I  reset my passwrod?", "how do I reset, my password!",
	} {
		if a := p.ask(prompt); !a.Responded || a.Response != answer || len(a.Sources) == 0 {
			t.Errorf("%q: want the taught answer with its source, got %+v", prompt, a)
		}
	}
	if a := p.ask("Who won the 1998 world cup?"); a.Responded || a.Reason == nil {
		t.Errorf("a foreign prompt was answered: %+v", a)
	}

	var job task
	if code, h := p.call("POST", "/api/interact", map[string]string{"prompt": "How do I reset my password?"}, &job,
		"Prefer", "respond-async"); code != http.StatusAccepted || h.Get("Location") != "/api/jobs/"+job.ID {
		t.Fatalf("respond-async: %d, Location %q, job %q", code, h.Get("Location"), job.ID)
	}
	p.finished(job.ID)
}

// Every status path that the runbook's jq calls read is there.
func TestRunbookPaths(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir(), []string{"serve"})
	p.ask("anything")
	var status map[string]any
	if code, _ := p.call("GET", "/api/status", nil, &status); code != http.StatusOK {
		t.Fatal(code)
	}
	for _, path := range []string{
		"health.healthy", "health.status", "health.issues",
		"metrics.requests.total", "metrics.requests.success_rate", "metrics.requests.refusal_rate", "metrics.requests.rate_per_second",
		"metrics.latency.request.p50_ms", "metrics.latency.request.p95_ms", "metrics.latency.request.p99_ms",
		"memory.process.current_mb", "memory.process.peak_mb", "memory.process.growth_rate_mb_per_hour",
		"metrics.flow.average_depth", "metrics.flow.convergence_rate",
		"resources.cpu_percent", "resources.mode", "circuit_breakers", "model.confidence_threshold", "checkpoints",
		"daemon.running", "daemon.paused", "daemon.uptime_seconds", "workers", "queues", "hardware",
		"model.architecture", "model.size", "model.parameters", "model.checkpoint", "model.target_error", "model.lessons", "model.topics",
		"redis.rung",
	} {
		var at any = status
		for key := range strings.SplitSeq(path, ".") {
			m, _ := at.(map[string]any)
			var ok bool
			if at, ok = m[key]; !ok {
				t.Errorf("%s: no such path", path)
				break
			}
		}
	}
	for _, path := range []string{"/healthz", "/readyz", "/dashboard", "/monitoring", "/api/metrics", "/openapi.yaml", "/docs", "/api/hardware", "/api/checkpoints"} {
		res, err := http.Get(p.url + path)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Errorf("GET %s: %d", path, res.StatusCode)
		}
	}
}

// With a key set, nothing answers without it but what must stay open.
func TestKey(t *testing.T) {
	t.Parallel()
	const key = "nexus_0123456789abcdef0123456789"
	p := start(t, t.TempDir(), []string{"serve"}, "NEXUS_API_KEY="+key)
	var fault struct{ Detail, Code string }
	if code, _ := p.call("POST", "/api/interact", map[string]string{"prompt": "hi"}, &fault); code != http.StatusUnauthorized || fault.Code != "unauthorized" {
		t.Errorf("without a key: %d %+v", code, fault)
	}
	for _, h := range [][]string{{"X-API-Key", key}, {"Authorization", "Bearer " + key}} {
		if code, _ := p.call("POST", "/api/interact", map[string]string{"prompt": "hi"}, nil, h...); code != http.StatusOK {
			t.Errorf("with %s: %d", h[0], code)
		}
	}
	if code, _ := p.call("GET", "/monitoring", nil, nil); code != http.StatusUnauthorized {
		t.Errorf("/monitoring without a key: %d", code)
	}
	if code, _ := p.call("GET", "/dashboard", nil, nil); code != http.StatusOK {
		t.Errorf("/dashboard without a key: %d", code)
	}
}

// The default rate limit answers in the runbook's words.
func TestRateLimit(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir(), []string{"serve"}, "NEXUS_RATE_LIMIT_ENABLED=true", "NEXUS_RATE_LIMIT_RPM=60", "NEXUS_RATE_LIMIT_BURST=3")
	for range 20 {
		var fault struct{ Detail, Code string }
		code, h := p.call("POST", "/api/interact", map[string]string{"prompt": "hi"}, &fault)
		if code == http.StatusTooManyRequests {
			if fault.Detail != "Rate limit exceeded: 60 per 1 minute" || fault.Code != "rate_limited" || h.Get("Retry-After") == "" || h.Get("RateLimit") == "" {
				t.Fatalf("429 says %+v, headers %v", fault, h)
			}
			return
		}
	}
	t.Fatal("20 requests at once were all let through")
}

// A wrong setting stops the start and says what would be right.
func TestWrongSettings(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ env, want string }{
		"choice":   {"NEXUS_MODEL_SIZE=huge", `NEXUS_MODEL_SIZE="huge": must be one of small, base, large`},
		"number":   {"NEXUS_RATE_LIMIT_RPM=many", `NEXUS_RATE_LIMIT_RPM="many": must be a whole number from 1 to 1000000`},
		"range":    {"NEXUS_GPU_MEMORY_LIMIT=120", `NEXUS_GPU_MEMORY_LIMIT="120": must be a whole number from 1 to 100`},
		"bool":     {"NEXUS_TRUST_PROXY=maybe", `NEXUS_TRUST_PROXY="maybe": must be true or false`},
		"period":   {"NEXUS_CHECKPOINT_INTERVAL=soon", `NEXUS_CHECKPOINT_INTERVAL="soon": must be a positive duration`},
		"together": {"NEXUS_GPU_THERMAL_WARNING=90", `must be below NEXUS_GPU_THERMAL_CRITICAL, which is 85`},
		"level":    {"LOG_LEVEL=LOUD", `LOG_LEVEL="LOUD": must be one of DEBUG, INFO, WARN, WARNING, ERROR, CRITICAL`},
		"redis":    {"NEXUS_REDIS_URL=localhost:6379", `NEXUS_REDIS_URL`},
		"listen":   {"NEXUS_LISTEN=8000", `NEXUS_LISTEN="8000": must be host:port`},
		"data":     {"NEXUS_DATA_DIR=/dev/null", `NEXUS_DATA_DIR="/dev/null": must be a folder`},
		"logs":     {"NEXUS_LOG_DIR=/dev/null", `NEXUS_LOG_DIR="/dev/null": must be a folder`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := launch(t, t.TempDir(), []string{"serve"}, c.env)
			select {
			case <-p.done:
			case <-time.After(20 * time.Second):
				t.Fatalf("started with %s", c.env)
			}
			if code := p.cmd.ProcessState.ExitCode(); code != exitUsage {
				t.Errorf("exit status %d, want %d", code, exitUsage)
			}
			if !strings.Contains(p.out.String(), c.want) {
				t.Errorf("says %q, want %q", p.out, c.want)
			}
		})
	}
}
