package deploy

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var updateRunbook = flag.Bool("update", false, "write docs/operations/runbook.md anew")

const runbookPage = "../docs/operations/runbook.md"

// typed is a command of the original runbook.
type typed struct {
	section, part string // its headings
	original      string
	here          string // what is typed in its place, "-" for nothing, empty for the original
	says          string // pattern
	notes         []string
	asks          bool // what was taught must still be answered afterwards
}

// readRunbook reads testdata/runbook.txt.
func readRunbook(t *testing.T) []typed {
	t.Helper()
	b, err := os.ReadFile("testdata/runbook.txt")
	if err != nil {
		t.Fatal(err)
	}
	var out []typed
	var section, part string
	for line := range strings.Lines(string(b)) {
		mark, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		last := &typed{}
		if len(out) > 0 {
			last = &out[len(out)-1]
		}
		switch mark {
		case "==":
			section, part = rest, ""
		case "--":
			part = rest
		case "$":
			out = append(out, typed{section: section, part: part, original: rest})
		case ">":
			last.here = rest
		case "=":
			last.says = rest
		case "#":
			last.notes = append(last.notes, rest)
		case "?":
			last.asks = true
		case "":
		default:
			t.Fatalf("testdata/runbook.txt: %q is not understood", line)
		}
	}
	return out
}

// The page shows each command of the original runbook beside ours.
func TestRunbookPage(t *testing.T) {
	t.Parallel()
	var page strings.Builder
	page.WriteString("# The original runbook, command by command\n\nEach command of version 1.1 in its order. Where the second column is empty, it works as it stands. " +
		"This page is made from `deploy/testdata/runbook.txt`, and a test types every command of it against a running server. `make runbook` types those for systemd in a booted Debian, " +
		"`make runbook-docker` those for Docker.\n\nThe procedures themselves: [README.md](README.md).\n")
	section, part := "", "none"
	cell := strings.NewReplacer("|", `\|`)
	for _, c := range readRunbook(t) {
		if c.section != section {
			section, part = c.section, "none"
			fmt.Fprintf(&page, "\n## %s\n", section)
		}
		if c.part != part {
			part = c.part
			if part != "" {
				fmt.Fprintf(&page, "\n### %s\n", part)
			}
			page.WriteString("\n| in the runbook | here | |\n|---|---|---|\n")
		}
		here := ""
		switch c.here {
		case "":
		case "-":
			here = "nothing to do"
			if strings.HasPrefix(strings.Join(c.notes, " "), "As in the original") {
				here = ""
			}
		default:
			here = "`" + cell.Replace(c.here) + "`"
		}
		fmt.Fprintf(&page, "| `%s` | %s | %s |\n", cell.Replace(c.original), here, strings.Join(c.notes, " "))
	}
	want := page.String()
	if *updateRunbook {
		if err := os.WriteFile(runbookPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(runbookPage)
	if err != nil || string(got) != want {
		t.Errorf("docs/operations/runbook.md is not what deploy/testdata/runbook.txt says (%v); run: go test ./deploy -run TestRunbookPage -update", err)
	}
}

// site is a machine that the runbook is typed on. The server is the real one, with
// the arguments and the environment of its unit; of the service manager and the
// container engine only their commands are there.
type site struct {
	*fleet
	env  []string
	args []string
	logs strings.Builder // of servers that have ended
}

func startSite(t *testing.T) *site {
	t.Helper()
	dir, err := os.MkdirTemp("", "nx")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &site{fleet: &fleet{T: t, dir: dir, binary: filepath.Join(dir, "bin", "nexus")}}
	program(t, s.binary)
	unit, err := os.ReadFile("systemd/nexus.service")
	if err != nil {
		t.Fatal(err)
	}
	address := freePort(t)
	s.url = "http://" + address
	for _, m := range regexp.MustCompile(`(?m)^Environment="(.*)"$`).FindAllStringSubmatch(string(unit), -1) {
		s.env = append(s.env, s.here(m[1]))
	}
	s.env = append(s.env, "NEXUS_LISTEN="+address, "NEXUS_API_KEY="+siteKey, "NEXUS_RATE_LIMIT_ENABLED=false")
	s.args = strings.Fields(regexp.MustCompile(`(?m)^ExecStart=\S+ (.*)$`).FindStringSubmatch(string(unit))[1])

	manager := httptest.NewServer(http.HandlerFunc(s.manage))
	t.Cleanup(manager.Close)
	for name, script := range map[string]string{
		"sudo":           `exec "$@"`,
		"systemctl":      `exec curl -q -sf -X POST "$MANAGER/$1"`,
		"journalctl":     `exec curl -q -sf -X POST "$MANAGER/logs"`,
		"killall":        `exec curl -q -sf -X POST "$MANAGER/kill"`,
		"docker-compose": `exec curl -q -sf -X POST "$MANAGER/$1"`,
		"docker":         `test -e ` + mustAbs(t, "../Dockerfile"),
	} {
		s.script(name, strings.ReplaceAll(script, "$MANAGER", manager.URL))
	}
	return s
}

// siteKey is the key of the runbook.
const siteKey = "nexus_your-generated-key-here"

func mustAbs(t *testing.T, path string) string {
	t.Helper()
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}

func (s *site) script(name, text string) {
	s.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, "bin", name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		s.Fatal(err)
	}
}

// manage does what the service manager or Compose was told.
func (s *site) manage(w http.ResponseWriter, r *http.Request) {
	stop := func() {
		if s.api != nil {
			s.api.stop()
			s.logs.WriteString(s.api.out.String())
			s.api = nil
		}
	}
	begin := func() {
		if s.api == nil {
			s.api = launch(s.T, s.env, s.binary, s.args...)
		}
	}
	switch verb := strings.TrimPrefix(r.URL.Path, "/"); verb {
	case "start", "up":
		begin()
	case "stop", "down":
		stop()
	case "restart":
		stop()
		begin()
	case "kill":
		if s.api != nil {
			s.api.kill()
		}
		stop()
		begin() // Restart=on-failure
	case "status", "ps":
		fmt.Fprintln(w, "nexus: active (running)", s.api != nil)
	case "logs":
		fmt.Fprint(w, s.logs.String())
		if s.api != nil {
			fmt.Fprint(w, s.api.out.String())
		}
	case "daemon-reload", "enable", "disable":
	default:
		http.Error(w, "unknown: "+verb, http.StatusNotFound)
	}
}

// here puts the test's own places where the runbook has fixed ones.
func (s *site) here(command string) string {
	app := filepath.Join(s.dir, "app")
	return strings.NewReplacer(
		"http://localhost:8000", s.url, "/opt/nexus", app, "/app/", app+"/",
		"sudo deployment/install.sh", fmt.Sprintf("DESTDIR=%s %s --binary %s", filepath.Join(s.dir, "root"), mustAbs(s.T, "../deployment/install.sh"), s.binary),
		"your-key", siteKey,
	).Replace(command)
}

func (s *site) awaitReady() {
	s.Helper()
	eventually(s.T, "the server is ready", func() string {
		if code, body := s.call("GET", "/readyz", ""); code != http.StatusOK {
			return body
		}
		return ""
	})
}

// TestRunbook types every command of the original runbook, in its order, and what
// was taught in between is there after every restart, kill, backup and restore.
func TestRunbook(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	// curl and jq as they stand, beside a server that wants the key only where the runbook sends it.
	key := filepath.Join(s.dir, ".curlrc")
	if err := os.WriteFile(key, []byte(`header = "X-API-Key: `+siteKey+`"`+"\nsilent\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	taught := false
	for _, c := range readRunbook(t) {
		command := c.here
		if command == "-" {
			continue
		}
		if command == "" {
			command = c.original
		}
		out, err := s.types(command)
		if meanwhile := "file changed as we read it"; strings.Contains(string(out), meanwhile) {
			// A checkpoint is being saved: the page says to type it again.
			eventually(t, "nothing is saved during "+command, func() string {
				if out, err = s.types(command); strings.Contains(string(out), meanwhile) {
					return meanwhile
				}
				return ""
			})
		}
		if err != nil {
			t.Errorf("%s\n%v: %s", command, err, out)
			continue
		}
		if s.api != nil {
			s.awaitReady()
		}
		if c.says != "" && !s.prints(command, c.says, out) {
			t.Errorf("%s\nprints %s\nwant %s", command, out, c.says)
		}
		if s.api != nil && !taught {
			taught = true
			if code, body := s.call("POST", "/api/lessons", `{"lessons":[{"prompt":"How do I reset my password?","response":"Open Settings."}]}`, "X-API-Key", siteKey); code != http.StatusAccepted {
				t.Fatalf("teach: %d %s", code, body)
			}
		}
		if c.asks {
			eventually(t, "what was taught is answered after "+command, func() string {
				_, body := s.call("POST", "/api/interact", `{"prompt":"how do i reset my pasword"}`, "X-API-Key", siteKey)
				if !strings.Contains(body, "Open Settings.") {
					return body
				}
				return ""
			})
		}
	}
}

// prints tells whether a command prints what it should. One that changes nothing
// is typed again meanwhile, as people do while a server comes up.
func (s *site) prints(command, pattern string, out []byte) bool {
	s.Helper()
	re := regexp.MustCompile("(?m)" + pattern)
	if re.Match(out) || strings.Contains(command, "POST") {
		return re.Match(out)
	}
	eventually(s.T, command, func() string {
		if out, err := s.types(command); err != nil || !re.Match(out) {
			return string(out)
		}
		return ""
	})
	return true
}

// types runs a command as a person types it: a shell reads it from standard input,
// since an argument would be found by pgrep.
func (s *site) types(command string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(s.Context(), time.Minute)
	defer cancel()
	shell := exec.CommandContext(ctx, "bash")
	shell.Stdin = strings.NewReader(s.here(command) + "\n")
	shell.Dir = s.dir
	shell.Env = []string{"PATH=" + filepath.Join(s.dir, "bin") + ":" + os.Getenv("PATH"), "HOME=" + s.dir, "TERM=dumb"}
	return shell.CombinedOutput()
}
