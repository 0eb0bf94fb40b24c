package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/labstack/echo/v4"
	dto "github.com/prometheus/client_model/go"

	"github.com/nexus-continuum/nexus/job"
)

// logged is the whole log, once no request is under way.
func (b *bundle) logged() string {
	b.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for {
		var m dto.Metric
		b.must(b.srv.metrics.inFlight.Write(&m))
		if m.GetGauge().GetValue() == 0 {
			b.srv.lines.flush()
			return b.log.String()
		}
		select {
		case <-tick.C:
		case <-deadline:
			b.Fatalf("%v requests are still under way", m.GetGauge().GetValue())
		}
	}
}

// lines are those of the log at a level that a request left.
func (b *bundle) lines(request string, levels ...string) []string {
	b.Helper()
	var out []string
	for line := range strings.Lines(b.logged()) {
		var l struct {
			Level     string `json:"level"`
			RequestID string `json:"request_id"`
		}
		b.must(json.Unmarshal([]byte(line), &l))
		if l.RequestID == request && strings.Contains(strings.Join(levels, ","), l.Level) {
			out = append(out, line)
		}
	}
	return out
}

// A request leaves one line, and a failure of ours one more that says why.
func TestErrorsAreLoggedOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.srv.echo.GET("/panic", func(echo.Context) error { panic("it broke") })
	b.srv.echo.GET("/fault", func(echo.Context) error { return errors.New("it broke") })
	for _, c := range []struct {
		path, method, body string
		status             int
		failures           int
	}{
		{"/nowhere", "GET", "", http.StatusNotFound, 0},
		{"/api/interact", "POST", `{"prompt":""}`, http.StatusBadRequest, 0},
		{"/api/interact", "POST", `{"prompt":"x"}`, http.StatusOK, 0},
		{"/panic", "GET", "", http.StatusInternalServerError, 1},
		{"/fault", "GET", "", http.StatusInternalServerError, 1},
	} {
		id := fmt.Sprintf("probe%s-%d", strings.ReplaceAll(c.path, "/", "-"), c.status)
		header := []string{"X-Request-Id", id}
		var body []byte
		if c.body != "" {
			body, header = []byte(c.body), append(header, "Content-Type", "application/json")
		}
		if a := b.do(c.method, c.path, body, header...); a.status != c.status {
			t.Errorf("%s: status %d, want %d", c.path, a.status, c.status)
		}
		if got := b.lines(id, "WARN", "ERROR"); len(got) != c.failures {
			t.Errorf("%s %d: %d lines of trouble, want %d:\n%s", c.path, c.status, len(got), c.failures, strings.Join(got, ""))
		}
		got := b.lines(id, "INFO")
		if len(got) != 1 || !strings.Contains(got[0], fmt.Sprintf(`"status":%d`, c.status)) || !strings.Contains(got[0], `"latency_ms":`) {
			t.Errorf("%s %d: request lines %q", c.path, c.status, got)
		}
	}
}

// Lines are written many at a time, but nobody has to wait for one, and a
// failure is in the log when its caller knows of it.
func TestLinesComeByThemselves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log journal
		l := newLines(slog.NewJSONHandler(&log, nil))
		key := seriesKey{"/api/interact", http.MethodPost, http.StatusOK}
		for i := range 3 {
			l.put(line{seriesKey: key, at: time.Now(), requestID: fmt.Sprint("r", i)})
		}
		time.Sleep(lineTimeout)
		synctest.Wait()
		if got := strings.Count(log.String(), `"request_id":"r`); got != 3 {
			t.Errorf("%d of 3 lines after %v: %s", got, lineTimeout, log.String())
		}
		l.put(line{seriesKey: key, requestID: "before"})
		key.status = http.StatusInternalServerError
		l.put(line{seriesKey: key, requestID: "failed"})
		if got := log.String(); !strings.Contains(got, `"before"`) || !strings.Contains(got, `"failed"`) {
			t.Errorf("a failure waits: %s", got)
		}
	})
}

// What a worker with an open breaker says reaches the caller, with the time
// after which to come again.
func TestAnOpenBreakerIs503WithRetryAfter(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.worker.failWith(job.Errorf(job.CodeUnavailable, "Circuit breaker is OPEN (inference)").After(41500 * time.Millisecond).Because(errors.New("inner")))
	a := b.post("/api/interact", `{"prompt":"x"}`)
	b.wantError(a, http.StatusServiceUnavailable, job.CodeUnavailable, "", "Circuit breaker is OPEN")
	if got := a.header.Get("Retry-After"); got != "42" || strings.Contains(string(a.body), "inner") {
		t.Errorf("Retry-After %q, want 42: %s", got, a.body)
	}
}

// However many different things are asked for, the number of series stays.
func TestTheNumberOfSeriesIsBounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	count := func() int {
		n := 0
		for line := range strings.Lines(string(b.get("/api/metrics").body)) {
			if strings.HasPrefix(line, "nexus_") {
				n++
			}
		}
		return n
	}
	ask := func(i int) {
		b.get(fmt.Sprintf("/nowhere/%d", i))
		b.get("/api/jobs/" + job.NewID())
		b.post("/api/interact", fmt.Sprintf(`{"prompt":"prompt %d","topic":"topic %d"}`, i, i))
		b.post("/api/interact", fmt.Sprintf(`{"prompt":"%d","unknown-%d":1}`, i, i))
	}
	count() // the first scrape makes series of its own
	ask(0)
	before := count()
	for i := range 50 {
		ask(i + 1)
	}
	if after := count(); after != before {
		t.Errorf("%d series before, %d after 200 different requests", before, after)
	}
}
