package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// asyncJobs is how many jobs each of the ways below gets.
const asyncJobs = 10_000

// asyncRounds is how often each of those that are compared has its turn.
const asyncRounds = 3

// async measures jobs that nobody waits for, from their submission over HTTP to the
// end of the last one: one by one and in one batch, beside BullMQ and asynq alone with
// handlers that do nothing, behind the same HTTP and on the same Redis, in turns.
func async(ctx context.Context, o options) (rows []row, err error) {
	f, err := startFleet(ctx, o, 1, 1)
	defer f.stop()
	if err != nil {
		return nil, err
	}
	lessons := makeLessons(200)
	if err := f.apis[0].teach(ctx, lessons); err != nil {
		return nil, err
	}
	host := strings.TrimPrefix(f.apis[0].url, "http://")
	bull, stop, err := startBull(ctx, o, f.client)
	if err != nil {
		return nil, err
	}
	defer stop()
	bare, stop, err := startBare(ctx, o, f.client)
	if err != nil {
		return nil, err
	}
	defer stop()
	var spent cost
	one := func() error {
		before, err := f.cost(ctx)
		if err != nil {
			return err
		}
		if err := pressAsync(ctx, o.callers, host, "/api/jobs", func(i int) string {
			return fmt.Sprintf(`{"kind":"interact","prompt":%q}`, lessons[i%len(lessons)].Prompt)
		}, http.StatusAccepted); err != nil {
			return err
		}
		if err := drained(ctx, f.client, "batch"); err != nil {
			return err
		}
		after, err := f.cost(ctx)
		spent.redis += after.redis - before.redis
		spent.api += after.api - before.api
		spent.workers += after.workers - before.workers
		return err
	}
	// In turns, so that what else the machine does meets all of them.
	ways := []func() error{one, bull, bare}
	took := make([]time.Duration, len(ways))
	for range asyncRounds {
		for i, way := range ways {
			began := time.Now()
			if err := way(); err != nil {
				return nil, err
			}
			took[i] += time.Since(began)
		}
	}
	var body bytes.Buffer
	for i := range asyncJobs {
		fmt.Fprintf(&body, "{\"prompt\":%q}\n", lessons[i%len(lessons)].Prompt)
	}
	began := time.Now()
	if err := sendBatch(ctx, f.apis[0].url, body.Bytes()); err != nil {
		return nil, err
	}
	taken := time.Since(began)
	if err := drained(ctx, f.client, "batch"); err != nil {
		return nil, err
	}
	batch := time.Since(began)
	const all = asyncRounds * asyncJobs
	rate := func(n int, d time.Duration) string { return fmt.Sprintf("%.0f/s", float64(n)/d.Seconds()) }
	beside := func(i int) string {
		return fmt.Sprintf("the jobs are %.2f × that", took[i].Seconds()/took[0].Seconds())
	}
	us := func(d time.Duration) int64 { return d.Microseconds() / all }
	return []row{
		{fmt.Sprintf("%d jobs one by one, %d callers, until the last has ended", asyncJobs, o.callers), rate(all, took[0]), "≥ 3000/s"},
		{"CPU µs of a job: Redis, api, worker", fmt.Sprintf("%d, %d, %d", us(spent.redis), us(spent.api), us(spent.workers)), ""},
		{"BullMQ behind the same HTTP, doing nothing", rate(all, took[1]), beside(1) + "; ≥ 1"},
		{"asynq alone behind the same HTTP, doing nothing", rate(all, took[2]), beside(2)},
		{"one batch: taken", rate(asyncJobs, taken), "≥ 6000/s"},
		{"one batch: until the last has ended", rate(asyncJobs, batch), ""},
	}, nil
}

// pressAsync posts asyncJobs bodies from so many callers, each on a connection of its own.
func pressAsync(ctx context.Context, callers int, host, path string, body func(int) string, want int) error {
	var next atomic.Int64
	var group sync.WaitGroup
	errs := make(chan error, callers)
	for range callers {
		group.Go(func() {
			s := server{url: "http://" + host}
			c, err := s.caller(ctx)
			if err != nil {
				errs <- err
				return
			}
			defer c.close()
			for {
				i := int(next.Add(1)) - 1
				if i >= asyncJobs {
					return
				}
				status, err := c.post(path, body(i))
				if err != nil || status != want {
					errs <- errors.Join(err, fmt.Errorf("job %d is answered %d", i, status))
					return
				}
			}
		})
	}
	group.Wait()
	close(errs)
	return <-errs
}

// post sends one body and returns the status of the answer.
func (c *caller) post(path, body string) (int, error) {
	if _, err := fmt.Fprintf(c.conn, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", path, c.host, len(body), body); err != nil {
		return 0, fmt.Errorf("post: %w", err)
	}
	res, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return 0, fmt.Errorf("read the answer: %w", err)
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, err
}

func sendBatch(ctx context.Context, url string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/api/jobs:batch", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if n := bytes.Count(answer, []byte(`"id"`)); n != asyncJobs {
		return fmt.Errorf("a batch is answered %d with %d ids: %.200s", res.StatusCode, n, answer)
	}
	return nil
}

// drained waits until a queue of asynq is empty.
func drained(ctx context.Context, client *redis.Client, queue string) error {
	return emptied(ctx, client, "asynq:{"+queue+"}:pending", "asynq:{"+queue+"}:active")
}

// emptied waits until both lists are empty.
func emptied(ctx context.Context, client *redis.Client, waiting, running string) error {
	for ctx.Err() == nil {
		pipe := client.Pipeline()
		pending, active := pipe.LLen(ctx, waiting), pipe.LLen(ctx, running)
		if _, err := pipe.Exec(ctx); err != nil {
			return err
		}
		if pending.Val()+active.Val() == 0 {
			return nil
		}
		time.Sleep(2 * time.Millisecond)
	}
	return ctx.Err()
}

// startBare is asynq as it comes, in this process: its HTTP, and its handler that does
// nothing.
func startBare(ctx context.Context, o options, client *redis.Client) (way func() error, stop func(), err error) {
	enqueue := asynq.NewClientFromRedisClient(client)
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	web := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err == nil {
			_, err = enqueue.EnqueueContext(r.Context(), asynq.NewTask("bench", b), asynq.Queue("bare"))
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusAccepted)
	})}
	go func() { _ = web.Serve(l) }()
	worker := asynq.NewServerFromRedisClient(client, asynq.Config{
		Concurrency: o.callers, Queues: map[string]int{"bare": 1}, TaskCheckInterval: time.Millisecond, LogLevel: asynq.FatalLevel,
	})
	if err := worker.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error { return nil })); err != nil {
		_ = web.Close()
		return nil, nil, err
	}
	way = func() error {
		if err := pressAsync(ctx, o.callers, l.Addr().String(), "/", func(i int) string { return fmt.Sprintf(`{"job":%d}`, i) }, http.StatusAccepted); err != nil {
			return err
		}
		return drained(ctx, client, "bare")
	}
	return way, func() { _ = web.Close(); worker.Shutdown() }, nil
}
