// Package deploy holds what is delivered beside the program; its tests show
// that the parts fit the program.
package deploy

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// tool runs a program of Prometheus, and skips the test where it is missing.
func tool(t *testing.T, name string, args ...string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("%s is not on PATH (Debian package prometheus)", name)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = "prometheus"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

func TestPrometheusTakesConfigurationAndRules(t *testing.T) {
	t.Parallel()
	tool(t, "promtool", "check", "config", "prometheus.yml")
}

func TestAlertsFireWhenTheyShould(t *testing.T) {
	t.Parallel()
	tool(t, "promtool", "test", "rules", "rules_test.yml")
}

type ruleFile struct {
	Groups []struct {
		Rules []struct {
			Record, Alert string
			Labels        map[string]string
			Annotations   map[string]string
		}
	}
}

type ruleTests struct {
	Tests []struct {
		AlertRuleTest []struct {
			Alertname string
			ExpAlerts []any `yaml:"exp_alerts"`
		} `yaml:"alert_rule_test"`
	}
}

func decode(t *testing.T, file string, out any) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(b, out); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func TestEveryAlertIsShownToFireAndToRestAndIsExplained(t *testing.T) {
	t.Parallel()
	var rules ruleFile
	decode(t, "prometheus/rules.yml", &rules)
	var tests ruleTests
	decode(t, "prometheus/rules_test.yml", &tests)
	fires, rests := map[string]bool{}, map[string]bool{}
	for _, one := range tests.Tests {
		for _, c := range one.AlertRuleTest {
			if len(c.ExpAlerts) > 0 {
				fires[c.Alertname] = true
			} else {
				rests[c.Alertname] = true
			}
		}
	}
	page, err := os.ReadFile("../docs/operations/monitoring.md")
	if err != nil {
		t.Fatal(err)
	}
	var explained []string
	for _, m := range regexp.MustCompile(`(?m)^#+ (Nexus\w+)$`).FindAllStringSubmatch(string(page), -1) {
		explained = append(explained, m[1])
	}
	var known []string
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			if r.Alert == "" {
				continue
			}
			known = append(known, r.Alert)
			if !fires[r.Alert] || !rests[r.Alert] {
				t.Errorf("rules_test.yml shows %s to fire: %v, to rest: %v", r.Alert, fires[r.Alert], rests[r.Alert])
			}
			if !slices.Contains(explained, r.Alert) {
				t.Errorf("docs/operations/monitoring.md does not explain %s", r.Alert)
			}
			if want := "docs/operations/monitoring.md#" + strings.ToLower(r.Alert); r.Annotations["runbook"] != want {
				t.Errorf("%s points to %q, want %q", r.Alert, r.Annotations["runbook"], want)
			}
			if r.Labels["severity"] == "" || r.Annotations["summary"] == "" {
				t.Errorf("%s lacks a severity or a summary", r.Alert)
			}
		}
	}
	for _, name := range explained {
		if !slices.Contains(known, name) {
			t.Errorf("docs/operations/monitoring.md explains %s, which is no alert", name)
		}
	}
	if len(known) < 20 {
		t.Errorf("%d alerts in rules.yml", len(known))
	}
}
