package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// storedParts reads which objects a manifest names.
func storedParts(t *testing.T, manifest string) []string {
	t.Helper()
	b, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	var m struct {
		Body struct {
			Parts []struct{ Stored struct{ SHA256 string } }
		}
	}
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, p := range m.Body.Parts {
		out = append(out, p.Stored.SHA256)
	}
	return out
}

// TestDamagedParts damages the parts of a real checkpoint, each in turn, cut or
// changed: the start sets it aside, says so in one line, and serves the
// checkpoint before it; what only the damaged one knew is learned again.
func TestDamagedParts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	folder := filepath.Join(dir, "nexus_checkpoints")
	p := start(t, dir, []string{"serve"})
	lessons := []lesson{{"How do I reset my password?", "Open Settings."}, {"Where is the invoice archive?", "Under Billing."}}
	for _, l := range lessons {
		p.finished(p.teach("support", l).ID)
	}
	p.stop()
	whole := filepath.Join(t.TempDir(), "whole")
	if err := os.CopyFS(whole, os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	manifests, err := filepath.Glob(filepath.Join(whole, "checkpoint_*.json"))
	if err != nil || len(manifests) < 2 {
		t.Fatalf("checkpoints kept: %v, %v", manifests, err)
	}
	newest, before := manifests[len(manifests)-1], storedParts(t, manifests[len(manifests)-2])
	damaged := 0
	for i, part := range storedParts(t, newest) {
		if slices.Contains(before, part) {
			continue // shared: it takes both with it, which package storage tests
		}
		if damaged++; damaged > 2 && testing.Short() {
			break
		}
		if err := os.RemoveAll(folder); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(folder, os.DirFS(whole)); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(folder, "parts", part)
		if i%2 == 0 {
			damage(t, file)
		} else if info, err := os.Stat(file); err != nil || os.Truncate(file, info.Size()/2) != nil {
			t.Fatal(err)
		}
		p := start(t, dir, []string{"serve"})
		for _, l := range lessons {
			p.answers(l.Prompt, l.Response)
		}
		p.stop()
		if _, err := os.Stat(filepath.Join(folder, "corrupted", "parts", part)); err != nil {
			t.Errorf("part %s was not set aside: %v", part, err)
		}
		id := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(newest), "checkpoint_"), ".json")
		said := 0
		for line := range strings.Lines(p.out.String()) {
			if strings.Contains(line, "level=ERROR") && strings.Contains(line, part) && strings.Contains(line, id) && strings.Contains(line, "damaged") {
				said++
			}
		}
		if said != 1 {
			t.Errorf("part %s: %d lines of the log say which checkpoint and why, want one\n%s", part, said, faults(p.out.String()))
		}
	}
	if damaged == 0 {
		t.Error("no part is the newest checkpoint's alone")
	}
}
