package deploy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// manifest is what the tests look at of what the chart renders.
type manifest struct {
	Kind string
	Spec struct {
		Selector any
		Ports    []struct{ TargetPort string }
		Template struct {
			Metadata struct{ Labels map[string]string }
			Spec     podSpec
		}
		VolumeClaimTemplates []struct{ Metadata struct{ Name string } }
		Triggers             []struct{ Metadata struct{ Query string } }
		Metrics              []struct {
			External, Pods struct{ Metric struct{ Name string } }
		}
	}
}

type podSpec struct {
	EnableServiceLinks *bool
	SecurityContext    struct{ RunAsNonRoot bool }
	Containers         []container
	Volumes            []struct {
		Name     string
		EmptyDir any
	}
}

type container struct {
	Args            []string
	Env             []variable
	Ports           []struct{ Name string }
	SecurityContext struct {
		ReadOnlyRootFilesystem   bool
		AllowPrivilegeEscalation *bool
		Capabilities             struct{ Drop []string }
	}
	VolumeMounts                                []struct{ Name, MountPath string }
	StartupProbe, LivenessProbe, ReadinessProbe *probe
}

type variable struct {
	Name, Value string
	ValueFrom   struct {
		SecretKeyRef struct{ Name, Key string }
	}
}

type probe struct{ HTTPGet struct{ Path, Port string } }

// environment is what the container's process sees, with a stand-in for each
// entry of a Secret.
func (c container) environment() map[string]string {
	secret := map[string]string{"api-key": "nexus_0123456789abcdef", "named-keys": "kiosk[ask]=nexus_fedcba9876543210", "url": "redis://nexus:secret@redis:6379/0"}
	out := map[string]string{"KUBERNETES_SERVICE_HOST": "10.96.0.1"}
	for _, v := range c.Env {
		out[v.Name] = v.Value
		if ref := v.ValueFrom.SecretKeyRef; ref.Name != "" {
			out[v.Name] = secret[ref.Key]
			if out[v.Name] == "" {
				out[v.Name] = "stand-in"
			}
		}
	}
	return out
}

// manifests reads what a set of values gives.
func manifests(t *testing.T, set string) []manifest {
	t.Helper()
	b, err := os.ReadFile("testdata/helm/" + set + ".golden.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var out []manifest
	for doc := range strings.SplitSeq(string(b), "\n---\n") {
		var loose map[string]any
		if err := yaml.Unmarshal([]byte(doc), &loose); err != nil {
			t.Fatalf("%s: %v\n%s", set, err, doc)
		}
		// By way of JSON, which takes names in any case.
		j, err := json.Marshal(loose)
		if err != nil {
			t.Fatal(err)
		}
		var m manifest
		if err := json.Unmarshal(j, &m); err != nil {
			t.Fatalf("%s: %v\n%s", set, err, doc)
		}
		out = append(out, m)
	}
	return out
}

// pods of a set of values, by the command that they run.
func pods(t *testing.T, set string) map[string]manifest {
	t.Helper()
	out := map[string]manifest{}
	for _, m := range manifests(t, set) {
		if m.Kind == "Deployment" || m.Kind == "StatefulSet" {
			out[m.Spec.Template.Spec.Containers[0].Args[0]] = m
		}
	}
	return out
}

// Every pod is confined, what selects pods finds some, and no acknowledged lesson
// goes with a pod.
func TestThePodsOfTheChart(t *testing.T) {
	t.Parallel()
	for _, set := range valueSets {
		for role, m := range pods(t, set) {
			spec := m.Spec.Template.Spec
			c := spec.Containers[0]
			s := c.SecurityContext
			if !spec.SecurityContext.RunAsNonRoot || !s.ReadOnlyRootFilesystem || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || !slices.Contains(s.Capabilities.Drop, "ALL") {
				t.Errorf("%s: %s is not confined: %+v %+v", set, role, spec.SecurityContext, s)
			}
			if spec.EnableServiceLinks == nil || *spec.EnableServiceLinks {
				t.Errorf("%s: %s would get NEXUS_PORT and the like from Kubernetes", set, role)
			}
			var volumes, mounted []string
			lasting := len(m.Spec.VolumeClaimTemplates) > 0
			for _, v := range spec.Volumes {
				volumes = append(volumes, v.Name)
			}
			for _, v := range m.Spec.VolumeClaimTemplates {
				volumes = append(volumes, v.Metadata.Name)
			}
			env := c.environment()
			for _, v := range c.VolumeMounts {
				if !slices.Contains(volumes, v.Name) {
					t.Errorf("%s: %s mounts %s, which is no volume of it", set, role, v.Name)
				}
				mounted = append(mounted, v.MountPath)
			}
			if !slices.Contains(mounted, env["NEXUS_DATA_DIR"]) || !slices.Contains(mounted, "/tmp") {
				t.Errorf("%s: %s can write to %v only, and its data folder is %s", set, role, mounted, env["NEXUS_DATA_DIR"])
			}
			if !lasting && (env["NEXUS_S3_STRICT"] != "true" || env["NEXUS_S3_ENDPOINT"] == "" || env["NEXUS_REDIS_URL"] == "") {
				t.Errorf("%s: %s counts lessons as saved that only its pod has", set, role)
			}
			var ports []string
			for _, p := range c.Ports {
				ports = append(ports, p.Name)
			}
			for _, p := range []*probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
				if p != nil && !slices.Contains(ports, p.HTTPGet.Port) {
					t.Errorf("%s: %s is probed at port %s, it has %v", set, role, p.HTTPGet.Port, ports)
				}
			}
		}
		for _, m := range manifests(t, set) {
			if m.Kind != "Service" {
				continue
			}
			selector, _ := m.Spec.Selector.(map[string]any)
			selected := 0
			for _, pod := range pods(t, set) {
				fits := len(selector) > 0
				for k, v := range selector {
					fits = fits && pod.Spec.Template.Metadata.Labels[k] == v
				}
				if fits {
					selected++
					c := pod.Spec.Template.Spec.Containers[0]
					if !slices.ContainsFunc(c.Ports, func(p struct{ Name string }) bool { return p.Name == m.Spec.Ports[0].TargetPort }) {
						t.Errorf("%s: a Service leads to port %s, which %v has not", set, m.Spec.Ports[0].TargetPort, c.Args)
					}
				}
			}
			if selected == 0 {
				t.Errorf("%s: a Service selects no pod by %v", set, selector)
			}
		}
	}
}

// chartQueries are what the chart asks Prometheus for, without the labels that
// only a cluster gives.
func chartQueries(t *testing.T) []query {
	t.Helper()
	var out []query
	for _, m := range manifests(t, "keda") {
		for _, trigger := range m.Spec.Triggers {
			out = append(out, query{"Helm chart", "KEDA", regexp.MustCompile(`,?namespace="shop",service="nexus-metrics"`).ReplaceAllString(trigger.Metadata.Query, "")})
		}
	}
	var adapter struct {
		Rules struct {
			Custom, External []struct {
				SeriesQuery  string `yaml:"seriesQuery"`
				MetricsQuery string `yaml:"metricsQuery"`
			}
		}
	}
	decode(t, "helm/prometheus-adapter.yaml", &adapter)
	for _, r := range append(adapter.Rules.Custom, adapter.Rules.External...) {
		series, _, _ := strings.Cut(r.SeriesQuery, "{")
		expr := strings.NewReplacer("<<.Series>>", series, "<<.LabelMatchers>>", "", "<<.GroupBy>>", "instance").Replace(r.MetricsQuery)
		out = append(out, query{"Helm chart", "prometheus-adapter", expr})
	}
	if len(out) != 5 {
		t.Errorf("%d queries in the chart: %v", len(out), out)
	}
	return out
}

// chartWantsWorkers waits until what the chart asks for is far above what a
// fleet at rest has: jobs wait, for longer than its target.
func chartWantsWorkers(w *watcher) {
	w.Helper()
	queries := chartQueries(w.T)
	eventually(w.T, "KEDA would add workers", func() string {
		for _, q := range queries {
			values := w.query(q.expr)
			if strings.Contains(q.expr, "nexus_queue_") && (len(values) != 1 || values[0] <= 5) {
				return fmt.Sprintf("%s: %v", q.expr, values)
			}
		}
		return ""
	})
}

// A queue that an operator paused adds no worker, however long its jobs wait: more
// workers would take none of them.
func TestAPausedQueueAddsNoWorkers(t *testing.T) {
	t.Parallel()
	var cases strings.Builder
	for _, q := range chartQueries(t) {
		if !strings.Contains(q.expr, "nexus_queue_") {
			continue
		}
		for queue, want := range map[string]float64{"batch": 7, "interactive": 9} {
			fmt.Fprintf(&cases, "  - interval: 15s\n    input_series:\n")
			for _, name := range []string{"batch", "interactive"} {
				paused, waits := 1, 900.0
				if name == queue {
					paused, waits = 0, want
				}
				for _, at := range []string{"a", "b"} {
					fmt.Fprintf(&cases, "      - {series: 'nexus_queue_paused{queue=%q,pod=%q}', values: '%d'}\n", name, at, paused)
					fmt.Fprintf(&cases, "      - {series: 'nexus_queue_oldest_age_seconds{queue=%q,pod=%q}', values: '%g'}\n", name, at, waits)
					fmt.Fprintf(&cases, "      - {series: 'nexus_queue_depth{queue=%q,state=\"pending\",pod=%q}', values: '%g'}\n", name, at, waits)
				}
			}
			fmt.Fprintf(&cases, "    promql_expr_test:\n      - {expr: %q, eval_time: 0s, exp_samples: [{labels: '{}', value: %g}]}\n", q.expr, want)
		}
	}
	file := filepath.Join(t.TempDir(), "paused.yml")
	if err := os.WriteFile(file, []byte("tests:\n"+cases.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	tool(t, "promtool", "test", "rules", file)
}

// metricName is a metric of ours within a text.
var metricName = regexp.MustCompile(`\bnexus_[a-z_]*[a-z]\b`)

// The program takes the environment of every pod of the chart; under that of the
// least installation its probes and ports answer, and /api/metrics has every
// metric by which the chart and its page tell others to scale.
func TestTheProgramOfTheChart(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	binary := filepath.Join(folder, "nexus")
	program(t, binary)
	for _, set := range valueSets {
		for role, m := range pods(t, set) {
			cmd := exec.CommandContext(t.Context(), binary, "config", "--json")
			for name, v := range m.Spec.Template.Spec.Containers[0].environment() {
				cmd.Env = append(cmd.Env, name+"="+v)
			}
			var complaint bytes.Buffer
			cmd.Stderr = &complaint
			if _, err := cmd.Output(); err != nil || complaint.Len() > 0 {
				t.Errorf("%s: the program does not take the environment of %s: %v %s", set, role, err, complaint.String())
			}
		}
	}

	c := pods(t, "minimal")["serve"].Spec.Template.Spec.Containers[0]
	settings := c.environment()
	if settings["NEXUS_LISTEN"] != ":8000" || settings["NEXUS_METRICS_LISTEN"] != ":9100" {
		t.Errorf("the ports of the pod are 8000 and 9100, the program listens on %s and %s", settings["NEXUS_LISTEN"], settings["NEXUS_METRICS_LISTEN"])
	}
	settings["NEXUS_LISTEN"], settings["NEXUS_METRICS_LISTEN"] = "127.0.0.1:0", "127.0.0.1:0"
	env := []string{"NEXUS_REDIS=embedded"}
	for name, v := range maps.All(settings) {
		env = append(env, name+"="+strings.ReplaceAll(v, "/data", filepath.Join(folder, "data")))
	}
	d := launch(t, env, binary, c.Args...)
	api := &fleet{T: t, url: d.printed(`(?m)^\s*api\s+(http\S+)$`)}
	metrics := &fleet{T: t, url: strings.TrimSuffix(d.printed(`(?m)^\s*metrics\s+(http\S+)$`), "/metrics")}
	for _, p := range []*probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
		eventually(t, "the probe "+p.HTTPGet.Path+" is answered", func() string {
			code, body := api.call("GET", p.HTTPGet.Path, "")
			if code != http.StatusOK {
				return fmt.Sprintf("%d %s", code, body)
			}
			return ""
		})
	}
	if code, body := metrics.call("GET", "/healthz", ""); code != http.StatusOK {
		t.Errorf("the probe of pods without an API: %d %s", code, body)
	}
	if code, body := metrics.call("GET", "/metrics", ""); code != http.StatusOK || !strings.Contains(body, "nexus_build_info") {
		t.Errorf("what the ServiceMonitor reads: %d %s", code, body)
	}

	var told strings.Builder
	for _, q := range chartQueries(t) {
		told.WriteString(q.expr + "\n")
	}
	for _, m := range manifests(t, "fleet") {
		for _, metric := range m.Spec.Metrics {
			told.WriteString(metric.External.Metric.Name + " " + metric.Pods.Metric.Name + "\n")
		}
	}
	page, err := os.ReadFile("../docs/operations/kubernetes.md")
	if err != nil {
		t.Fatal(err)
	}
	told.Write(page)
	names := metricName.FindAllString(told.String(), -1)
	slices.Sort(names)
	names = slices.Compact(names)
	for _, want := range []string{"nexus_queue_oldest_age_seconds", "nexus_queue_depth", "nexus_worker_slots", "nexus_worker_slots_busy"} {
		if !slices.Contains(names, want) {
			t.Errorf("nothing tells how to scale by %s", want)
		}
	}
	_, body := api.call("GET", "/api/metrics", "", "X-API-Key", settings["NEXUS_API_KEY"])
	for _, name := range names {
		if !strings.Contains(body, "\n"+name+" ") && !strings.Contains(body, "\n"+name+"{") {
			t.Errorf("/api/metrics has no %s, of which the chart or its page speaks", name)
		}
	}
}
