// Command passed counts the source files that one prompt and one lesson pass. It builds
// the program, as the index of git has it, with counters of coverage and reads them around single requests.
package main

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	module = "github.com/nexus-continuum/nexus/"
	// looks is how often each request is made. A file counts if each time passes it, so
	// that what other work passes meanwhile does not count.
	looks = 5
	// learning is how long one lesson is given until its job has ended.
	learning = 12 * time.Second
)

//go:embed recorder.go.txt
var recorder []byte

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "passed")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	p := &program{dir: dir, socket: filepath.Join(dir, "s")}
	stop, err := p.start(ctx)
	if err != nil {
		return err
	}
	defer stop()
	prompt := func(int) error { return p.post(ctx, "/api/interact", `{"prompt":"how do i reset my pasword"}`, "200") }
	lesson := func(i int) error {
		body := fmt.Sprintf(`{"lessons":[{"prompt":"Where is room %d?","response":"On floor %[1]d."}]}`, 100+i)
		if err := p.post(ctx, "/api/lessons", body, "202"); err != nil {
			return err
		}
		time.Sleep(learning)
		return nil
	}
	first := `{"lessons":[{"prompt":"How do I reset my password?","response":"Open Settings, then Security."}]}`
	if err := p.post(ctx, "/api/lessons", first, "202"); err != nil {
		return err
	}
	time.Sleep(learning)
	if err := prompt(0); err != nil { // the connection and the pools are made
		return err
	}
	prompts, err := p.each(ctx, prompt)
	if err != nil {
		return err
	}
	lessons, err := p.each(ctx, lesson)
	if err != nil {
		return err
	}
	for range 2 {
		idle, err := p.passed(ctx, func() error { time.Sleep(learning); return nil })
		if err != nil {
			return err
		}
		for b := range idle {
			delete(lessons, b)
		}
	}
	if err := p.post(ctx, "/api/interact", `{"prompt":"where is room 104"}`, `"On floor 104."`); err != nil {
		return fmt.Errorf("the last lesson was not learned: %w", err)
	}
	report("one prompt, from its request to its answer", prompts)
	report("one lesson, without what an idle process passes too", lessons)
	for b := range lessons {
		prompts[b] = true
	}
	report("both", prompts)
	return nil
}

// report prints the files of blocks, by folder.
func report(what string, blocks map[string]bool) {
	of := map[string][]string{}
	n := 0
	for b := range blocks {
		file, _, _ := strings.Cut(b, ":")
		dir := path.Dir(file)
		if name := path.Base(file); !slices.Contains(of[dir], name) {
			of[dir] = append(of[dir], name)
			n++
		}
	}
	fmt.Printf("%s: %d Go files\n", what, n)
	dirs := make([]string, 0, len(of))
	for dir := range of {
		dirs = append(dirs, dir)
	}
	slices.Sort(dirs)
	for _, dir := range dirs {
		slices.Sort(of[dir])
		fmt.Printf("  %s (%d): %s\n", dir, len(of[dir]), strings.Join(of[dir], " "))
	}
}

// program is the running program.
type program struct {
	dir, socket, url string
}

// start builds the program and runs it until stop.
func (p *program) start(ctx context.Context) (stop func(), err error) {
	src := filepath.Join(p.dir, "src")
	if out, err := exec.CommandContext(ctx, "git", "checkout-index", "--all", "--prefix="+src+"/").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("copy the source: %w: %s", err, out)
	}
	if err := os.WriteFile(filepath.Join(src, "cmd/nexus/recorder.go"), recorder, 0o600); err != nil {
		return nil, err
	}
	binary := filepath.Join(p.dir, "nexus")
	build := exec.CommandContext(ctx, "go", "build", "-cover", "-covermode=atomic", "-coverpkg=./...", "-o", binary, "./cmd/nexus")
	build.Dir = src
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		return nil, fmt.Errorf("build: %w", err)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		return nil, err
	}
	p.url = "http://" + addr
	nexus := exec.CommandContext(ctx, binary, "serve", "--listen", addr, "--data-dir", filepath.Join(p.dir, "data"))
	nexus.Env = append(os.Environ(), "PASSED_SOCKET="+p.socket, "GOCOVERDIR="+p.dir)
	nexus.Stderr = io.Discard
	if err := nexus.Start(); err != nil {
		return nil, err
	}
	stop = func() { _ = nexus.Process.Signal(os.Interrupt); _ = nexus.Wait() }
	for range 300 {
		if get(ctx, http.DefaultClient, p.url+"/readyz") == nil {
			return stop, nil
		}
		time.Sleep(200 * time.Millisecond)
	}
	stop()
	return nil, errors.New("the program is not ready after a minute")
}

// post sends a request; its status or body must contain want.
func (p *program) post(ctx context.Context, route, body, want string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+route, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if !strings.Contains(resp.Status+" "+string(got), want) {
		return fmt.Errorf("POST %s: %s %s", route, resp.Status, got)
	}
	return nil
}

// each does something several times and returns the blocks that each time passed.
func (p *program) each(ctx context.Context, do func(i int) error) (map[string]bool, error) {
	var all map[string]bool
	for i := range looks {
		blocks, err := p.passed(ctx, func() error { return do(i) })
		if err != nil {
			return nil, err
		}
		if all == nil {
			all = blocks
		}
		for b := range all {
			if !blocks[b] {
				delete(all, b)
			}
		}
	}
	return all, nil
}

// passed returns the blocks that run while do does.
func (p *program) passed(ctx context.Context, do func() error) (map[string]bool, error) {
	dir, err := os.MkdirTemp(p.dir, "counters")
	if err != nil {
		return nil, err
	}
	if err := p.tell(ctx, "/clear"); err != nil {
		return nil, err
	}
	if err := do(); err != nil {
		return nil, err
	}
	if err := p.tell(ctx, "/write?dir="+url.QueryEscape(dir)); err != nil {
		return nil, err
	}
	text := filepath.Join(dir, "text")
	if out, err := exec.CommandContext(ctx, "go", "tool", "covdata", "textfmt", "-i="+dir, "-o="+text).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("read the counters: %w: %s", err, out)
	}
	data, err := os.ReadFile(text)
	if err != nil {
		return nil, err
	}
	blocks := map[string]bool{}
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		line := strings.TrimPrefix(lines.Text(), module)
		if place, count, ok := strings.Cut(line, " "); ok && !strings.HasSuffix(count, " 0") && !strings.Contains(line, "cmd/nexus/recorder.go") && strings.Contains(place, ":") && !strings.HasPrefix(line, "mode:") {
			blocks[place] = true
		}
	}
	return blocks, nil
}

// tell speaks to the recorder in the program.
func (p *program) tell(ctx context.Context, what string) error {
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", p.socket)
	}}}
	return get(ctx, &c, "http://recorder"+what)
}

// get fetches an address; its status must be 200.
func get(ctx context.Context, c *http.Client, address string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", address, resp.Status)
	}
	return nil
}
