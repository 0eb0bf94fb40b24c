package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var long = flag.Bool("chaos.long", false, "the long form: more jobs, more kills, longer outages")

// binary is the program; wrong is the same with a clock five minutes ahead.
var binary, wrong string

func TestMain(m *testing.M) {
	flag.Parse()
	dir, err := os.MkdirTemp("", "nexus-chaos-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary, wrong = filepath.Join(dir, "nexus"), filepath.Join(dir, "nexus-ahead")
	for out, flags := range map[string]string{binary: "", wrong: "-X main.clockOffset=5m"} {
		build := exec.Command("go", "build", "-ldflags", flags, "-o", out, "../../cmd/nexus")
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			fmt.Fprintln(os.Stderr, "build the program under test:", err)
			os.Exit(1)
		}
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// fleet is a Redis, an API, a scheduler and workers, as processes.
type fleet struct {
	*testing.T
	whole  *testing.T // T may be that of a part of a test
	dir    string
	port   string // of Redis
	via    string // where the processes reach Redis
	server string
	redis  *exec.Cmd
	env    []string
	wrap   []string // program that runs nexus, for disk full
	http   *http.Client

	api, scheduler *process
	workers        []*process
	url            string
}

// process is one nexus.
type process struct {
	name string
	cmd  *exec.Cmd
	log  *os.File
	done chan struct{}
}

// setup prepares a fleet and starts its Redis.
func setup(t *testing.T, env ...string) *fleet {
	t.Helper()
	server, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("needs redis-server on PATH; .ci/run installs it")
	}
	f := &fleet{
		T: t, whole: t, dir: t.TempDir(), port: freePort(t), server: server,
		http: &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
	}
	f.via = f.port
	f.env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + f.dir, "NEXUS_DATA_DIR=" + filepath.Join(f.dir, "data"),
		"NEXUS_LISTEN=127.0.0.1:0", "NEXUS_RATE_LIMIT_ENABLED=false", "NEXUS_CONCURRENCY=2",
	}, env...)
	f.startRedis()
	t.Cleanup(func() {
		f.http.CloseIdleConnections()
		_ = f.redis.Process.Signal(syscall.SIGCONT)
		_ = f.redis.Process.Kill()
		_ = f.redis.Wait()
	})
	return f
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

func (f *fleet) startRedis() {
	f.Helper()
	f.redis = exec.Command(f.server, "--port", f.port, "--bind", "127.0.0.1", "--dir", f.dir, "--appendonly", "yes", "--appendfsync", "always", "--save", "")
	if err := f.redis.Start(); err != nil {
		f.Fatal(err)
	}
	f.eventually("Redis listens", func() bool {
		c, err := net.Dial("tcp", "127.0.0.1:"+f.port)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
}

// killRedis is a power cut.
func (f *fleet) killRedis() {
	_ = f.redis.Process.Kill()
	_ = f.redis.Wait()
}

// start runs the roles and waits until they are ready.
func (f *fleet) start(workers int) {
	f.Helper()
	f.scheduler = f.launch(binary, "scheduler")
	f.api = f.launch(binary, "api")
	for range workers {
		f.workers = append(f.workers, f.launch(binary, "worker"))
	}
	f.url = f.api.await(f, regexp.MustCompile(`(?m)^\s*api\s+(http\S+)`))
	f.ready()
}

func (f *fleet) ready() {
	f.Helper()
	f.eventually("ready", func() bool {
		res, err := f.http.Get(f.url + "/readyz")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
}

func (f *fleet) launch(program, role string) *process {
	f.Helper()
	log, err := os.CreateTemp(f.dir, role+"-*.log")
	if err != nil {
		f.Fatal(err)
	}
	args := append(append([]string{}, f.wrap...), program, role)
	p := &process{name: role, cmd: exec.Command(args[0], args[1:]...), log: log, done: make(chan struct{})}
	p.cmd.Env = append(slices.Clone(f.env), "NEXUS_REDIS_URL=redis://127.0.0.1:"+f.via)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		f.Fatal(err)
	}
	go func() { _ = p.cmd.Wait(); close(p.done) }()
	f.whole.Cleanup(func() {
		p.kill()
		if f.whole.Failed() {
			f.whole.Logf("%s, process %d:\n%s", role, p.cmd.Process.Pid, p.tail())
		}
		log.Close()
	})
	return p
}

func (p *process) tail() string {
	b, _ := os.ReadFile(p.log.Name())
	var kept []string
	for _, l := range strings.Split(string(b), "\n") {
		if !strings.Contains(l, "level=INFO") && l != "" {
			kept = append(kept, l)
		}
	}
	return strings.Join(kept[max(0, len(kept)-25):], "\n")
}

// await waits for a line in the log.
func (p *process) await(f *fleet, re *regexp.Regexp) (found string) {
	f.Helper()
	f.eventually(re.String()+" in the log of "+p.name, func() bool {
		b, err := os.ReadFile(p.log.Name())
		if err != nil {
			return false
		}
		if m := re.FindSubmatch(b); m != nil {
			found = string(m[len(m)-1])
		}
		return found != ""
	})
	return found
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// stop ends a process as a service manager does, and fails if that takes long.
func (p *process) stop(f *fleet) {
	f.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(60 * time.Second):
		f.Errorf("%s did not stop", p.name)
		p.kill()
	}
}

// hung is how long a test waits for what must come. It is far beyond what any
// of it takes on a busy machine.
const hung = 2 * time.Minute

// eventually polls cond until it holds.
func (f *fleet) eventually(what string, cond func() bool) {
	f.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(hung)
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			f.Fatalf("within %s never happened: %s", hung, what)
		}
	}
}

// call sends one request; it is for load too, so it only reports.
func (f *fleet) call(ctx context.Context, method, path string, body, out any, header ...string) (int, error) {
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return 0, err
		}
		r = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, f.url+path, r)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := f.http.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err
	}
	if res.StatusCode == http.StatusServiceUnavailable && res.Header.Get("Retry-After") == "" {
		return 0, errors.New("a 503 without Retry-After")
	}
	if out != nil && res.StatusCode < 300 {
		if err := json.Unmarshal(b, out); err != nil {
			return res.StatusCode, fmt.Errorf("%s: %w", b, err)
		}
	}
	return res.StatusCode, nil
}

// footprint is what a process holds: goroutines and open files.
type footprint struct{ goroutines, files int }

var goroutinesLine = regexp.MustCompile(`(?m)^go_goroutines (\d+)`)

func (f *fleet) footprint() (fp footprint, err error) {
	f.http.CloseIdleConnections()
	res, err := f.http.Get(f.url + "/api/metrics")
	if err != nil {
		return fp, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return fp, err
	}
	m := goroutinesLine.FindSubmatch(b)
	if m == nil {
		return fp, errors.New("no go_goroutines")
	}
	fp.goroutines, _ = strconv.Atoi(string(m[1]))
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", f.api.cmd.Process.Pid))
	fp.files = len(files)
	return fp, err
}

// watch samples how many prompts the workers compute and how many they may.
func (f *fleet) watch(ctx context.Context, wg *sync.WaitGroup) {
	wg.Go(func() {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			var status struct{ Workers []struct{ Busy, Slots int } }
			if code, err := f.call(ctx, "GET", "/api/status", nil, &status); err != nil || code != http.StatusOK {
				continue
			}
			for _, w := range status.Workers {
				if w.Busy > w.Slots {
					f.Errorf("%d prompts are computed in %d slots", w.Busy, w.Slots)
				}
			}
		}
	})
}
