package main

import (
	"bufio"
	"context"
	"embed"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

//go:embed bullmq
var bullFiles embed.FS

// startBull is BullMQ with jobs that do nothing, behind the same HTTP: a process of Node
// that takes bodies, and one that works. Its packages come from npm into a folder that
// stop removes. Some thousand jobs are done before it is measured, so that V8 has
// compiled what it runs.
func startBull(ctx context.Context, o options, client *redis.Client) (way func() error, stop func(), err error) {
	dir, err := os.MkdirTemp("", "nexus-bench-bullmq-")
	if err != nil {
		return nil, nil, err
	}
	undo := []func(){func() { _ = os.RemoveAll(dir) }}
	stop = func() {
		for _, f := range slices.Backward(undo) {
			f()
		}
	}
	defer func() {
		if err != nil {
			stop()
		}
	}()
	for _, name := range []string{"package.json", "api.mjs", "worker.mjs"} {
		b, err := bullFiles.ReadFile("bullmq/" + name)
		if err != nil {
			return nil, nil, err
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			return nil, nil, err
		}
	}
	npm := exec.CommandContext(ctx, "npm", "install", "--no-audit", "--no-fund", "--silent")
	npm.Dir = dir
	if out, err := npm.CombinedOutput(); err != nil {
		return nil, nil, fmt.Errorf("npm install bullmq (needs Node and npm): %w: %s", err, out)
	}
	_, port, _ := strings.Cut(client.Options().Addr, ":")
	run := func(name string, args ...string) (first string, err error) {
		cmd := exec.CommandContext(ctx, "node", append([]string{name, port}, args...)...)
		cmd.Dir, cmd.Stderr = dir, os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			return "", err
		}
		if err := cmd.Start(); err != nil {
			return "", err
		}
		undo = append(undo, func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		lines := bufio.NewScanner(out)
		if !lines.Scan() {
			return "", errors.New("node " + name + " does not start")
		}
		return lines.Text(), nil
	}
	if _, err := run("worker.mjs", strconv.Itoa(o.callers)); err != nil {
		return nil, nil, err
	}
	at, err := run("api.mjs")
	if err != nil {
		return nil, nil, err
	}
	way = func() error {
		if err := pressAsync(ctx, o.callers, "127.0.0.1:"+at, "/", func(i int) string { return fmt.Sprintf(`{"job":%d}`, i) }, http.StatusAccepted); err != nil {
			return err
		}
		return emptied(ctx, client, "bull:bench:wait", "bull:bench:active")
	}
	return way, stop, way()
}
