package api

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/job"
)

// crowded is a queue whose interactive lane is overloaded.
type crowded struct {
	Queue
	refusal error
}

func (q crowded) Overloaded() error { return q.refusal }

func (q crowded) Ask(context.Context, job.Spec, time.Duration) (*job.Answer, *job.Job, error) {
	return nil, nil, q.refusal
}

func tooMany() error {
	return job.Errorf(job.CodeQueueFull, `more is asked than "can" be answered`).After(2500 * time.Millisecond)
}

// Under overload a prompt is refused in the shape of every error, before its
// body is looked at; what does not wait, or may be a repeat, is asked all the same.
func TestPromptsAreRefusedUnderOverload(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *Options) { o.Queue = crowded{o.Queue, tooMany()} })
	for range 2 {
		a := b.post("/api/interact", `{"prompt":"x"}`, "X-Request-Id", `a"quoted\id`)
		b.wantError(a, http.StatusServiceUnavailable, job.CodeQueueFull, "", `than "can" be answered`)
		if got := a.header.Get("Retry-After"); got != "3" {
			t.Errorf("Retry-After %q, want 3", got)
		}
	}
	if a := b.post("/api/interact", `{"prompt":"x"}`, "Prefer", "respond-async"); a.status != http.StatusAccepted {
		t.Errorf("who does not wait was answered %d %s", a.status, a.body)
	}
	b.wantError(b.post("/api/interact", `{"prompt":""}`, "Idempotency-Key", "k"), http.StatusBadRequest, job.CodePromptEmpty, "prompt")
	b.wantError(b.post("/api/interact", `{"prompt":"x"}`, "Idempotency-Key", "k"), http.StatusServiceUnavailable, job.CodeQueueFull, "", "more is asked")
}

// Of many refusals the log tells in few lines, and the metrics count each.
func TestRefusalsAreToldTogether(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *Options) { o.Queue = crowded{o.Queue, tooMany()} })
	const n = 20
	for range n {
		b.post("/api/interact", `{"prompt":"x"}`)
	}
	if got := strings.Count(b.logged(), "prompts are refused"); got < 1 || got > n/2 {
		t.Errorf("%d refusals left %d lines of trouble", n, got)
	}
	if got := strings.Count(b.logged(), `"level":"INFO","msg":"request"`); got != 0 {
		t.Errorf("%d request lines", got)
	}
	if m := string(b.get("/api/metrics").body); !strings.Contains(m, `nexus_http_requests_total{method="POST",route="/api/interact",status="503"} 20`) {
		t.Error("the metrics do not count them")
	}
}

// A connection that comes back at once is kept waiting, though not for long; a
// new one is told at once.
func TestImpatientCallersAreKeptWaiting(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *Options) { o.Queue = crowded{o.Queue, tooMany()} })
	b.post("/api/interact", `{"prompt":"x"}`)
	const again = 5
	began := time.Now()
	for range again {
		b.post("/api/interact", `{"prompt":"x"}`)
	}
	if took := time.Since(began); took < again*holdFor {
		t.Errorf("%d refusals in %v", again, took)
	}
}
