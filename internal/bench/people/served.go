package main

import (
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
	"strings"
	"sync"
	"syscall"
	"time"
)

// served is a running `nexus serve` with a data folder of its own.
type served struct {
	cmd  *exec.Cmd
	dir  string
	url  string
	http *http.Client
}

var addressLine = regexp.MustCompile(`(?m)^\s*api\s+(http\S+)`)

// serve starts the program with its defaults, but for the rate limit and for
// training, which may take the whole machine since nobody waits meanwhile.
func serve(ctx context.Context, binary string) (s *served, err error) {
	s = &served{http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: 2 * time.Minute}}
	if s.dir, err = os.MkdirTemp("", "nexus-people-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	logs, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		return s, err
	}
	defer logs.Close()
	s.cmd = exec.CommandContext(ctx, binary, "serve")
	s.cmd.Cancel = func() error { return s.cmd.Process.Signal(syscall.SIGTERM) }
	s.cmd.Env = append(os.Environ(), "NEXUS_DATA_DIR="+filepath.Join(s.dir, "data"), "NEXUS_LISTEN=127.0.0.1:0",
		"NEXUS_RATE_LIMIT_ENABLED=false", "NEXUS_ACTIVE_CPU_LIMIT=100", "LOG_LEVEL=WARN")
	s.cmd.Stdout, s.cmd.Stderr = logs, logs
	if err := s.cmd.Start(); err != nil {
		return s, fmt.Errorf("start %s: %w", binary, err)
	}
	for limit := time.Now().Add(2 * time.Minute); time.Now().Before(limit) && ctx.Err() == nil; time.Sleep(5 * time.Millisecond) {
		out, _ := os.ReadFile(logs.Name())
		if m := addressLine.FindSubmatch(out); m != nil {
			s.url = strings.TrimSuffix(string(m[1]), "/")
			if code, err := s.call(ctx, http.MethodGet, "/readyz", nil, nil); err == nil && code == http.StatusOK {
				return s, nil
			}
		}
	}
	out, _ := os.ReadFile(logs.Name())
	return s, fmt.Errorf("not ready within two minutes:\n%s", out)
}

func (s *served) stop() {
	if s.cmd != nil && s.cmd.Process != nil {
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		_ = s.cmd.Wait()
	}
	_ = os.RemoveAll(s.dir)
}

func (s *served) call(ctx context.Context, method, path string, body, out any) (int, error) {
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
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		return res.StatusCode, err
	}
	if out != nil && res.StatusCode < 300 {
		if err := json.Unmarshal(raw, out); err != nil {
			return res.StatusCode, fmt.Errorf("%s %s: %w", method, path, err)
		}
	}
	if res.StatusCode >= 300 {
		return res.StatusCode, fmt.Errorf("%s %s: %d %s", method, path, res.StatusCode, bytes.TrimSpace(raw))
	}
	return res.StatusCode, nil
}

// state is what is read of a job.
type state struct {
	ID, State string
	Progress  struct{ Phase string }
	Error     json.RawMessage
}

func (j state) ended() bool {
	return j.State == "succeeded" || j.State == "failed" || j.State == "canceled"
}

func (j state) memorised() bool {
	switch j.Progress.Phase {
	case "memorised", "consolidating", "judging", "done":
		return true
	}
	return j.ended()
}

// teach sends lessons and returns their job.
func (s *served) teach(ctx context.Context, lessons []lesson) (state, error) {
	var j state
	_, err := s.call(ctx, http.MethodPost, "/api/lessons", map[string]any{"topic": "people", "lessons": lessons}, &j)
	return j, err
}

// await polls the job until it is as wanted.
func (s *served) await(ctx context.Context, j *state, wanted func(state) bool) error {
	for {
		if code, err := s.call(ctx, http.MethodGet, "/api/jobs/"+j.ID, nil, j); err != nil && code != http.StatusServiceUnavailable {
			return err
		}
		switch {
		case j.State == "failed" || j.State == "canceled":
			return fmt.Errorf("job %s: %s", j.State, j.Error)
		case wanted(*j):
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// quiet waits until no job is queued or running.
func (s *served) quiet(ctx context.Context) error {
	for ctx.Err() == nil {
		busy := false
		for _, in := range []string{"queued", "running"} {
			var page struct{ Jobs []state }
			code, err := s.call(ctx, http.MethodGet, "/api/jobs?kind=train&state="+in, nil, &page)
			if err != nil && code != http.StatusServiceUnavailable {
				return err
			}
			busy = busy || err != nil || len(page.Jobs) > 0
		}
		if !busy {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return ctx.Err()
}

// reply is what is read of an answer.
type reply struct {
	Interaction string `json:"interaction_id"`
	Response    string
	Responded   bool
	Confidence  float64
	Sources     []source
}

type source struct{ Prompt string }

// ask returns the reply to one prompt. A prompt that the program takes for none
// is one that it refuses to answer.
func (s *served) ask(ctx context.Context, prompt string) (r reply, err error) {
	for range 200 {
		var code int
		code, err = s.call(ctx, http.MethodPost, "/api/interact", map[string]string{"prompt": prompt}, &r)
		switch code {
		case http.StatusBadRequest, http.StatusUnprocessableEntity:
			return reply{}, nil
		case http.StatusServiceUnavailable, http.StatusTooManyRequests:
			time.Sleep(50 * time.Millisecond)
			continue
		case http.StatusAccepted:
			return r, errors.New("no answer in time")
		}
		return r, err
	}
	return r, err
}

// askAll asks every prompt, so many at a time; replies[i] answers prompts[i].
func (s *served) askAll(ctx context.Context, prompts []string, callers int) ([]reply, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	replies := make([]reply, len(prompts))
	var group sync.WaitGroup
	for n := range callers {
		group.Go(func() {
			for i := n; i < len(prompts) && ctx.Err() == nil; i += callers {
				r, err := s.ask(ctx, prompts[i])
				if err != nil {
					cancel(fmt.Errorf("ask %q: %w", prompts[i], err))
					return
				}
				replies[i] = r
			}
		})
	}
	group.Wait()
	return replies, context.Cause(ctx)
}
