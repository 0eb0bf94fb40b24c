package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/queue"
)

// fleet is a Redis, API processes and workers.
type fleet struct {
	redis   *exec.Cmd
	client  *redis.Client
	apis    []*server
	workers []*exec.Cmd
	dir     string
	env     []string // of the processes
}

// jobs measures fleets of so many workers and API processes over HTTP, then the
// queue with a handler that does nothing against asynq alone and a plain list.
func jobs(ctx context.Context, o options) error {
	if _, err := os.Stat(o.binary); err != nil {
		return errors.New("no program at " + o.binary + "; build it with `make build`")
	}
	fmt.Printf("%d cores, %s, %s; interacts over HTTP\n\n", runtime.NumCPU(), runtime.Version(), time.Now().UTC().Format(time.DateOnly))
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintf(w, "api × workers\t1 caller p50\tp99\t%d callers/s\tp50\tp99\tRedis calls\tbytes\tCPU µs: Redis\tapi\tworkers\n", o.callers)
	for _, apis := range []int{1, 2} {
		for _, workers := range []int{1, 2, 4} {
			line, err := measureFleet(ctx, o, apis, workers)
			if err != nil {
				return fmt.Errorf("%d × %d: %w", apis, workers, err)
			}
			fmt.Fprintln(w, line)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return bare(ctx, o)
}

func startRedis(ctx context.Context, dir string) (*exec.Cmd, *redis.Client, string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, "", err
	}
	addr := l.Addr().String()
	_ = l.Close()
	_, port, _ := net.SplitHostPort(addr)
	cmd := exec.CommandContext(ctx, "redis-server", "--port", port, "--bind", "127.0.0.1", "--dir", dir, "--appendonly", "yes", "--save", "")
	if err := cmd.Start(); err != nil {
		return nil, nil, "", fmt.Errorf("needs redis-server on PATH: %w", err)
	}
	client := redis.NewClient(&redis.Options{Addr: addr, Protocol: 2, DisableIdentity: true})
	for range 500 {
		if client.Ping(ctx).Err() == nil {
			return cmd, client, "redis://" + addr, nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return cmd, client, "", errors.New("redis-server does not answer")
}

func startFleet(ctx context.Context, o options, apis, workers int) (f *fleet, err error) {
	f = &fleet{}
	if f.dir, err = os.MkdirTemp("", "nexus-bench-"); err != nil {
		return f, err
	}
	var url string
	if f.redis, f.client, url, err = startRedis(ctx, f.dir); err != nil {
		return f, err
	}
	env := append(os.Environ(), "NEXUS_DATA_DIR="+filepath.Join(f.dir, "data"), "NEXUS_LISTEN=127.0.0.1:0", "NEXUS_RATE_LIMIT_ENABLED=false",
		"LOG_LEVEL=WARN", "NEXUS_REDIS_URL="+url, "NEXUS_MAX_QUEUE_DELAY=10s", "NEXUS_MAX_QUEUE=100000", "NEXUS_ACTIVE_CPU_LIMIT=100")
	f.env = env
	for range workers {
		cmd := exec.CommandContext(ctx, o.binary, "worker")
		cmd.Env = env
		if err := cmd.Start(); err != nil {
			return f, err
		}
		f.workers = append(f.workers, cmd)
	}
	for i := range apis {
		s, _, err := startRole(ctx, o.binary, "api", filepath.Join(f.dir, strconv.Itoa(i)+".log"), env)
		if err != nil {
			return f, err
		}
		f.apis = append(f.apis, s)
	}
	return f, nil
}

func (f *fleet) stop() {
	for _, s := range f.apis {
		s.stop()
	}
	for _, w := range f.workers {
		_ = w.Process.Signal(syscall.SIGTERM)
		_ = w.Wait()
	}
	if f.client != nil {
		_ = f.client.Close()
	}
	if f.redis != nil {
		_ = f.redis.Process.Kill()
		_ = f.redis.Wait()
	}
	_ = os.RemoveAll(f.dir)
}

// cost is what was spent so far.
type cost struct {
	calls, bytes        float64
	redis, api, workers time.Duration
}

func (f *fleet) cost(ctx context.Context) (c cost, err error) {
	info, err := f.client.InfoMap(ctx, "stats").Result()
	if err != nil {
		return c, err
	}
	n := func(name string) float64 { v, _ := strconv.ParseFloat(info["Stats"][name], 64); return v }
	c.bytes = n("total_net_input_bytes") + n("total_net_output_bytes")
	// Commands that came from clients, not those that scripts call.
	stats, err := f.client.InfoMap(ctx, "commandstats").Result()
	if err != nil {
		return c, err
	}
	for name, line := range stats["Commandstats"] {
		switch name {
		case "cmdstat_evalsha", "cmdstat_eval", "cmdstat_blpop", "cmdstat_ping":
			calls, _, _ := strings.Cut(strings.TrimPrefix(line, "calls="), ",")
			v, _ := strconv.ParseFloat(calls, 64)
			c.calls += v
		}
	}
	if c.redis, err = cpuOf(f.redis.Process.Pid); err != nil {
		return c, err
	}
	for _, s := range f.apis {
		used, err := cpuOf(s.cmd.Process.Pid)
		if err != nil {
			return c, err
		}
		c.api += used
	}
	for _, w := range f.workers {
		used, err := cpuOf(w.Process.Pid)
		if err != nil {
			return c, err
		}
		c.workers += used
	}
	return c, nil
}

func measureFleet(ctx context.Context, o options, apis, workers int) (string, error) {
	f, err := startFleet(ctx, o, apis, workers)
	defer f.stop()
	if err != nil {
		return "", err
	}
	lessons := makeLessons(200)
	if err := f.apis[0].teach(ctx, lessons); err != nil {
		return "", err
	}
	time.Sleep(2500 * time.Millisecond) // every worker follows within 2 s
	lone, err := f.apis[0].latencies(ctx, lessons, 1000)
	if err != nil {
		return "", err
	}
	before, err := f.cost(ctx)
	if err != nil {
		return "", err
	}
	var (
		group  sync.WaitGroup
		mu     sync.Mutex
		rate   float64
		p50    time.Duration
		p99    time.Duration
		failed error
	)
	began := time.Now()
	for _, s := range f.apis {
		group.Go(func() {
			r, all, err := s.load(ctx, lessons, o.callers/len(f.apis), o.load)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed = err
				return
			}
			rate += r
			p50, p99 = max(p50, all[len(all)/2]), max(p99, all[len(all)*99/100])
		})
	}
	group.Wait()
	if failed != nil {
		return "", failed
	}
	n := rate * time.Since(began).Seconds()
	after, err := f.cost(ctx)
	if err != nil {
		return "", err
	}
	us := func(d time.Duration) string { return fmt.Sprintf("%.0f", float64(d.Microseconds())/n) }
	return fmt.Sprintf("%d × %d\t%s\t%s\t%.0f\t%s\t%s\t%.2f\t%.0f\t%s\t%s\t%s", apis, workers,
		ms(lone[len(lone)/2]), ms(lone[len(lone)*99/100]), rate, ms(p50), ms(p99), (after.calls-before.calls)/n, (after.bytes-before.bytes)/n,
		us(after.redis-before.redis), us(after.api-before.api), us(after.workers-before.workers)), nil
}

// bare compares the ways through Redis with a handler that does nothing, in turns.
func bare(ctx context.Context, o options) (err error) {
	dir, err := os.MkdirTemp("", "nexus-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	process, client, _, err := startRedis(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close(); _ = process.Process.Kill(); _ = process.Wait() }()

	q := queue.Open(queue.Options{Redis: client})
	if err := q.Start(ctx); err != nil {
		return err
	}
	lane := q.Serve(job.LaneInteractive, o.callers, func(context.Context, *queue.Task) (any, error) { return job.Answer{Response: "done"}, nil })
	if err := lane.Start(ctx); err != nil {
		return err
	}
	defer func() {
		stop := context.WithoutCancel(ctx)
		err = errors.Join(err, lane.Stop(stop), q.Stop(stop))
	}()
	plain := newAsynq(client, o.callers)
	if err := plain.server.Start(asynq.HandlerFunc(plain.handle)); err != nil {
		return err
	}
	defer plain.server.Shutdown()
	list := newPlainList(client)
	listing, cancel := context.WithCancel(ctx)
	defer list.wait()
	defer cancel()
	list.serve(listing, o.callers)

	names := []string{"the queue: ask and answer", "asynq alone: enqueue and handle, no answer", "a plain list (BLMOVE): ask and answer"}
	asks := []func(context.Context) error{func(ctx context.Context) error {
		_, _, err := q.Ask(ctx, job.Spec{Kind: job.KindInteract, Prompt: "hello"}, 10*time.Second)
		return err
	}, plain.ask, list.ask}
	const rounds = 4
	rates := make([]float64, len(asks))
	for range rounds {
		for i, ask := range asks {
			rate, err := rateOf(ctx, ask, o.callers, o.load/rounds)
			if err != nil {
				return fmt.Errorf("%s: %w", names[i], err)
			}
			rates[i] += rate / rounds
		}
	}
	fmt.Printf("\nhandlers that do nothing, one process, %d callers, in turns on one Redis\n\n", o.callers)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', 0)
	for i, name := range names {
		fmt.Fprintf(w, "%s\t%.0f/s\t%.2f × asynq\n", name, rates[i], rates[i]/rates[1])
	}
	return w.Flush()
}

// plainAsynq is asynq as it comes: a caller counts its task as done when the
// handler has run.
type plainAsynq struct {
	client  *asynq.Client
	server  *asynq.Server
	n       atomic.Int64
	waiting sync.Map // payload → chan struct{}
}

func newAsynq(r redis.UniversalClient, concurrency int) *plainAsynq {
	return &plainAsynq{
		client: asynq.NewClientFromRedisClient(r),
		server: asynq.NewServerFromRedisClient(r, asynq.Config{
			Concurrency: concurrency, Queues: map[string]int{"bench": 1}, TaskCheckInterval: time.Millisecond, LogLevel: asynq.FatalLevel,
		}),
	}
}

func (p *plainAsynq) handle(_ context.Context, t *asynq.Task) error {
	if c, ok := p.waiting.LoadAndDelete(string(t.Payload())); ok {
		close(c.(chan struct{})) //nolint:forcetypeassert // our own
	}
	return nil
}

func (p *plainAsynq) ask(ctx context.Context) error {
	id := strconv.FormatInt(p.n.Add(1), 10)
	done := make(chan struct{})
	p.waiting.Store(id, done)
	if _, err := p.client.EnqueueContext(ctx, asynq.NewTask("bench", []byte(id)), asynq.Queue("bench")); err != nil {
		return err
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
