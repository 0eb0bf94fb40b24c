package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// planted is what must never be printed.
const planted = "s3cr3t/Pl4nted#key"

// A secret is planted in every setting, in each form in which one may come, and
// nothing that is printed shows it.
func TestNoSettingPrintsASecret(t *testing.T) {
	t.Parallel()
	p, err := newParser(&cli{}, Main{Stdout: io.Discard, Stderr: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	// A URL may come in any setting, a bare secret only where one belongs.
	forms := []string{
		"redis://user:" + planted + "@host:6379/0", "redis://:" + planted + "@host:no-port/0", "http://u:" + planted + "@host/%zz",
		"user:" + planted + "@host", "//user:" + planted + "@host", "nonsense://u:" + planted + "@[::1", "redis-sentinel://h/m?sentinel_password=" + planted,
		"redis://:p/" + planted + "@host:6379/0", "redis://:p?" + planted + "@host:6379/0", "redis-cluster://:p/" + planted + "@h1,h2",
	}
	settings, tried := 0, 0
	for _, f := range p.kong.Model.Flags {
		if !f.Tag.Has("var") {
			continue
		}
		settings++
		own, ways := forms[1:3], [][]string{{"config"}}
		if f.Tag.Has("secret") {
			own, ways = forms, [][]string{{"config"}, {"config", "--json"}, {"config", "--" + f.Name + "="}}
		}
		if f.Tag.Has("secret") && f.Tag.Get("secret") != "url" {
			own = append([]string{planted, "name=" + planted, "name[ask=" + planted, "whsec_" + planted, planted + "," + planted, "=" + planted}, forms...)
		}
		variable, _, _ := strings.Cut(f.Tag.Get("var"), ",")
		for _, value := range own {
			for _, way := range ways {
				tried++
				env, args := []string{variable + "=" + value}, slices.Clone(way)
				if last := len(args) - 1; strings.HasSuffix(args[last], "=") {
					env, args[last] = nil, args[last]+value
				}
				out, fault, _ := inProcess(t, t.TempDir(), args, env...)
				if strings.Contains(out+fault, planted) || strings.Contains(out+fault, "s3cr3t") {
					t.Errorf("%s=%s: %v prints the secret:\n%s%s", variable, value, args, out, fault)
				}
			}
		}
	}
	if settings < 60 || tried < 250 {
		t.Errorf("only %d settings were tried in %d ways", settings, tried)
	}
}

// What starts with secrets, and what fails at the start, does not show them
// either: not on the screen, in log files or over HTTP.
func TestARunningServerShowsNoSecret(t *testing.T) {
	t.Parallel()
	logs := t.TempDir()
	const key, other, secret = "alpha-planted-0123456789", "beta-planted-0123456789", "gamma-planted-0123456789"
	keyFile := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(keyFile, []byte(key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, t.TempDir(), []string{"serve"}, "NEXUS_REDIS=embedded", "LOG_LEVEL=DEBUG", "NEXUS_LOG_DIR="+logs,
		"NEXUS_API_KEY_FILE="+keyFile, "NEXUS_API_KEYS=other[read+ask+teach+jobs]="+other,
		"NEXUS_TEACHER_URL=http://127.0.0.1:9/v1", "NEXUS_TEACHER_MODEL=m", "NEXUS_TEACHER_API_KEY="+secret,
		"NEXUS_EMBEDDINGS_URL=http://127.0.0.1:9/v1", "NEXUS_EMBEDDINGS_MODEL=m", "NEXUS_EMBEDDINGS_API_KEY="+secret)
	seen := ""
	for _, path := range []string{"/api/status", "/api/metrics", "/openapi.yaml", "/dashboard", "/docs", "/api/jobs", "/api/checkpoints", "/healthz", "/monitoring"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-API-Key", other)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		seen += string(b)
	}
	p.call("POST", "/api/control", map[string]string{"action": "train_start", "topic": "tides"}, nil, "X-API-Key", key)
	p.call("GET", "/api/status?key="+key, nil, nil, "X-API-Key", "wrong-"+secret)
	// The log has the id of each request, whatever a caller puts there.
	for _, id := range []string{secret, key} {
		p.call("POST", "/api/control?key="+id, map[string]string{"action": "resume"}, nil, "X-API-Key", key, "X-Request-Id", id)
		p.call("POST", "/api/control", map[string]string{"action": "resume"}, nil, "X-API-Key", key, "X-Request-Id", id)
	}
	var changes struct {
		Changes []any `json:"changes"`
	}
	p.eventually("the audit log shows the changes", func() bool {
		p.call("GET", "/api/audit", nil, &changes, "X-API-Key", key)
		return len(changes.Changes) >= 3
	})
	seen += fmt.Sprint(changes.Changes)
	p.stop()
	seen += p.out.String()
	files, err := filepath.Glob(filepath.Join(logs, "*.log"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no log file, %v", err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		seen += string(b)
	}
	if !regexp.MustCompile(`request_id"?[=:]"?\(hidden\)`).MatchString(seen) {
		t.Error("the log does not show that something was hidden")
	}
	for _, s := range []string{key, other, secret} {
		if strings.Contains(seen, s) {
			t.Errorf("%s is shown", s)
		}
	}
	var out, fault bytes.Buffer
	m := Main{Stdout: &out, Stderr: &fault, Environ: []string{"NEXUS_DATA_DIR=" + t.TempDir(), "NEXUS_REDIS_URL=redis://u:" + secret + "@127.0.0.1:1/0"}}
	if code := m.Run(context.Background(), []string{"serve"}); code == exitOK || strings.Contains(out.String()+fault.String(), secret) {
		t.Errorf("a Redis that cannot be reached: %d\n%s%s", code, &out, &fault)
	}
}
