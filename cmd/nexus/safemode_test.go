package main

import (
	"net/http"
	"strings"
	"testing"
)

// The safe mode of the runbook is seen in the health and ends with the setting;
// what an operator paused stays paused.
func TestSafeModeEndsWithItsSetting(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	paused := func(p *process) bool {
		var s struct {
			Control struct{ Paused bool }
		}
		p.call(http.MethodGet, "/api/status", nil, &s)
		return s.Control.Paused
	}
	p := start(t, dir, []string{"serve"}, "NEXUS_PAUSED=true", "LOG_LEVEL=CRITICAL")
	p.eventually("the health tells of the safe mode", func() bool {
		return strings.Contains(p.issues(), "learning is paused by NEXUS_PAUSED of nexus serve")
	})
	p.stop()

	p = start(t, dir, []string{"serve"}, "LOG_LEVEL=WARNING")
	if paused(p) {
		t.Error("learning is still paused after NEXUS_PAUSED was removed")
	}
	p.eventually("the health is well again", func() bool { return p.issues() == "" })
	if code, _ := p.call(http.MethodPost, "/api/control", map[string]string{"action": "pause"}, nil); code != http.StatusOK {
		t.Fatalf("pause: %d", code)
	}
	p.stop()

	if p = start(t, dir, []string{"serve"}); !paused(p) {
		t.Error("a start lifted what an operator paused")
	}
}
