package deploy

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.yaml.in/yaml/v3"
)

var updateChart = flag.Bool("update-chart", false, "write the golden files of the Helm chart anew")

// valueSets are the values under testdata/helm with which the chart is rendered.
var valueSets = []string{"minimal", "single", "fleet", "keda"}

// helmProgram is Helm in the version that .ci/helm.mod pins, built by the go command.
var helmProgram = sync.OnceValues(func() (string, error) {
	cmd := exec.Command("go", "tool", "-modfile=.ci/helm.mod", "-n", "helm")
	cmd.Dir, cmd.Stderr, cmd.Env = "..", os.Stderr, append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err
})

// helm runs Helm; a program that the go command built knows no version of
// Kubernetes by itself.
func helm(t *testing.T, args ...string) (out, errors string, err error) {
	t.Helper()
	program, err := helmProgram()
	if err != nil {
		t.Fatalf("build Helm: %v", err)
	}
	home := t.TempDir()
	cmd := exec.CommandContext(t.Context(), program, append(args, "--kube-version", "1.33.0")...)
	cmd.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH")}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	return stdout.String(), stderr.String(), err
}

// render gives the manifests and the notes of the chart, which helm template
// alone would not show.
func render(t *testing.T, set string) (manifests, notes string) {
	t.Helper()
	chart := filepath.Join(t.TempDir(), "nexus")
	if err := os.CopyFS(chart, os.DirFS("helm/nexus")); err != nil {
		t.Fatal(err)
	}
	show := `notes: {{ include "nexus/templates/NOTES.txt" . | quote }}`
	if err := os.WriteFile(filepath.Join(chart, "templates", "notes.yaml"), []byte(show), 0o600); err != nil {
		t.Fatal(err)
	}
	out, errors, err := helm(t, "template", "nexus", chart, "--namespace", "shop", "-f", "testdata/helm/"+set+".values.yaml")
	if err != nil {
		t.Fatalf("%s: %v\n%s", set, err, errors)
	}
	var kept []string
	for doc := range strings.SplitSeq(strings.TrimPrefix(out, "---\n"), "\n---\n") {
		if !strings.HasPrefix(doc, "# Source: nexus/templates/notes.yaml\n") {
			kept = append(kept, strings.TrimSpace(doc))
			continue
		}
		var holds struct{ Notes string }
		if err := yaml.Unmarshal([]byte(doc), &holds); err != nil {
			t.Fatal(err)
		}
		notes = holds.Notes
	}
	return strings.Join(kept, "\n---\n") + "\n", strings.TrimSpace(notes) + "\n"
}

// The chart renders what the golden files hold, Helm's linter has no complaint,
// and Kubernetes' own types have every field of it.
func TestTheChartRenders(t *testing.T) {
	t.Parallel()
	var all strings.Builder
	for _, set := range valueSets {
		manifests, notes := render(t, set)
		all.WriteString("\n---\n" + manifests)
		for file, got := range map[string]string{set + ".golden.yaml": manifests, set + ".notes.txt": notes} {
			path := filepath.Join("testdata/helm", file)
			if *updateChart {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil { //nolint:gosec // a file of the source
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s is not what the chart renders; look at it, then: go test ./deploy -run TestTheChartRenders -update-chart", path)
			}
		}
		if out, errors, err := helm(t, "lint", "--strict", "helm/nexus", "-f", "testdata/helm/"+set+".values.yaml"); err != nil {
			t.Errorf("lint with %s: %v\n%s%s", set, err, out, errors)
		}
	}
	strict := exec.CommandContext(t.Context(), "go", "run", "-modfile=.ci/helm.mod", "./deploy/testdata/helm/strict")
	strict.Dir, strict.Env = "..", append(os.Environ(), "CGO_ENABLED=0")
	strict.Stdin = strings.NewReader(strings.TrimPrefix(all.String(), "\n---\n"))
	if out, err := strict.CombinedOutput(); err != nil {
		t.Errorf("the types of Kubernetes refuse a manifest: %v\n%s", err, out)
	}
}

// Values that cannot work are refused with what to set.
func TestTheChartRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	key := []string{"auth.existingSecret=nexus-key"}
	fleet := append(slices.Clone(key), "mode=fleet", "redis.existingSecret=r", "s3.endpoint=s3:7070", "s3.existingSecret=s")
	with := func(base []string, more ...string) []string { return append(slices.Clone(base), more...) }
	for _, c := range []struct {
		set  []string
		says string
	}{
		{nil, "--set auth.existingSecret=nexus-key"},
		{with(key, "mode=fleet"), "--set redis.existingSecret=nexus-redis"},
		{with(key, "mode=fleet", "redis.existingSecret=r"), "set s3.endpoint (host:port)"},
		{with(key, "s3.endpoint=s3:7070"), "s3.existingSecret, or set s3.instanceRole=true"},
		{with(key, "persistence.enabled=false"), "loses everything that was taught"},
		{with(key, "settings.NEXUS_LISTEN=:80"), "settings.NEXUS_LISTEN: the chart sets this variable"},
		{with(fleet, "worker.autoscaling.enabled=true"), "worker.autoscaling.prometheus.address"},
		{with(fleet, "worker.autoscaling.enabled=true", "worker.autoscaling.type=hpa", "worker.concurrency=0"), "set worker.concurrency"},
		{with(key, "mode=cluster"), "mode"},
		{with(key, "s3.endpoint=https://s3.example.com"), "s3.endpoint"},
		{with(fleet, "worker.autoscaling.minReplicas=0"), "worker.autoscaling.minReplicas"},
		{with(key, "persistence.sizes=1Gi"), "sizes"},
		{with(key, "ingress.enabled=true"), "ingress.hosts"},
	} {
		args := []string{"template", "nexus", "helm/nexus"}
		for _, s := range c.set {
			args = append(args, "--set", s)
		}
		_, errors, err := helm(t, args...)
		if err == nil || !strings.Contains(errors, c.says) {
			t.Errorf("%v: %v, %s; want %q", c.set, err, errors, c.says)
		}
	}
}
