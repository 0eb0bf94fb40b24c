package chaos

import (
	"context"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var workerReady = regexp.MustCompile(`(ready) after`)

// form is how much of a scenario is run.
func form[T any](short, full T) T {
	if *long {
		return full
	}
	return short
}

// under runs a disturbance while callers work, and checks what is left.
func (f *fleet) under(name string, jobs int, disturb func(ctx context.Context)) {
	f.Helper()
	before, err := f.footprint()
	if err != nil {
		f.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var load, watch sync.WaitGroup
	l := newLedger(f, name)
	l.load(ctx, &load, jobs)
	watching, unwatch := context.WithCancel(context.Background())
	f.watch(watching, &watch)
	f.eventually("callers are served", func() bool { return l.asked.Load() > 5 })
	disturb(ctx)
	cancel()
	load.Wait()
	unwatch()
	watch.Wait()
	if f.Failed() {
		f.FailNow()
	}
	l.check(before)
}

// served waits until asks are answered again.
func (f *fleet) served() {
	f.Helper()
	f.eventually("an ask is answered", func() bool {
		code, err := f.call(context.Background(), "POST", "/api/interact", map[string]string{"prompt": "x"}, nil, "Prefer", "wait=5")
		return err == nil && code == 200
	})
}

// Parts die, one kind after the other, under one fleet.
func TestPartsDie(t *testing.T) {
	t.Parallel()
	f := setup(t)
	p := newProxy(t, "127.0.0.1:"+f.port)
	f.via = p.port()
	f.start(2)
	run := func(name string, jobs int, disturb func(ctx context.Context)) {
		t.Run(name, func(t *testing.T) {
			outer := f.T
			f.T = t
			defer func() { f.T = outer }()
			f.under(name, jobs, disturb)
		})
	}
	run("worker", form(60, 10_000), func(context.Context) {
		for i := range form(3, 100) {
			at := i % len(f.workers)
			f.workers[at].kill()
			f.workers[at] = f.launch(binary, "worker")
			f.served()
		}
	})
	run("redis", form(60, 5_000), func(context.Context) {
		for range form(1, 20) {
			f.killRedis()
			f.startRedis()
			f.served()
		}
	})
	run("pause", form(60, 2_000), func(ctx context.Context) {
		_ = f.redis.Process.Signal(syscall.SIGSTOP)
		pause(ctx, form(4*time.Second, 30*time.Second))
		_ = f.redis.Process.Signal(syscall.SIGCONT)
		f.served()
	})
	run("network", form(60, 5_000), func(ctx context.Context) {
		for i := range form(6, 200) {
			p.slow(time.Duration(i%4) * 5 * time.Millisecond)
			pause(ctx, 200*time.Millisecond)
			p.cut(i%2 == 0)
		}
		p.slow(0)
		f.served()
	})
	run("leases", form(60, 2_000), func(ctx context.Context) {
		for range form(3, 60) {
			// The keys that say who leads, who trains and who lives, and asynq's leases.
			script := `for _, pattern in ipairs({'nexus:{lease:*', 'nexus:{*}:owner:*', 'nexus:{*}:turn', 'asynq:{*}:lease'}) do
				for _, k in ipairs(redis.call('KEYS', pattern)) do redis.call('DEL', k) end end return 1`
			if out, err := exec.Command("redis-cli", "-p", f.port, "EVAL", script, "0").CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "1" {
				f.Fatalf("delete leases: %s %v", out, err)
			}
			pause(ctx, time.Second)
		}
		f.served()
	})
}

// One worker and the leader have clocks five minutes ahead of all others.
func TestClockIsWrong(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.start(1)
	f.workers = append(f.workers, f.launch(wrong, "worker"))
	f.scheduler.stop(f)
	f.scheduler = f.launch(wrong, "scheduler")
	f.under("clock", form(60, 2_000), func(context.Context) {
		var j struct{ ID, State string }
		// A deadline of a minute is not over for a clock that is five ahead.
		for range 10 {
			if code, err := f.call(context.Background(), "POST", "/api/jobs", map[string]any{"kind": "interact", "prompt": "x", "timeout_ms": 60_000}, &j); err != nil || code != 202 {
				f.Fatalf("submit: %d %v", code, err)
			}
			f.eventually("the job ends well", func() bool {
				_, err := f.call(context.Background(), "GET", "/api/jobs/"+j.ID, nil, &j)
				if j.State == "failed" {
					f.Fatalf("it failed")
				}
				return err == nil && j.State == "succeeded"
			})
		}
		f.workers[0].kill()
		f.served()
	})
}

// Workers are replaced one after the other under load: no request fails.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.start(3)
	ctx, cancel := context.WithCancel(context.Background())
	var callers sync.WaitGroup
	asked := make(chan struct{}, 1)
	for range 6 {
		callers.Go(func() {
			for ctx.Err() == nil {
				code, err := f.call(context.Background(), "POST", "/api/interact", map[string]string{"prompt": "x"}, nil)
				if err != nil || code != 200 {
					f.Errorf("an ask during the restart: %d %v", code, err)
					return
				}
				select {
				case asked <- struct{}{}:
				default:
				}
			}
		})
	}
	<-asked
	for i, old := range f.workers {
		f.workers[i] = f.launch(binary, "worker")
		f.workers[i].await(f, workerReady)
		old.stop(f)
	}
	cancel()
	callers.Wait()
}

// The folder of the data is full for a while: what was acknowledged is kept, what
// cannot be stored is refused, and all goes on once there is room.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	f := setup(t)
	data := filepath.Join(f.dir, "small")
	if err := mountSmall(data); err != nil {
		t.Skipf("needs the right to mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { unmount(data) })
	f.env = append(f.env, "NEXUS_DATA_DIR="+data)
	f.start(2)
	f.under("disk", form(60, 2_000), func(ctx context.Context) {
		fill(f, data)
		pause(ctx, form(3*time.Second, 20*time.Second))
		f.served() // prompts need no disk
		empty(f, data)
	})
}
