package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// binary is the program under test, built once by TestMain.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "nexus-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "nexus")
	build := exec.Command("go", slices.Concat([]string{"build", "-o", binary}, strings.Fields(os.Getenv("NEXUS_TEST_BUILD")), []string{"."})...)
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build the program under test:", err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// process is a running nexus, spoken to over HTTP only.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	url  string
	out  *transcript
	dir  string
	done chan struct{}
}

// transcript keeps what a process printed and lets a test wait for a line of it.
type transcript struct {
	mu    sync.Mutex
	text  bytes.Buffer
	grown chan struct{}
}

func (tr *transcript) Write(p []byte) (int, error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	close(tr.grown)
	tr.grown = make(chan struct{})
	return tr.text.Write(p)
}

func (tr *transcript) String() string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.text.String()
}

// hung is how long a test waits for what must come. It is far beyond what any
// of it takes on a busy machine: how fast a thing is, the benchmarks say.
const hung = 2 * time.Minute

// await returns the first submatch of re as soon as it is printed.
func (tr *transcript) await(re *regexp.Regexp, ended <-chan struct{}) (string, error) {
	deadline := time.After(hung)
	for {
		tr.mu.Lock()
		m, grown := re.FindStringSubmatch(tr.text.String()), tr.grown
		tr.mu.Unlock()
		if m != nil {
			return m[len(m)-1], nil
		}
		select {
		case <-grown:
		case <-ended:
			return "", errors.New("the process ended first")
		case <-deadline:
			return "", fmt.Errorf("not printed within %s", hung)
		}
	}
}

var readyLine = regexp.MustCompile(`(?m)^\s*api\s+(http\S+?)/?(?:\s|$)`)

// start runs nexus with the variables given and waits until it is ready. The
// listener takes a free port; the data folder is dir.
func start(t *testing.T, dir string, args []string, env ...string) *process {
	t.Helper()
	return startProgram(t, binary, dir, args, env...)
}

// startProgram is start with another version of the program.
func startProgram(t *testing.T, program, dir string, args []string, env ...string) *process {
	t.Helper()
	p := launchProgram(t, program, dir, args, env...)
	url, err := p.out.await(readyLine, p.done)
	if err != nil {
		t.Fatalf("no address printed: %v\n%s", err, p.out)
	}
	p.url = url
	p.eventually("ready", func() bool {
		res, err := http.Get(p.url + "/readyz")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
	return p
}

// launch runs nexus without waiting for anything.
func launch(t *testing.T, dir string, args []string, env ...string) *process {
	t.Helper()
	return launchProgram(t, binary, dir, args, env...)
}

// launchProgram is launch with another version of the program.
func launchProgram(t *testing.T, program, dir string, args []string, env ...string) *process {
	t.Helper()
	p := &process{t: t, dir: dir, out: &transcript{grown: make(chan struct{})}, done: make(chan struct{})}
	p.cmd = exec.Command(program, args...)
	p.cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "GORACE=" + os.Getenv("GORACE"),
		"NEXUS_DATA_DIR=" + dir, "NEXUS_LISTEN=127.0.0.1:0", "NEXUS_RATE_LIMIT_ENABLED=false",
	}, env...)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			t.Logf("output of nexus %s:\n%s", strings.Join(args, " "), faults(p.out.String()))
		}
	})
	return p
}

func tail(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}

// stop ends the process as a service manager would.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(30 * time.Second):
		p.t.Errorf("nexus did not stop within 30 s of SIGTERM")
		p.kill()
	}
}

// kill ends the process without a chance to tidy up.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// eventually polls cond until it holds.
func (p *process) eventually(what string, cond func() bool) {
	p.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(hung)
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			p.t.Fatalf("%s: not within %s\n%s", what, hung, tail(p.out.String(), 4000))
		case <-p.done:
			p.t.Fatalf("%s: the process ended\n%s", what, tail(p.out.String(), 4000))
		}
	}
}

// call sends one request with a JSON body (nil for none) and decodes the JSON answer into out.
func (p *process) call(method, path string, body, out any, header ...string) (int, http.Header) {
	p.t.Helper()
	var r io.Reader
	if body != nil {
		if s, ok := body.(string); ok {
			r = strings.NewReader(s)
		} else {
			b, err := json.Marshal(body)
			if err != nil {
				p.t.Fatal(err)
			}
			r = bytes.NewReader(b)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 130*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, p.url+path, r)
	if err != nil {
		p.t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	if out != nil {
		if err := json.NewDecoder(bufio.NewReader(res.Body)).Decode(out); err != nil {
			p.t.Fatalf("%s %s: %d: %v", method, path, res.StatusCode, err)
		}
	}
	return res.StatusCode, res.Header
}

// reply is what a test reads of an answer.
type reply struct {
	Response   string   `json:"response"`
	Responded  bool     `json:"responded"`
	Reason     *string  `json:"reason"`
	Confidence float64  `json:"confidence"`
	Threshold  float64  `json:"threshold"`
	Sources    []source `json:"sources"`
	Flow       struct {
		Depth     int  `json:"depth"`
		Converged bool `json:"converged"`
	} `json:"flow"`
	Detail string `json:"detail"`
	Code   string `json:"code"`
}

type source struct {
	LessonID   string  `json:"lesson_id"`
	Prompt     string  `json:"prompt"`
	Similarity float64 `json:"similarity"`
}

func (p *process) ask(prompt string) reply {
	p.t.Helper()
	var a reply
	if code, _ := p.call("POST", "/api/interact", map[string]string{"prompt": prompt}, &a); code != http.StatusOK {
		p.t.Fatalf("ask %q: status %d: %s (%s)", prompt, code, a.Detail, a.Code)
	}
	return a
}

// task is what a test reads of a job.
type task struct {
	ID       string `json:"id"`
	State    string `json:"state"`
	Attempts int    `json:"attempts"`
	Progress struct {
		Phase string `json:"phase"`
	} `json:"progress"`
	Result struct {
		LessonsTaken int    `json:"lessons_taken"`
		Promoted     bool   `json:"promoted"`
		Why          string `json:"why"`
	} `json:"result"`
	Error *struct {
		Detail string `json:"detail"`
	} `json:"error"`
	WaitingFor *string `json:"waiting_for"`
	Detail     string  `json:"detail"`
}

func (p *process) job(id string) task {
	p.t.Helper()
	var j task
	if code, _ := p.call("GET", "/api/jobs/"+id, nil, &j); code != http.StatusOK {
		p.t.Fatalf("job %s: status %d: %s", id, code, j.Detail)
	}
	return j
}

// finished waits until a job has ended well.
func (p *process) finished(id string) task {
	p.t.Helper()
	var j task
	p.eventually("job "+id+" ended", func() bool {
		j = p.job(id)
		return j.State == "succeeded" || j.State == "failed" || j.State == "canceled"
	})
	if j.State != "succeeded" {
		p.t.Fatalf("job %s: %s: %+v", id, j.State, j.Error)
	}
	return j
}

type lesson struct {
	Prompt   string `json:"prompt"`
	Response string `json:"response"`
}

// teach sends lessons and returns the train job.
func (p *process) teach(topic string, lessons ...lesson) task {
	p.t.Helper()
	var j task
	// Not waiting for them to answer: what comes next may be a kill.
	code, _ := p.call("POST", "/api/lessons", map[string]any{"topic": topic, "lessons": lessons}, &j, "Prefer", "respond-async")
	if code != http.StatusAccepted || j.ID == "" {
		p.t.Fatalf("teach: status %d: %s", code, j.Detail)
	}
	return j
}

// learnTopic starts training on a pack and returns the job's id.
func (p *process) learnTopic(topic string) string {
	p.t.Helper()
	var started struct {
		Status string `json:"status"`
		JobID  string `json:"job_id"`
		Topic  string `json:"topic"`
	}
	code, _ := p.call("POST", "/api/control", map[string]string{"action": "train_start", "topic": topic}, &started)
	if code != http.StatusOK || started.Status != "training_started" || started.JobID == "" || started.Topic != topic {
		p.t.Fatalf("train_start %s: %d %+v", topic, code, started)
	}
	return started.JobID
}

// faults leaves the lines of a log that tell of trouble, and the last ones.
func faults(log string) string {
	var out []string
	for line := range strings.Lines(log) {
		if strings.Contains(line, "level=WARN") || strings.Contains(line, "level=ERROR") || !strings.Contains(line, "level=") {
			out = append(out, line)
		}
	}
	return tail(strings.Join(out, ""), 8000) + "…\n" + tail(log, 1500)
}
