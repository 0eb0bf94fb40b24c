package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// system measures one `nexus serve` over HTTP.
func system(ctx context.Context, o options) (rows []row, err error) {
	dir, err := os.MkdirTemp("", "nexus-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)

	s, fresh, err := startServer(ctx, o.binary, dir)
	if err != nil {
		return nil, err
	}
	defer func() { s.stop() }()
	rows = append(rows, row{"ready, fresh", fresh.Round(time.Millisecond).String(), "≤ 1 s"})

	lessons := makeLessons(o.lessons)
	if err := s.teach(ctx, lessons[:200]); err != nil {
		return rows, err
	}
	lone, err := s.latencies(ctx, lessons, 3000)
	if err != nil {
		return rows, err
	}
	rows = append(rows,
		row{"interact, one caller, p50", ms(lone[len(lone)/2]), "≤ 2 ms"},
		row{"interact, one caller, p99", ms(lone[len(lone)*99/100]), ""})
	rate, p99, err := s.throughput(ctx, lessons, o.callers, o.load)
	if err != nil {
		return rows, err
	}
	rows = append(rows,
		row{fmt.Sprintf("interacts/s, %d callers", o.callers), fmt.Sprintf("%.0f", rate), "≥ 2500"},
		row{fmt.Sprintf("p99, %d callers", o.callers), ms(p99), ""})

	idle, err := s.idle(o.load)
	if err != nil {
		return rows, err
	}
	rows = append(rows, row{"CPU at rest, with its Redis", fmt.Sprintf("%.2f %% of a core", 100*idle), "≤ 1 %"})

	began := time.Now()
	if err := s.teach(ctx, lessons); err != nil {
		return rows, err
	}
	took := time.Since(began)
	rows = append(rows, row{fmt.Sprintf("lessons/s, %d taught and consolidated", len(lessons)), fmt.Sprintf("%.0f", float64(len(lessons))/took.Seconds()), ""})
	lone, err = s.latencies(ctx, lessons, 3000)
	if err != nil {
		return rows, err
	}
	rss, err := s.resident()
	if err != nil {
		return rows, err
	}
	rows = append(rows, row{fmt.Sprintf("resident after %d lessons and 3000 prompts", len(lessons)), fmt.Sprintf("%.0f MB", float64(rss)/(1<<20)), "≤ 200 MB"})
	rows = append(rows, row{fmt.Sprintf("interact, one caller, p50, %d lessons", len(lessons)), ms(lone[len(lone)/2]), ""})

	s.stop()
	again, warm, err := startServer(ctx, o.binary, dir)
	if err != nil {
		return rows, err
	}
	s = again
	return append(rows, row{fmt.Sprintf("ready, %d lessons known", len(lessons)), warm.Round(time.Millisecond).String(), "≤ 2 s"}), nil
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000) }

type lesson struct {
	Prompt   string `json:"prompt"`
	Response string `json:"response"`
}

// makeLessons makes n distinct prompts on n/100 answers.
func makeLessons(n int) []lesson {
	verbs := []string{"change", "cancel", "find", "order", "return", "repair", "renew", "print", "share", "move"}
	things := []string{"invoice", "password", "delivery", "contract", "ticket", "battery", "licence", "mailbox", "calendar", "report", "printer", "badge", "laptop", "account", "address"}
	forms := []string{"how do I %s my %s", "%s a %s please", "I want to %s the %s", "can you %s this %s", "who can %s our %s", "%s %s", "is it possible to %s a %s", "need to %s one %s", "steps to %s some %s", "help me %s that %s"}
	out := make([]lesson, 0, n)
	for i := range n {
		verb, thing, form := verbs[i%len(verbs)], things[i/len(verbs)%len(things)], forms[i/150%len(forms)]
		prompt := fmt.Sprintf(form, verb, thing)
		if round := i / 1500; round > 0 {
			prompt += fmt.Sprintf(" in office %d", round)
		}
		out = append(out, lesson{prompt, fmt.Sprintf("To %s a %s, see page %d.", verb, thing, i%150)})
	}
	return out
}

type server struct {
	cmd  *exec.Cmd
	url  string
	http *http.Client
	once sync.Once
}

var addressLine = regexp.MustCompile(`(?m)^\s*api\s+(http\S+)`)

// startServer starts the program and returns the time until /readyz said yes.
func startServer(ctx context.Context, binary, dir string, env ...string) (*server, time.Duration, error) {
	return startRole(ctx, binary, "serve", filepath.Join(dir, "bench.log"),
		slices.Concat(os.Environ(), []string{
			"NEXUS_DATA_DIR=" + filepath.Join(dir, "data"), "NEXUS_LISTEN=127.0.0.1:0", "NEXUS_RATE_LIMIT_ENABLED=false", "LOG_LEVEL=WARN",
			"NEXUS_ACTIVE_CPU_LIMIT=100",
		}, env))
}

// startRole starts a role that has an API.
func startRole(ctx context.Context, binary, role, log string, env []string) (*server, time.Duration, error) {
	logs, err := os.Create(log)
	if err != nil {
		return nil, 0, err
	}
	defer logs.Close()
	cmd := exec.CommandContext(ctx, binary, role)
	cmd.Env = env
	cmd.Stderr, cmd.Stdout = logs, logs
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, 0, err
	}
	s := &server{cmd: cmd, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1024}}}
	for {
		if out, err := os.ReadFile(logs.Name()); err == nil && s.url == "" {
			if m := addressLine.FindSubmatch(out); m != nil {
				s.url = string(m[1])
			}
		}
		if s.url != "" && s.ready(ctx) {
			return s, time.Since(began), nil
		}
		if time.Since(began) > 60*time.Second || ctx.Err() != nil {
			s.stop()
			out, _ := os.ReadFile(logs.Name())
			return nil, 0, fmt.Errorf("not ready within a minute:\n%s", out)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func (s *server) ready(ctx context.Context) bool {
	code, err := s.call(ctx, http.MethodGet, "/readyz", nil, nil)
	return err == nil && code == http.StatusOK
}

func (s *server) stop() {
	s.once.Do(func() {
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		_ = s.cmd.Wait()
	})
}

func (s *server) call(ctx context.Context, method, path string, body, out any) (int, error) {
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return 0, err
		}
		r = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, r)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := s.http.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	if out != nil {
		return res.StatusCode, json.NewDecoder(res.Body).Decode(out)
	}
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, err
}

// teach sends the lessons and waits until their job has ended.
func (s *server) teach(ctx context.Context, lessons []lesson) error {
	var j struct {
		ID, State, Detail string
		Error             *struct{ Detail string }
	}
	code, err := s.call(ctx, http.MethodPost, "/api/lessons", map[string]any{"topic": "bench", "lessons": lessons}, &j)
	if err != nil || code != http.StatusAccepted {
		return fmt.Errorf("teach: %d %s: %w", code, j.Detail, err)
	}
	for {
		if _, err := s.call(ctx, http.MethodGet, "/api/jobs/"+j.ID, nil, &j); err != nil {
			return err
		}
		switch j.State {
		case "succeeded":
			return nil
		case "failed", "canceled":
			return fmt.Errorf("teach: job %s: %+v", j.State, j.Error)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (s *server) ask(ctx context.Context, prompt string) error {
	code, err := s.call(ctx, http.MethodPost, "/api/interact", map[string]string{"prompt": prompt}, nil)
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("interact: status %d", code)
	}
	return err
}

// latencies asks n prompts one after the other and returns the sorted times.
func (s *server) latencies(ctx context.Context, lessons []lesson, n int) ([]time.Duration, error) {
	c, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	defer c.close()
	out := make([]time.Duration, 0, n)
	for i := range n + 200 {
		began := time.Now()
		if err := c.answered(lessons[i*7%len(lessons)].Prompt); err != nil {
			return nil, err
		}
		if i >= 200 { // the first ones warm up
			out = append(out, time.Since(began))
		}
	}
	slices.Sort(out)
	return out, nil
}

// throughput asks from many callers at once.
func (s *server) throughput(ctx context.Context, lessons []lesson, callers int, load time.Duration) (rate float64, p99 time.Duration, err error) {
	rate, all, err := s.load(ctx, lessons, callers, load)
	if err != nil {
		return 0, 0, err
	}
	return rate, all[len(all)*99/100], nil
}

// load asks from many callers at once and returns the sorted times.
func (s *server) load(ctx context.Context, lessons []lesson, callers int, load time.Duration) (rate float64, times []time.Duration, err error) {
	var (
		wg     sync.WaitGroup
		failed atomic.Pointer[error]
		mu     sync.Mutex
		all    []time.Duration
	)
	until := time.Now().Add(load)
	for n := range callers {
		wg.Go(func() {
			var mine []time.Duration
			c, err := s.caller(ctx)
			if err != nil {
				failed.Store(&err)
				return
			}
			defer c.close()
			for i := n; time.Now().Before(until); i += callers {
				began := time.Now()
				if err := c.answered(lessons[i*7%len(lessons)].Prompt); err != nil {
					failed.Store(&err)
					return
				}
				mine = append(mine, time.Since(began))
			}
			mu.Lock()
			all = append(all, mine...)
			mu.Unlock()
		})
	}
	wg.Wait()
	if e := failed.Load(); e != nil {
		return 0, nil, *e
	}
	slices.Sort(all)
	return float64(len(all)) / load.Seconds(), all, nil
}

// family is the process and its children.
func (s *server) family() []int {
	pids := []int{s.cmd.Process.Pid}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pids[0], pids[0]))
	if err == nil {
		for f := range strings.FieldsSeq(string(children)) {
			if pid, err := strconv.Atoi(f); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	// A child belongs to the thread that forked it.
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pids[0]))
	for _, t := range tasks {
		if b, err := os.ReadFile(t); err == nil {
			for f := range strings.FieldsSeq(string(b)) {
				if pid, err := strconv.Atoi(f); err == nil && !slices.Contains(pids, pid) {
					pids = append(pids, pid)
				}
			}
		}
	}
	return pids
}

// clockTick is the unit of /proc/*/stat on Linux.
const clockTick = 10 * time.Millisecond

// idle returns the share of a core that the process and its Redis take at rest.
func (s *server) idle(d time.Duration) (float64, error) {
	time.Sleep(2 * time.Second) // what was going on comes to rest
	before, err := s.cpu()
	if err != nil {
		return 0, err
	}
	time.Sleep(2 * d)
	after, err := s.cpu()
	return float64(after-before) / float64(2*d), err
}

func (s *server) cpu() (time.Duration, error) {
	var total time.Duration
	for _, pid := range s.family() {
		used, err := cpuOf(pid)
		if err != nil {
			return 0, err
		}
		total += used
	}
	return total, nil
}

// cpuOf is the processor time of one process so far.
func cpuOf(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	user, _ := strconv.Atoi(f[11])
	sys, _ := strconv.Atoi(f[12])
	return time.Duration(user+sys) * clockTick, nil
}

// resident is the memory of the process alone, in bytes.
func (s *server) resident() (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	pages, err := strconv.ParseInt(strings.Fields(string(b))[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
}
