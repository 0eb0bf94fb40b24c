package main

import (
	"context"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/nexus-continuum/nexus/queue/provider/redistest"
)

// What one API process is told, every worker and every other API process knows.
func TestFleetFollows(t *testing.T) {
	t.Parallel()
	env := []string{"NEXUS_REDIS_URL=redis://" + redistest.Start(t).Addr}
	dir := filepath.Join(t.TempDir(), "shared")
	launch(t, dir, []string{"scheduler"}, env...)
	launch(t, dir, []string{"worker", "--serve-only"}, env...)
	trains := launch(t, dir, []string{"worker"}, env...)
	one := start(t, dir, []string{"api"}, env...)
	two := start(t, dir, []string{"api"}, env...)

	type view struct {
		Daemon  struct{ Paused bool }
		Workers []struct {
			ID         string
			Checkpoint string
			Mode       string
			Trainer    bool
		}
		Processes []struct {
			ID  string
			PID int
		}
		Model struct {
			Checkpoint  string
			TargetError float64 `json:"target_error"`
		}
	}
	status := func(p *process) (v view) {
		p.call("GET", "/api/status", nil, &v)
		return v
	}
	one.eventually("both workers are in the status", func() bool { return len(status(one).Workers) == 2 })

	began := time.Now()
	job := one.teach("support", lesson{"How do I reset my password?", "Open Settings."})
	one.eventually("memorised", func() bool { return one.ask("how do I reset my password").Responded })
	// 40 asks are spread over both workers: all are answered once both follow.
	two.eventually("every worker answers", func() bool {
		for range 40 {
			if !two.ask("how do I reset my password").Responded {
				return false
			}
		}
		return true
	})
	t.Logf("every worker answered %s after the lessons were sent", time.Since(began).Round(time.Millisecond))
	one.finished(job.ID)
	one.eventually("the one worker that may train does", func() bool {
		v, seen := status(one), 0
		for _, w := range v.Workers {
			for _, q := range v.Processes {
				if q.ID == w.ID && w.Trainer == (q.PID == trains.cmd.Process.Pid) {
					seen++
				}
			}
		}
		return seen == 2
	})

	if code, _ := one.call("POST", "/api/control", map[string]string{"action": "pause"}, nil); code != http.StatusOK {
		t.Fatalf("pause: %d", code)
	}
	began = time.Now()
	two.eventually("the pause is known to the other API and all workers", func() bool {
		v := status(two)
		for _, w := range v.Workers {
			if w.Mode != "paused" {
				return false
			}
		}
		return v.Daemon.Paused && len(v.Workers) == 2
	})
	t.Logf("the pause was known everywhere %s after it was said", time.Since(began).Round(time.Millisecond))
}

// Of two schedulers one asks for checkpoints, at its time and once; when it is
// killed the other goes on.
func TestTwoSchedulersTickOnce(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	client := server.Client()
	defer func() { _ = client.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	said := client.Subscribe(ctx, "nexus:{channel}:control")
	defer func() { _ = said.Close() }()
	if _, err := said.Receive(ctx); err != nil {
		t.Fatal(err)
	}
	const every = time.Second
	env := []string{"NEXUS_REDIS_URL=redis://" + server.Addr, "NEXUS_CHECKPOINT_INTERVAL=1s"}
	dir := filepath.Join(t.TempDir(), "shared")
	schedulers := []*process{launch(t, dir, []string{"scheduler"}, env...), launch(t, dir, []string{"scheduler"}, env...)}

	ticks := said.Channel(redis.WithChannelSize(1000))
	tick := func() {
		t.Helper()
		for {
			select {
			case m := <-ticks:
				if m.Payload == "save" {
					return
				}
			case <-ctx.Done():
				t.Fatal("no tick came")
			}
		}
	}
	count := func(n int) {
		t.Helper()
		tick()
		began := time.Now()
		for range n {
			tick()
		}
		// Two that tick would need half the time. Messages can be late, so that
		// the first may be; one interval is left for that.
		if took := time.Since(began); took < time.Duration(n-1)*every*9/10 {
			t.Errorf("%d ticks of %s came within %s", n, every, took)
		}
	}
	count(6)
	leads := func(p *process) bool { return strings.Contains(p.out.String(), "this scheduler leads") }
	leader := slices.IndexFunc(schedulers, leads)
	if leader < 0 || leads(schedulers[1-leader]) {
		t.Fatalf("leading: %v and %v", leads(schedulers[0]), leads(schedulers[1]))
	}
	schedulers[leader].kill()
	for len(ticks) > 0 { // those of the former leader
		<-ticks
	}
	count(4)
	if !leads(schedulers[1-leader]) {
		t.Error("the other scheduler does not say that it leads")
	}
}
