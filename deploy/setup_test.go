package deploy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// fleet is API, worker and scheduler as processes of their own, on a Redis and
// a folder that they share.
type fleet struct {
	*testing.T
	dir, binary, socket    string
	redis                  *daemon
	api, worker, scheduler *daemon
	url                    string // of the API
	metrics                string // address of the worker's metrics
}

// maxQueue is small, so that a queue can be filled.
const maxQueue = 100

// daemon is a process that a test started.
type daemon struct {
	t    *testing.T
	name string
	cmd  *exec.Cmd
	out  output
	done chan struct{}
}

// output keeps what a process printed.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func launch(t *testing.T, env []string, name string, args ...string) *daemon {
	t.Helper()
	d := &daemon{t: t, name: filepath.Base(name), cmd: exec.Command(name, args...), done: make(chan struct{})}
	d.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, env...)
	d.cmd.Stdout, d.cmd.Stderr = &d.out, &d.out
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = d.cmd.Wait()
		close(d.done)
	}()
	t.Cleanup(func() {
		d.stop()
		if t.Failed() {
			text := d.out.String()
			t.Logf("%s %s printed:\n%s", d.name, strings.Join(args, " "), text[max(0, len(text)-4000):])
		}
	})
	return d
}

func (d *daemon) stop() {
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-d.done:
	case <-time.After(patience):
		d.kill()
	}
}

func (d *daemon) kill() {
	_ = d.cmd.Process.Kill()
	<-d.done
}

// printed waits for a line and returns its first group.
func (d *daemon) printed(line string) string {
	d.t.Helper()
	re := regexp.MustCompile(line)
	var found string
	eventually(d.t, d.name+" prints "+line, func() string {
		if m := re.FindStringSubmatch(d.out.String()); m != nil {
			found = m[1]
			return ""
		}
		select {
		case <-d.done:
			d.t.Fatalf("%s ended: %s", d.name, d.out.String())
		default:
		}
		return "not yet"
	})
	return found
}

// patience bounds each wait; a quiet machine needs a tenth of it.
const patience = 2 * time.Minute

// eventually polls what other processes do, until nothing is missing.
func eventually(t *testing.T, what string, missing func() string) {
	t.Helper()
	began := time.Now()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for {
		still := missing()
		if still == "" {
			t.Logf("%s after %s", what, time.Since(began).Round(100*time.Millisecond))
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: not within %s: %s", what, patience, still)
		}
	}
}

func startFleet(t *testing.T) *fleet {
	t.Helper()
	// A socket's path is short by law, and t.TempDir is not.
	dir, err := os.MkdirTemp("", "nx")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	f := &fleet{T: t, dir: dir, binary: filepath.Join(dir, "nexus"), socket: filepath.Join(dir, "redis.sock")}
	program(t, f.binary)
	f.redis = launch(t, nil, "redis-server", "--port", "0", "--unixsocket", f.socket, "--dir", dir, "--save", "")
	eventually(t, "Redis listens", func() string {
		if _, err := os.Stat(f.socket); err != nil {
			return err.Error()
		}
		return ""
	})
	f.metrics = freePort(t)
	f.worker = f.role("worker", "NEXUS_METRICS_LISTEN="+f.metrics)
	f.scheduler = f.role("scheduler", "NEXUS_METRICS_LISTEN=127.0.0.1:0")
	f.api = f.role("api", fmt.Sprintf("NEXUS_MAX_QUEUE=%d", maxQueue))
	f.url = f.api.printed(`(?m)^\s*api\s+(http\S+)$`)
	eventually(t, "the fleet is ready", func() string {
		code, body := f.call("GET", "/readyz", "")
		if code != http.StatusOK {
			return fmt.Sprintf("%d %s", code, body)
		}
		return ""
	})
	return f
}

func (f *fleet) role(name string, env ...string) *daemon {
	f.Helper()
	return launch(f.T, append([]string{
		"NEXUS_DATA_DIR=" + f.dir, "NEXUS_REDIS_URL=unix://" + f.socket, "NEXUS_LISTEN=127.0.0.1:0", "NEXUS_RATE_LIMIT_ENABLED=false",
		"NEXUS_TEACHER_URL=http://127.0.0.1:1/v1", "NEXUS_TEACHER_MODEL=nobody", // away
	}, env...), f.binary, name)
}

// call asks the API; a body is JSON.
func (f *fleet) call(method, path, body string, header ...string) (code int, answer string) {
	f.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, f.url+path, strings.NewReader(body))
	if err != nil {
		f.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return do(f.T, req)
}

func do(t *testing.T, req *http.Request) (code int, answer string) {
	t.Helper()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err.Error()
	}
	return res.StatusCode, string(b)
}

func (f *fleet) ask(prompt string, header ...string) int {
	f.Helper()
	body, err := json.Marshal(map[string]string{"prompt": prompt})
	if err != nil {
		f.Fatal(err)
	}
	code, _ := f.call("POST", "/api/interact", string(body), header...)
	return code
}

// freePort finds a port for a program that cannot say which it took.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
