package deploy

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// watcher is a real Prometheus with the delivered rules, scraping each second.
type watcher struct {
	*testing.T
	url   string
	fired []string // alerts that were seen to fire
}

// patient are thresholds of waiting, which a test shortens as it does every `for`.
var patient = regexp.MustCompile(`(nexus_queue_oldest_age_seconds\{[^}]*\}\)|nexus_storage_upload_lag_seconds) > \d+`)

// watch starts Prometheus on the delivered configuration, with the addresses of
// this fleet in place of Compose's names and seconds in place of minutes. more
// are further workers.
func watch(f *fleet, more ...string) *watcher {
	f.Helper()
	var config map[string]any
	decode(f.T, "prometheus/prometheus.yml", &config)
	config["global"] = map[string]any{"scrape_interval": "1s", "evaluation_interval": "1s"}
	targets := map[string]string{
		"nexus-api":       f.url,
		"nexus-worker":    f.worker.printed(`(?m)^\s*metrics\s+(http\S+)/metrics$`),
		"nexus-scheduler": f.scheduler.printed(`(?m)^\s*metrics\s+(http\S+)/metrics$`),
	}
	for _, job := range config["scrape_configs"].([]any) {
		job := job.(map[string]any)
		target, ok := targets[job["job_name"].(string)]
		if !ok {
			f.Fatalf("prometheus.yml scrapes %v, which this test does not run", job["job_name"])
		}
		delete(job, "dns_sd_configs")
		addresses := []string{target}
		if job["job_name"] == "nexus-worker" {
			addresses = append(addresses, more...)
		}
		for i := range addresses {
			addresses[i] = strings.TrimPrefix(addresses[i], "http://")
		}
		job["static_configs"] = []any{map[string]any{"targets": addresses}}
		delete(targets, job["job_name"].(string))
	}
	if len(targets) > 0 {
		f.Fatalf("prometheus.yml does not scrape %v", targets)
	}
	body, err := yaml.Marshal(config)
	if err != nil {
		f.Fatal(err)
	}
	rules, err := os.ReadFile("prometheus/rules.yml")
	if err != nil {
		f.Fatal(err)
	}
	soon := regexp.MustCompile(`(?m)^(\s+for: ).*$`).ReplaceAll(rules, []byte("${1}2s"))
	soon = patient.ReplaceAll(soon, []byte("${1} > 3"))
	for name, b := range map[string][]byte{"prometheus.yml": body, "rules.yml": soon} {
		if err := os.WriteFile(filepath.Join(f.dir, name), b, 0o600); err != nil {
			f.Fatal(err)
		}
	}
	listen := freePort(f.T)
	launch(
		f.T, nil, "prometheus", "--config.file="+filepath.Join(f.dir, "prometheus.yml"),
		"--storage.tsdb.path="+filepath.Join(f.dir, "tsdb"), "--web.listen-address="+listen,
	)
	w := &watcher{T: f.T, url: "http://" + listen}
	eventually(f.T, "Prometheus is ready", func() string {
		req, err := http.NewRequest(http.MethodGet, w.url+"/-/ready", nil)
		if err != nil {
			return err.Error()
		}
		if code, body := do(f.T, req); code != http.StatusOK {
			return body
		}
		return ""
	})
	return w
}

func (w *watcher) get(path string, out any) {
	w.Helper()
	req, err := http.NewRequest(http.MethodGet, w.url+path, nil)
	if err != nil {
		w.Fatal(err)
	}
	code, body := do(w.T, req)
	answer := struct {
		Data any `json:"data"`
	}{out}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || code != http.StatusOK {
		w.Fatalf("GET %s: %d %v: %s", path, code, err, body)
	}
}

// query returns the values of a query, without those that are no number.
func (w *watcher) query(expr string) []float64 {
	w.Helper()
	var data struct {
		Result []struct {
			Value [2]any `json:"value"`
		} `json:"result"`
	}
	w.get("/api/v1/query?query="+url.QueryEscape(expr), &data)
	var out []float64
	for _, r := range data.Result {
		text, _ := r.Value[1].(string)
		if v, err := strconv.ParseFloat(text, 64); err == nil && !math.IsNaN(v) {
			out = append(out, v)
		}
	}
	return out
}

// firing waits until alerts fire. meanwhile, if not nil, is called before each look.
func (w *watcher) firing(meanwhile func(), alerts ...string) {
	w.Helper()
	eventually(w.T, strings.Join(alerts, ", "), func() string {
		if meanwhile != nil {
			meanwhile()
		}
		var missing []string
		for _, a := range alerts {
			if len(w.query(fmt.Sprintf(`ALERTS{alertname=%q,alertstate="firing"}`, a))) == 0 {
				missing = append(missing, a)
			}
		}
		return strings.Join(missing, ", ")
	})
	w.fired = append(w.fired, alerts...)
}

// query of a panel of the dashboard.
type query struct{ row, panel, expr string }

func dashboard(t *testing.T) []query {
	t.Helper()
	b, err := os.ReadFile("grafana/dashboards/nexus.json")
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Panels []struct {
			Type, Title string
			Datasource  struct{ UID string }
			Targets     []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	var out []query
	row := ""
	for _, p := range d.Panels {
		if p.Type == "row" {
			row = p.Title
			continue
		}
		if p.Datasource.UID != "prometheus" || len(p.Targets) == 0 {
			t.Errorf("panel %q asks data source %q for %d things", p.Title, p.Datasource.UID, len(p.Targets))
		}
		for _, q := range p.Targets {
			out = append(out, query{row, p.Title, q.Expr})
		}
	}
	return out
}

// drive teaches enough for gradient steps, and asks.
func drive(f *fleet) {
	f.Helper()
	capitals := strings.Fields("France Paris Italy Rome Spain Madrid Portugal Lisbon Norway Oslo Sweden Stockholm Finland Helsinki Denmark Copenhagen " +
		"Austria Vienna Hungary Budapest Poland Warsaw Greece Athens Ireland Dublin Belgium Brussels Latvia Riga Estonia Tallinn Japan Tokyo Kenya Nairobi Peru Lima Cuba Havana")
	var lessons []map[string]string
	for pair := range slices.Chunk(capitals, 2) {
		for _, form := range []string{"What is the capital of %s?", "%s capital", "Which city is the capital of %s?", "name the capital of %s"} {
			lessons = append(lessons, map[string]string{"prompt": fmt.Sprintf(form, pair[0]), "response": pair[1]})
		}
	}
	body, err := json.Marshal(map[string]any{"topic": "capitals", "lessons": lessons})
	if err != nil {
		f.Fatal(err)
	}
	code, answer := f.call("POST", "/api/lessons", string(body))
	var job struct{ ID, State string }
	if err := json.Unmarshal([]byte(answer), &job); err != nil || code != http.StatusAccepted {
		f.Fatalf("teach: %d %s", code, answer)
	}
	eventually(f.T, "the lessons are learned", func() string {
		_, answer := f.call("GET", "/api/jobs/"+job.ID, "")
		if err := json.Unmarshal([]byte(answer), &job); err != nil {
			return err.Error()
		}
		for _, l := range lessons[:4] {
			f.ask(l["prompt"])
		}
		f.ask("How do I repair a bicycle chain?")
		if job.State != "succeeded" {
			return answer
		}
		return ""
	})
	f.ask("What is the capital of Peru?", "Prefer", "respond-async")
	if code, _ := f.call("POST", "/api/interact", "{"); code < 400 || code > 499 {
		f.Errorf("half a JSON object: status %d", code)
	}
}

// TestTheDashboardShowsARunningFleet shows that every query of every panel
// returns numbers, that the rules are evaluated without errors, and that each
// alert fires when its fault is planted.
func TestTheDashboardShowsARunningFleet(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"prometheus", "redis-server"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not on PATH (Debian package of that name)", program)
		}
	}
	f := startFleet(t)
	gpu := startGPUWorker(f)
	broken := startBrokenWorker(f)
	w := watch(f, gpu.url, broken.url)
	drive(f)

	queries := append(dashboard(t), chartQueries(t)...)
	if len(queries) < 40 {
		t.Errorf("%d queries in the dashboard", len(queries))
	}
	eventually(t, "every panel shows data", func() string {
		f.ask("What is the capital of Japan?")
		f.ask("How do I repair a bicycle chain?")
		var empty []string
		for _, q := range queries {
			if values := w.query(strings.ReplaceAll(q.expr, "$__rate_interval", "15s")); len(values) == 0 {
				empty = append(empty, fmt.Sprintf("%s / %s: %s", q.row, q.panel, q.expr))
			}
		}
		return strings.Join(empty, "\n")
	})
	rulesAreHealthy(w)
	plantFaults(f, w, gpu, broken)
	wantAllFired(w)
}

func rulesAreHealthy(w *watcher) {
	w.Helper()
	var data struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError string }
		}
	}
	w.get("/api/v1/rules", &data)
	n := 0
	for _, g := range data.Groups {
		for _, r := range g.Rules {
			n++
			if r.Health != "ok" {
				w.Errorf("rule %s: %s %s", r.Name, r.Health, r.LastError)
			}
		}
	}
	if n == 0 {
		w.Error("Prometheus loaded no rules")
	}
	if loud := w.query(`ALERTS{alertstate="firing",alertname!~"NexusHighCPU|NexusHighRefusalRate"}`); len(loud) > 0 {
		w.Errorf("%d alerts fire on a healthy fleet", len(loud))
	}
}
