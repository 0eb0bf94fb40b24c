package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// inProcess runs a command of the program in this process.
func inProcess(t *testing.T, dir string, args []string, env ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, fault bytes.Buffer
	m := Main{Stdout: &out, Stderr: &fault, Environ: append([]string{"NEXUS_DATA_DIR=" + dir}, env...)}
	code = m.Run(t.Context(), args)
	return out.String(), fault.String(), code
}

// A key is made, rotated and revoked beside a running server, which heeds it
// without a restart; the storage holds digests only.
func TestKeysBesideARunningServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := start(t, dir, []string{"serve"}, "NEXUS_DATA_DIR="+dir)
	status := func(key string) int {
		code, _ := p.call("GET", "/api/status", nil, nil, "X-API-Key", key)
		return code
	}
	until := func(what string, cond func() bool) {
		t.Helper()
		deadline := time.After(30 * time.Second)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for !cond() {
			select {
			case <-tick.C:
			case <-deadline:
				t.Fatalf("%s: not within 30 s", what)
			}
		}
	}
	if code := status(""); code != http.StatusOK {
		t.Fatalf("before the first key: %d", code)
	}
	key, said, code := inProcess(t, dir, []string{"keys", "create", "bob", "--scopes", "read,ask", "--note", "for the kiosk", "--expires", "90d"})
	key = strings.TrimSpace(key)
	if code != exitOK || !strings.HasPrefix(key, "nexus_") || !strings.Contains(said, "every caller needs one") {
		t.Fatalf("create: %d, %q, %q", code, key, said)
	}
	until("the server is closed", func() bool { return status("") == http.StatusUnauthorized })
	if code := status(key); code != http.StatusOK {
		t.Errorf("with the key: %d", code)
	}
	if code, _ := p.call("POST", "/api/control", map[string]string{"action": "pause"}, nil, "X-API-Key", key); code != http.StatusForbidden {
		t.Errorf("a key without control pauses: %d", code)
	}
	kept, err := os.ReadFile(filepath.Join(dir, "nexus_checkpoints", "keys.json"))
	if err != nil || bytes.Contains(kept, []byte(key)) {
		t.Errorf("the storage holds the key itself, %v", err)
	}

	again, _, code := inProcess(t, dir, []string{"keys", "rotate", "bob", "--overlap", "1h"})
	again = strings.TrimSpace(again)
	if code != exitOK {
		t.Fatal("rotate failed")
	}
	until("the rotated key works", func() bool { return status(again) == http.StatusOK })
	if code := status(key); code != http.StatusOK {
		t.Errorf("the former secret within its overlap: %d", code)
	}
	if _, said, code := inProcess(t, dir, []string{"keys", "create", "bob"}); code == exitOK || !strings.Contains(said, "rotate bob") {
		t.Errorf("the name was taken twice: %d, %s", code, said)
	}
	if _, _, code := inProcess(t, dir, []string{"keys", "revoke", "bob"}); code != exitOK {
		t.Fatal("revoke failed")
	}
	until("both secrets are refused", func() bool { return status(again) == http.StatusUnauthorized && status(key) == http.StatusUnauthorized })
	// All of it is in the audit log, once, also after a restart: as an API and in the file.
	var root string
	until("the changes are noted", func() bool {
		file, err := os.ReadFile(filepath.Join(dir, "audit.log"))
		return err == nil && bytes.Contains(file, []byte("nexus keys revoke bob"))
	})
	p.stop()
	p = start(t, dir, []string{"serve"}, "NEXUS_DATA_DIR="+dir)
	root, _, _ = inProcess(t, dir, []string{"keys", "create", "root", "--scopes", "control"})
	root = strings.TrimSpace(root)
	var did []string
	until("the new key is noted too", func() bool {
		var page struct {
			Changes []struct{ Who, From, Method, Path, Action string }
		}
		if code, err := p.call("GET", "/api/audit", nil, &page, "X-API-Key", root); code != http.StatusOK {
			t.Logf("%d %v", code, err)
			return false
		}
		did = nil
		for _, c := range page.Changes {
			if c.Who != operator() || c.From != "command line" {
				t.Errorf("%+v", c)
			}
			did = append(did, c.Path)
		}
		return len(did) > 0 && did[0] == "nexus keys create root"
	})
	if want := []string{"nexus keys create root", "nexus keys revoke bob", "nexus keys rotate bob", "nexus keys create bob"}; !slices.Equal(did, want) {
		t.Errorf("the audit log has %q, want %q", did, want)
	}
	if code, _ := p.call("POST", "/api/session", map[string]string{"key": key}, nil); code != http.StatusUnauthorized {
		t.Errorf("a revoked key signs in: %d", code)
	}
	var listed []listedKey
	out, _, _ := inProcess(t, dir, []string{"keys", "list", "--json"})
	if err := json.Unmarshal([]byte(out), &listed); err != nil || len(listed) != 2 || listed[0].State != "revoked" || listed[0].Note != "for the kiosk" {
		t.Errorf("%s, %v", out, err)
	}
	if out, _, _ := inProcess(t, dir, []string{"keys", "list"}); !strings.Contains(out, "revoked") || !strings.Contains(out, "ask+read") {
		t.Errorf("the table: %s", out)
	}
}

func TestKeysThatCannotBeMade(t *testing.T) {
	t.Parallel()
	for _, c := range [][]string{
		{"keys", "create", "Not A Name"},
		{"keys", "create", "bob", "--scopes", "everything"},
		{"keys", "create", "bob", "--expires", "2020-01-01"},
		{"keys", "create", "bob", "--expires", "soon"},
		{"keys", "create", "bob", "--note", "\x1b[31mred"},
		{"keys", "create", "bob", "--note", "two\nlines"},
		{"keys", "rotate", "nobody"},
		{"keys", "revoke", "nobody"},
	} {
		if _, said, code := inProcess(t, t.TempDir(), c); code == exitOK || said == "" {
			t.Errorf("%v: %d %q", c, code, said)
		}
	}
}

func TestKeysOfTheSettingsAreChecked(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("too-short\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const good = "0123456789abcdefghij"
	for name, env := range map[string][]string{
		"one character":      {"NEXUS_API_KEY=a"},
		"repeated":           {"NEXUS_API_KEY=abcabcabcabcabcabcabc"},
		"no name":            {"NEXUS_API_KEYS=" + good},
		"twice":              {"NEXUS_API_KEYS=a=" + good + ",a=" + good + "x"},
		"two names":          {"NEXUS_API_KEYS=a=" + good + ",b=" + good},
		"unknown scope":      {"NEXUS_API_KEYS=a[all]=" + good},
		"file and key":       {"NEXUS_API_KEY=" + good, "NEXUS_API_KEY_FILE=" + file},
		"file that is short": {"NEXUS_API_KEY_FILE=" + file},
		"no such file":       {"NEXUS_API_KEY_FILE=" + file + "x"},
		"header with space":  {"NEXUS_API_KEY_HEADER=Bad Header"},
		"header Host":        {"NEXUS_API_KEY_HEADER=Host"},
	} {
		_, said, code := inProcess(t, t.TempDir(), []string{"config"}, env...)
		if code != exitUsage || !strings.Contains(said, "NEXUS_API_KEY") || strings.Contains(said, good) {
			t.Errorf("%s: exit %d, %q", name, code, said)
		}
	}
	if err := os.WriteFile(file, []byte(good+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, said, code := inProcess(t, t.TempDir(), []string{"config"}, "NEXUS_API_KEY_FILE="+file); code != exitOK {
		t.Errorf("a good file: %d %s", code, said)
	}
}
