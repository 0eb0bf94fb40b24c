package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

func fetch(t *testing.T, url string) (code int, body string) {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

func TestMetricsAndProfilesOfARunningServer(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir(), []string{"serve", "--teacher-api-key=planted-0123"}, "NEXUS_METRICS_LISTEN=127.0.0.1:0", "NEXUS_PPROF_LISTEN=localhost:0")
	p.ask("what is this?")
	printed := func(label string) string {
		url, err := p.out.await(regexp.MustCompile(`(?m)^\s*`+label+`\s+(http\S+)$`), p.done)
		if err != nil {
			t.Fatalf("no address of %s: %v", label, err)
		}
		return url
	}
	own := printed("metrics")
	for _, url := range []string{p.url + "/api/metrics", own, strings.Replace(own, "/metrics", "/api/metrics", 1)} {
		code, text := fetch(t, url)
		if code != http.StatusOK {
			t.Fatalf("GET %s: %d", url, code)
		}
		for _, want := range []string{
			`nexus_interact_duration_seconds_count{outcome="refused"} 1`, `nexus_refusals_total{reason="untaught"} 1`,
			`nexus_processes{role="worker"} 1`, `nexus_governor_mode{mode="active"}`, `nexus_breaker_state{breaker="redis",state="closed"} 1`,
			`nexus_queue_oldest_age_seconds{queue="interactive"}`, `asynq_tasks_processed_total{queue="interactive"}`, "nexus_memory_resident_bytes ", "go_goroutines ",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("GET %s: no %q", url, want)
			}
		}
		checkConventions(t, text)
		checkDocumented(t, text)
	}
	if code, body := fetch(t, strings.Replace(own, "/metrics", "/healthz", 1)); code != http.StatusOK || !strings.Contains(body, "ok") {
		t.Errorf("healthz: %d %s", code, body)
	}
	if code, body := fetch(t, printed("pprof")+"goroutine?debug=1"); code != http.StatusOK || !strings.Contains(body, "goroutine profile") {
		t.Errorf("pprof: %d %.200s", code, body)
	}
	if code, body := fetch(t, printed("pprof")+"cmdline"); code != http.StatusOK || !strings.Contains(body, "serve") || strings.Contains(body, "planted") {
		t.Errorf("the command line over pprof: %d %q", code, body)
	}
	if code, _ := fetch(t, p.url+"/debug/pprof/"); code != http.StatusNotFound {
		t.Errorf("pprof on the API: %d", code)
	}
}

// A site that lets its own name lead to this machine reads no profiles.
func TestProfilesAreForLocalhostOnly(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir(), []string{"serve"}, "NEXUS_REDIS=embedded", "NEXUS_PPROF_LISTEN=127.0.0.1:0")
	url, err := p.out.await(regexp.MustCompile(`(?m)^\s*pprof\s+(http\S+)$`), p.done)
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]int{"evil.example": http.StatusForbidden, "localhost": http.StatusOK} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"cmdline", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("profiles by the name %s: %d, want %d", host, res.StatusCode, want)
		}
	}
}

// A client of a port beside the API that asks and never reads is let go.
func TestAPortBesideLetsGoOfWhoNeverReads(t *testing.T) {
	t.Parallel()
	cut := make(chan struct{})
	l := &listener{setting: "a test", listen: "127.0.0.1:0", within: 300 * time.Millisecond, log: slog.New(slog.DiscardHandler)}
	l.handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for piece := make([]byte, 1<<20); ; {
			if _, err := w.Write(piece); err != nil {
				close(cut)
				return
			}
		}
	})
	if err := l.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Stop(context.Background()) })
	c, err := net.Dial("tcp", strings.TrimPrefix(l.url(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-cut:
	case <-time.After(30 * time.Second):
		t.Error("the answer still waits for its reader")
	}
}

// checkConventions asks the checker that operators would use.
func checkConventions(t *testing.T, text string) {
	t.Helper()
	if _, err := exec.LookPath("promtool"); err != nil {
		t.Log("promtool is not on PATH (Debian package prometheus); the conventions are not checked here")
		return
	}
	cmd := exec.Command("promtool", "check", "metrics")
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

// checkDocumented looks up every metric of ours in the page for operators.
func checkDocumented(t *testing.T, text string) {
	t.Helper()
	page, err := os.ReadFile("../../docs/operations/monitoring.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (nexus_\w+) `).FindAllStringSubmatch(text, -1) {
		if !regexp.MustCompile("`" + m[1] + "[`{]").Match(page) {
			t.Errorf("docs/operations/monitoring.md does not tell of %s", m[1])
		}
	}
}

func TestProfilesAreForThisMachineAlone(t *testing.T) {
	t.Parallel()
	for _, listen := range []string{":6060", "0.0.0.0:6060", "[::]:6060", "192.0.2.1:6060", "6060"} {
		var out, fault bytes.Buffer
		m := Main{Stdout: &out, Stderr: &fault, Environ: []string{"NEXUS_DATA_DIR=" + t.TempDir(), "NEXUS_PPROF_LISTEN=" + listen}}
		if code := m.Run(context.Background(), []string{"serve"}); code != exitUsage {
			t.Errorf("%s: exit status %d, want %d", listen, code, exitUsage)
		}
		if text := fault.String(); !strings.Contains(text, `NEXUS_PPROF_LISTEN="`+listen+`"`) || !strings.Contains(text, "127.0.0.1:6060") {
			t.Errorf("%s: %s", listen, text)
		}
	}
	for _, listen := range []string{"127.0.0.1:0", "[::1]:0", "localhost:0"} {
		if err := checkPprof(t.Context(), &Settings{PprofListen: listen}); err != nil {
			t.Error(err)
		}
	}
}

func TestAnAddressForMetricsIsChecked(t *testing.T) {
	t.Parallel()
	var out, fault bytes.Buffer
	m := Main{Stdout: &out, Stderr: &fault, Environ: []string{"NEXUS_METRICS_LISTEN=9100"}}
	if code := m.Run(context.Background(), []string{"version"}); code != exitUsage || !strings.Contains(fault.String(), "NEXUS_METRICS_LISTEN") {
		t.Errorf("exit status %d: %s", code, fault.String())
	}
}
