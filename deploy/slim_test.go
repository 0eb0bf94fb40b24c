package deploy

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// slim builds the program as it is delivered, once for all tests.
var slim = sync.OnceValues(func() (string, error) {
	if out, err := exec.Command("make", "-s", "-C", "..", "static", "PROGRAM=bin/delivered").CombinedOutput(); err != nil {
		return string(out), err
	}
	return filepath.Abs("../bin/delivered")
})

// program puts the program as it is delivered at a path.
func program(t *testing.T, path string) {
	t.Helper()
	built, err := slim()
	if err != nil {
		t.Fatalf("build the program: %v\n%s", err, built)
	}
	data, err := os.ReadFile(built)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o755)
	}
	if err == nil {
		err = os.WriteFile(path, data, 0o755) //nolint:gosec // a program
	}
	if err != nil {
		t.Fatal(err)
	}
}

// The delivered program is linked with changed copies of some modules. Whoever
// uses it must not notice: the command line, the manual and the queue monitor are
// those of the program that the go command builds by itself, and training and
// traces work.
func TestTheDeliveredProgram(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	delivered, plain := filepath.Join(dir, "delivered"), filepath.Join(dir, "plain")
	program(t, delivered)
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", plain, "../cmd/nexus").CombinedOutput(); err != nil {
		t.Fatalf("build the program: %v\n%s", err, out)
	}
	size := func(path string) int64 {
		t.Helper()
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size() >> 20
	}
	// A dependency that looks methods up by name again would add 16 MB at once.
	if got := size(delivered); got > 55 {
		t.Errorf("the delivered program has %d MB; docs/development/size.md tells how to find the reason", got)
	}
	prints := func(binary string, args ...string) string {
		cmd := exec.CommandContext(t.Context(), binary, args...)
		cmd.Dir, cmd.Env = dir, []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH")}
		out, _ := cmd.CombinedOutput() // the exit status is compared below
		return cmd.ProcessState.String() + "\n" + string(out)
	}
	commands := [][]string{{"--help"}, {"man"}, {"config"}, {"completion", "bash"}, {"serve", "--no-such-flag"}, {"nothing"}, {"ask"}}
	for _, m := range regexp.MustCompile(`(?m)^  ([a-z]+)`).FindAllStringSubmatch(prints(plain, "--help"), -1) {
		commands = append(commands, []string{m[1], "--help"})
	}
	if len(commands) < 30 {
		t.Errorf("nexus --help names few commands: %v", commands)
	}
	for _, args := range commands {
		got, want := prints(delivered, args...), prints(plain, args...)
		if got = strings.ReplaceAll(got, delivered, plain); got != want {
			t.Errorf("nexus %s prints\n%s\nnot\n%s", strings.Join(args, " "), got, want)
		}
	}

	traced := make(chan string, 1)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if bytes.Contains(body, []byte("POST /api/interact")) {
			select {
			case traced <- r.Method + " " + r.URL.Path + " " + r.Header.Get("Content-Type"):
			default:
			}
		}
	}))
	t.Cleanup(collector.Close)
	d := launch(t, []string{"NEXUS_LISTEN=127.0.0.1:0", "NEXUS_DATA_DIR=" + dir, "OTEL_EXPORTER_OTLP_ENDPOINT=" + collector.URL, "OTEL_BSP_SCHEDULE_DELAY=50"}, delivered, "serve")
	f := &fleet{T: t, url: d.printed(`(?m)^\s*api\s+(http\S+)$`)}
	code, page := f.call("GET", "/monitoring/", "")
	if code != http.StatusOK || strings.Contains(page, "[[") || !strings.Contains(page, `window.FLAG_ROOT_PATH="/monitoring"`) || !strings.Contains(page, `window.FLAG_READ_ONLY="false"`) {
		t.Errorf("the queue monitor: %d %s", code, page)
	}
	for _, m := range regexp.MustCompile(`src="(/monitoring/static/[^"]+\.js)"`).FindAllStringSubmatch(page, -1) {
		if code, script := f.call("GET", m[1], ""); code != http.StatusOK || len(script) < 100_000 {
			t.Errorf("%s of the queue monitor: %d, %d bytes", m[1], code, len(script))
		}
	}
	if code, body := f.call("GET", "/monitoring/api/queues", ""); code != http.StatusOK || !strings.Contains(body, `"queues":[`) {
		t.Errorf("the queues of the monitor: %d %s", code, body)
	}
	if code, body := f.call("POST", "/api/interact", `{"prompt":"what is this"}`); code != http.StatusOK {
		t.Errorf("an interact: %d %s", code, body)
	}
	select {
	case got := <-traced:
		if got != "POST /v1/traces application/x-protobuf" {
			t.Errorf("traces are sent as %s", got)
		}
	case <-time.After(time.Minute):
		t.Error("no trace arrives")
	}
}

// Gradients of the copies of gorgonia are those of the modules.
func TestTheDeliveredProgramTrains(t *testing.T) {
	t.Parallel()
	if out, err := slim(); err != nil {
		t.Fatalf("build the program: %v\n%s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-modfile=bin/slim/slim.mod", "-run=GradientsMatch|LearnToAnswer|SameSeed", "./model/learn")
	cmd.Dir = ".."
	if out, err := cmd.CombinedOutput(); err != nil || !bytes.HasPrefix(out, []byte("ok")) {
		t.Errorf("training with the copies: %v\n%s", err, out)
	}
}
