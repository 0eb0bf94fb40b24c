package api

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/queue"
)

func TestOneShapeOfErrors(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.wantError(b.get("/api/nothing"), 404, job.CodeNotFound, "", "/api/nothing", "/docs")
	b.wantError(b.get("/nowhere"), 404, job.CodeNotFound, "")
	a := b.get("/api/interact")
	b.wantError(a, 405, job.CodeMethodNotAllowed, "", "POST")
	if !strings.Contains(a.header.Get("Allow"), "POST") {
		t.Errorf("Allow: %q", a.header.Get("Allow"))
	}
	b.wantError(b.do("PUT", "/api/jobs", nil), 405, job.CodeMethodNotAllowed, "")

	b.srv.echo.GET("/panic", func(echo.Context) error { panic("the secret password is swordfish") })
	b.srv.echo.GET("/fault", func(echo.Context) error { return fmt.Errorf("open /etc/secret: denied") })
	for _, path := range []string{"/panic", "/fault"} {
		a := b.get(path, "X-Request-Id", "trace-7")
		b.wantError(a, 500, job.CodeInternal, "")
		if strings.Contains(string(a.body), "secret") {
			t.Errorf("%s leaks its cause: %s", path, a.body)
		}
		if a.header.Get("X-Request-Id") != "trace-7" {
			t.Errorf("request id %q", a.header.Get("X-Request-Id"))
		}
	}
	if log := b.logged(); !strings.Contains(log, "open /etc/secret") || !strings.Contains(log, "swordfish") || !strings.Contains(log, "server_test.go") {
		t.Error("the log does not hold the causes, or no stack")
	}
	if id := b.get("/healthz", "X-Request-Id", "two words").header.Get("X-Request-Id"); id == "two words" || id == "" {
		t.Errorf("request id %q", id)
	}
	if head := b.do("HEAD", "/api/nothing", nil); head.status != 404 || len(head.body) != 0 {
		t.Errorf("HEAD: %d %q", head.status, head.body)
	}
}

func TestKeysAreAsked(t *testing.T) {
	t.Parallel()
	key, err := NewKey(nil)
	if err != nil || !strings.HasPrefix(key, "nexus_") || len(key) != len("nexus_")+43 {
		t.Fatalf("key %q, %v", key, err)
	}
	b := setup(t, func(o *Options) {
		o.Keys = []Key{{Name: "default", Key: key}, {Name: "ci", Key: "second"}}
		o.KeyHeader = "X-Nexus-Token"
	})
	for _, path := range []string{"/api/status", "/api/metrics", "/api/lessons", "/api/hardware", "/monitoring", "/monitoring/api/queues"} {
		a := b.get(path)
		b.wantError(a, 401, job.CodeUnauthorized, "", "X-Nexus-Token")
		if a.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: no WWW-Authenticate", path)
		}
		b.wantError(b.get(path, "X-Nexus-Token", "wrong"), 401, job.CodeUnauthorized, "")
		b.wantError(b.get(path, "X-API-Key", key), 401, job.CodeUnauthorized, "")
		for _, h := range [][]string{{"X-Nexus-Token", key}, {"X-Nexus-Token", "second"}, {"Authorization", "Bearer " + key}, {"Authorization", "bearer second"}} {
			if a := b.get(path, h...); a.status != http.StatusOK {
				t.Errorf("%s with %s: %d", path, h[0], a.status)
			}
		}
	}
	for _, path := range []string{"/healthz", "/readyz", "/dashboard", "/openapi.yaml", "/docs"} {
		if a := b.get(path); a.status != http.StatusOK {
			t.Errorf("%s is not open: %d", path, a.status)
		}
	}
	// Programs may give the monitor's key by Basic; no browser is asked for it.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.url+"/monitoring", nil)
	b.must(err)
	req.SetBasicAuth("anyone", key)
	basic := req.Header.Get("Authorization")
	if a := b.get("/monitoring", "Authorization", basic); a.status != http.StatusOK {
		t.Errorf("/monitoring with Basic: %d", a.status)
	}
	if !strings.HasPrefix(b.get("/monitoring").header.Get("WWW-Authenticate"), "Bearer ") {
		t.Error("/monitoring asks for something else than Bearer")
	}
	b.wantError(b.get("/api/status", "Authorization", basic), 401, job.CodeUnauthorized, "")
}

func TestOtherSitesMayNotAct(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, h := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}} {
		b.wantError(b.post("/api/control", `{"action":"pause"}`, h...), 403, job.CodeForbidden, "")
		b.wantError(b.do("DELETE", "/monitoring/api/queues/train", nil, h...), 403, job.CodeForbidden, "")
	}
	if a := b.post("/api/control", `{"action":"resume"}`, "Sec-Fetch-Site", "same-origin", "Origin", b.url); a.status != http.StatusOK {
		t.Errorf("our own page: %d", a.status)
	}
	if a := b.get("/api/status", "Origin", "https://evil.example"); a.header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("another site may read the status")
	}
}

func TestRateLimit(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *Options) {
		o.RateLimit = RateLimit{Enabled: true, RPM: 60, Burst: 3}
		o.Keys = []Key{{Name: "one", Key: "k1"}, {Name: "two", Key: "k2"}}
	})
	ask := func(key string) answer { return b.post("/api/interact", `{"prompt":"x"}`, "X-API-Key", key) }
	for i := range 3 {
		a := ask("k1")
		want := fmt.Sprintf(`"default";r=%d;t=%d`, 2-i, i+1)
		if a.status != http.StatusOK || a.header.Get("RateLimit-Policy") != `"default";q=60;w=60` || a.header.Get("RateLimit") != want {
			t.Errorf("request %d: %d, policy %q, limit %q, want %q", i, a.status, a.header.Get("RateLimit-Policy"), a.header.Get("RateLimit"), want)
		}
	}
	a := ask("k1")
	b.wantError(a, 429, job.CodeRateLimited, "")
	if a.text(t, "detail") != "Rate limit exceeded: 60 per 1 minute" || a.header.Get("Retry-After") != "1" || a.header.Get("RateLimit") != `"default";r=0;t=1` {
		t.Errorf("%s %v", a.body, a.header)
	}
	if a := ask("k2"); a.status != http.StatusOK {
		t.Errorf("another client is limited too: %d", a.status)
	}
	// Errors of a limited route tell the limit too; reading has a limit of its own.
	if a := ask("wrong"); a.status != http.StatusUnauthorized || a.header.Get("RateLimit") == "" || a.header.Get("RateLimit-Policy") == "" {
		t.Errorf("%d %v", a.status, a.header)
	}
	for range 10 {
		if a := b.get("/api/status", "X-API-Key", "k1"); a.status != http.StatusOK || !strings.HasPrefix(a.header.Get("RateLimit"), `"read";r=`) {
			t.Fatalf("status: %d %v", a.status, a.header)
		}
	}
	keys, err := b.provided.Client().Keys(t.Context(), "*rate:*").Result()
	b.must(err)
	for _, k := range keys {
		if !strings.HasPrefix(k, "nexus:rate:") {
			t.Errorf("key %q is not under the prefix", k)
		}
	}
}

func TestForwardedForIsBelievedOnlyIfToldSo(t *testing.T) {
	t.Parallel()
	for _, trust := range []bool{false, true} {
		b := setup(t, func(o *Options) {
			o.RateLimit = RateLimit{Enabled: true, RPM: 60, Burst: 1}
			if trust {
				o.TrustedProxies = UsualProxies()
			}
		})
		statuses := []int{}
		for _, ip := range []string{"203.0.113.1", "203.0.113.2"} {
			statuses = append(statuses, b.post("/api/interact", `{"prompt":"x"}`, "X-Forwarded-For", ip).status)
		}
		if want := map[bool]int{false: 429, true: 200}[trust]; statuses[1] != want {
			t.Errorf("trusted %v: %v, want the second %d", trust, statuses, want)
		}
	}
}

func TestHeadersThatProtect(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, path := range []string{"/api/status", "/dashboard", "/docs", "/monitoring", "/healthz", "/nowhere"} {
		h := b.get(path).header
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("X-Frame-Options") != "DENY" || h.Get("Referrer-Policy") != "no-referrer" ||
			!strings.Contains(h.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
			t.Errorf("%s: %v", path, h)
		}
	}
	if p := b.get("/dashboard").header.Get("Content-Security-Policy"); strings.Contains(p, "unsafe") || !strings.Contains(p, "default-src 'none'") {
		t.Errorf("the dashboard's policy: %s", p)
	}
	page := string(b.get("/dashboard").body)
	for _, elsewhere := range []string{`src="http`, `href="http`, "@import", "url(", "<style", "<script>"} {
		if strings.Contains(page, elsewhere) {
			t.Errorf("the dashboard holds %s: it loads something from elsewhere, or has a style or script inline", elsewhere)
		}
	}
	if a := b.get("/api/status", "Accept-Encoding", "gzip"); a.header.Get("Content-Encoding") != "gzip" {
		t.Errorf("the status is not compressed: %v", a.header)
	}
	client := *b.client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	b.client = &client
	if a := b.get("/"); a.status != http.StatusFound || a.header.Get("Location") != "/dashboard" {
		t.Errorf("/: %d %v", a.status, a.header)
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(collectors.NewGoCollector()) // enough text to be compressed
	b := setup(t, func(o *Options) { o.Registry = registry })
	b.post("/api/interact", `{"prompt":"x"}`)
	b.post("/api/interact", `{"prompt":""}`)
	b.get("/random/path")
	a := b.get("/api/metrics")
	for _, want := range []string{
		`nexus_http_requests_total{method="POST",route="/api/interact",status="200"} 1`,
		`nexus_http_requests_total{method="POST",route="/api/interact",status="400"} 1`,
		`nexus_interact_duration_seconds_count{outcome="refused"} 1`, `nexus_interact_duration_seconds_bucket{outcome="failed",le="0.5"} 0`,
		`nexus_http_requests_in_flight 1`, `nexus_rate_limited_total 0`,
	} {
		if !strings.Contains(string(a.body), want) {
			t.Errorf("no %s in\n%s", want, a.body)
		}
	}
	if strings.Contains(string(a.body), "random") {
		t.Error("a path made a series")
	}
	problems, err := promlint.New(strings.NewReader(string(a.body))).Lint()
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "nexus_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	b.must(err)
	again := b.srv.opt
	again.Registry = registry
	if _, err := New(again); err == nil {
		t.Error("two servers count in one registry")
	}
}

func TestReadiness(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if a := b.get("/readyz"); a.status != http.StatusOK || a.text(t, "model") != "true" {
		t.Errorf("%d %s", a.status, a.body)
	}
	b.must(b.srv.Stop(t.Context()))
	b.must(b.srv.Stop(t.Context()))
	if err := b.srv.Start(t.Context()); err == nil {
		t.Error("started after it was stopped")
	}
}

func TestStopLetsRequestsEndAndClosesStreams(t *testing.T) {
	t.Parallel()
	b := setup(t)
	resume := b.worker.pause()
	defer resume()
	id := b.post("/api/jobs", `{"kind":"interact","prompt":"x"}`).text(t, "id")
	streamed := make(chan struct{})
	go func() {
		defer close(streamed)
		b.stream(id, "", 0)
	}()
	asked := make(chan answer)
	go func() { asked <- b.post("/api/interact", `{"prompt":"last one"}`) }()
	b.until("both are being answered", func() bool {
		return strings.Contains(string(b.get("/api/metrics").body), "nexus_http_requests_in_flight 3")
	})
	stopped := make(chan error, 1)
	go func() { stopped <- b.srv.Stop(context.Background()) }()
	<-streamed
	resume()
	if a := <-asked; a.status != http.StatusOK {
		t.Errorf("the request in flight: %d %s", a.status, a.body)
	}
	b.must(<-stopped)
}

// A balancer hears that the server stops before the port closes, and what it sends
// meanwhile is served.
func TestStopServesUntilBalancersKnow(t *testing.T) {
	t.Parallel()
	b := setup(t, func(opt *Options) { opt.DrainDelay = 5 * time.Second })
	b.until("ready", func() bool { return b.get("/readyz").status == http.StatusOK })
	stopped := make(chan error, 1)
	go func() { stopped <- b.srv.Stop(context.Background()) }()
	b.until("not ready", func() bool { return b.get("/readyz").status == http.StatusServiceUnavailable })
	b.wantError(b.get("/readyz"), http.StatusServiceUnavailable, "unavailable", "", "stopping")
	for range 3 {
		if a := b.post("/api/interact", `{"prompt":"x"}`); a.status != http.StatusOK {
			t.Errorf("while it drains an ask is answered %d: %s", a.status, a.body)
		}
	}
	res, err := b.client.Get(b.url + "/healthz")
	b.must(err)
	_ = res.Body.Close()
	if !res.Close {
		t.Error("while it drains connections stay open")
	}
	b.must(<-stopped)
	if _, err := b.client.Get(b.url + "/healthz"); err == nil {
		t.Error("the port is open after the stop")
	}
}

// A client that connected before the port closed is answered, though it sends its
// request after that.
func TestStopAnswersThoseWhoHaveCome(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.until("ready", func() bool { return b.get("/readyz").status == http.StatusOK })
	b.srv.listener.timeout = 20 * time.Second // this machine may be busy
	host := strings.TrimPrefix(b.url, "http://")
	early, err := net.Dial("tcp", host)
	b.must(err)
	defer early.Close()
	b.until("it was accepted", func() bool { return b.srv.listener.unread.Load() > 0 })
	stopped := make(chan error, 1)
	go func() { stopped <- b.srv.Stop(context.Background()) }()
	b.until("the port is closed", func() bool {
		c, err := net.Dial("tcp", host)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	_, err = fmt.Fprintf(early, "GET /healthz HTTP/1.1\r\nHost: %s\r\n\r\n", host)
	b.must(err)
	res, err := http.ReadResponse(bufio.NewReader(early), nil)
	b.must(err)
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK || !res.Close {
		t.Errorf("it is answered %d, and then closed: %v", res.StatusCode, res.Close)
	}
	b.must(<-stopped)
}

// until polls until cond holds.
func (b *bundle) until(what string, cond func() bool) {
	b.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			b.Fatalf("%s: not within 30 s", what)
		}
	}
}

// stallRedis stops the server: connections stay, answers do not come.
func (b *bundle) stallRedis() (resume func()) {
	b.Helper()
	info, err := b.provided.Client().InfoMap(b.Context(), "server").Result()
	b.must(err)
	pid, err := strconv.Atoi(info["Server"]["process_id"])
	b.must(err)
	b.must(syscall.Kill(pid, syscall.SIGSTOP))
	return func() { _ = syscall.Kill(pid, syscall.SIGCONT) }
}

func TestRedisGone(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Log("no redis-server on PATH: there is no server that could go away")
		return
	}
	b := setup(t, func(o *Options) { o.RateLimit = RateLimit{Enabled: true, RPM: 6000, Burst: 1000} })
	b.teach("support", "hello", "Hello.")
	resume := b.stallRedis()
	defer resume()
	began := time.Now()
	a := b.post("/api/interact", `{"prompt":"hello"}`)
	b.wantError(a, 503, job.CodeUnavailable, "")
	if took := time.Since(began); took > 1500*time.Millisecond {
		t.Errorf("the 503 took %v", took)
	}
	began = time.Now()
	b.wantError(b.post("/api/lessons", `{"lessons":[{"prompt":"p","response":"r"}]}`), 503, job.CodeUnavailable, "")
	if took := time.Since(began); took > 1500*time.Millisecond {
		t.Errorf("the 503 of an upload took %v", took)
	}
	b.wantStored(1)
	m := b.get("/api/status").json(t)["health"].(map[string]any)
	if m["healthy"] != false || m["status"] != "unhealthy" || !strings.Contains(fmt.Sprint(m["issues"]), "Redis") {
		t.Errorf("health %v", m)
	}
	b.wantError(b.get("/readyz"), 503, job.CodeUnavailable, "", "Redis")
	if a := b.get("/healthz"); a.status != http.StatusOK {
		t.Errorf("healthz: %d", a.status)
	}
	resume()
	b.until("answers again", func() bool { return b.post("/api/interact", `{"prompt":"hello"}`).status == http.StatusOK })
	b.until("ready again", func() bool { return b.get("/readyz").status == http.StatusOK })
}

func TestAFullQueue(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *Options) {
		o.Queue = queue.Open(queue.Options{Redis: o.Redis, Asynq: o.Queue.Asynq(), MaxQueue: 1})
	})
	t.Cleanup(func() { b.must(b.srv.queue.(*queue.Queue).Stop(context.Background())) })
	b.must(b.queue.PauseLane(t.Context(), job.LaneTrain, true, "a test"))
	one := `{"lessons":[{"prompt":"p","response":"r"}]}`
	if a := b.post("/api/lessons", one); a.status != http.StatusAccepted {
		t.Fatalf("%d %s", a.status, a.body)
	}
	b.wantError(b.post("/api/lessons", one), 503, job.CodeQueueFull, "")
	b.wantStored(1)
	var s status
	b.must(json.Unmarshal(b.get("/api/status").body, &s))
	if l := s.Queues["train"]; l.Pending != 1 || !l.Paused || l.Reason == nil || *l.Reason != "a test" {
		t.Errorf("the lane shows as %+v", l)
	}
}

func TestNewRefusesWhatCannotServe(t *testing.T) {
	t.Parallel()
	b := setup(t)
	whole := b.srv.opt
	for name, change := range map[string]func(*Options){
		"no queue":   func(o *Options) { o.Queue = nil },
		"no burst":   func(o *Options) { o.RateLimit = RateLimit{Enabled: true, RPM: 60} },
		"empty key":  func(o *Options) { o.Keys = []Key{{Name: "x"}} },
		"no lessons": func(o *Options) { o.Known = nil },
	} {
		o := whole
		o.Registry = prometheus.NewRegistry()
		change(&o)
		if _, err := New(o); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
