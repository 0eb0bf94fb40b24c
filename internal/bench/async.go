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

// async measures jobs that nobody waits for, from their submission over HTTP to the
// end of the last one: one by one, in one batch, and asynq alone with a handler that
// does nothing behind a plain HTTP handler, on a Redis of the same kind.
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
	before, err := held(ctx, f.client)
	if err != nil {
		return nil, err
	}
	host := strings.TrimPrefix(f.apis[0].url, "http://")
	spent, err := f.cost(ctx)
	if err != nil {
		return nil, err
	}
	one, err := lasting(func() error {
		if err := pressAsync(ctx, o.callers, host, "/api/jobs", func(i int) string {
			return fmt.Sprintf(`{"kind":"interact","prompt":%q}`, lessons[i%len(lessons)].Prompt)
		}, http.StatusAccepted); err != nil {
			return err
		}
		return drained(ctx, f.client, "batch")
	})
	if err != nil {
		return nil, err
	}
	all, err := f.cost(ctx)
	if err != nil {
		return nil, err
	}
	after, err := held(ctx, f.client)
	if err != nil {
		return nil, err
	}
	var body bytes.Buffer
	for i := range asyncJobs {
		fmt.Fprintf(&body, "{\"prompt\":%q}\n", lessons[i%len(lessons)].Prompt)
	}
	var taken float64
	batch, err := lasting(func() error {
		if taken, err = lasting(func() error { return sendBatch(ctx, f.apis[0].url, body.Bytes()) }); err != nil {
			return err
		}
		return drained(ctx, f.client, "batch")
	})
	if err != nil {
		return nil, err
	}
	bare, err := bareAsync(ctx, o, f.client)
	if err != nil {
		return nil, err
	}
	rate := func(v float64) string { return fmt.Sprintf("%.0f/s", v) }
	return []row{
		{fmt.Sprintf("%d jobs one by one, %d callers, until the last has ended", asyncJobs, o.callers), rate(one), "≥ 3000/s"},
		{"CPU µs of a job: Redis, api, worker", fmt.Sprintf("%d, %d, %d", (all.redis-spent.redis).Microseconds()/asyncJobs,
			(all.api-spent.api).Microseconds()/asyncJobs, (all.workers-spent.workers).Microseconds()/asyncJobs), ""},
		{"asynq alone behind plain HTTP, doing nothing", rate(bare), fmt.Sprintf("the jobs are %.2f × that", one/bare)},
		{"one batch: taken", rate(taken), "≥ 6000/s"},
		{"one batch: until the last has ended", rate(batch), ""},
		{"an ended job and its line in the log keep in Redis", fmt.Sprintf("%d bytes", (after-before)/asyncJobs), ""},
	}, nil
}

// lasting is how many jobs a second do gets through.
func lasting(do func() error) (rate float64, err error) {
	began := time.Now()
	err = do()
	return asyncJobs / time.Since(began).Seconds(), err
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
	for ctx.Err() == nil {
		pipe := client.Pipeline()
		pending, active := pipe.LLen(ctx, "asynq:{"+queue+"}:pending"), pipe.LLen(ctx, "asynq:{"+queue+"}:active")
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

// bareAsync is asynq as it comes.
func bareAsync(ctx context.Context, o options, client *redis.Client) (float64, error) {
	enqueue := asynq.NewClientFromRedisClient(client)
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
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
	defer web.Close()
	worker := asynq.NewServerFromRedisClient(client, asynq.Config{
		Concurrency: o.callers, Queues: map[string]int{"bare": 1}, TaskCheckInterval: time.Millisecond, LogLevel: asynq.FatalLevel,
	})
	if err := worker.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error { return nil })); err != nil {
		return 0, err
	}
	defer worker.Shutdown()
	return lasting(func() error {
		if err := pressAsync(ctx, o.callers, l.Addr().String(), "/", func(i int) string { return fmt.Sprintf(`{"job":%d}`, i) }, http.StatusAccepted); err != nil {
			return err
		}
		return drained(ctx, client, "bare")
	})
}
