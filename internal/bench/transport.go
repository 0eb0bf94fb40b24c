package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/queue"
	"github.com/nexus-continuum/nexus/queue/provider"
)

// transport measures the way through the queue with a handler that does
// nothing, against a plain Redis list on the same Redis, in turns.
func transport(ctx context.Context, o options) (rows []row, err error) {
	dir, err := os.MkdirTemp("", "nexus-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	provided, err := provider.Start(ctx, provider.Options{Dir: filepath.Join(dir, "redis")})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, provided.Stop(context.WithoutCancel(ctx))) }()

	q := queue.Open(queue.Options{Redis: provided.Client(), Asynq: provided.Asynq()})
	if err := q.Start(ctx); err != nil {
		return nil, err
	}
	server := q.Serve(job.LaneInteractive, o.callers, func(context.Context, *queue.Task) (any, error) { return job.Answer{Response: "done"}, nil })
	if err := server.Start(ctx); err != nil {
		return nil, err
	}
	defer func() {
		stop := context.WithoutCancel(ctx)
		err = errors.Join(err, server.Stop(stop), q.Stop(stop))
	}()
	list := newPlainList(provided.Client())
	listCtx, cancel := context.WithCancel(ctx)
	defer list.wait()
	defer cancel()
	list.serve(listCtx, o.callers)

	viaQueue := func(ctx context.Context) error {
		a, _, err := q.Ask(ctx, job.Spec{Kind: job.KindInteract, Lane: job.LaneInteractive, Prompt: "hello"}, 10*time.Second)
		if err == nil && a == nil {
			err = errors.New("no answer within 10 s")
		}
		return err
	}
	const rounds = 4
	var queued, plain float64
	for range rounds {
		for _, side := range []struct {
			sum *float64
			ask func(context.Context) error
		}{{&queued, viaQueue}, {&plain, list.ask}} {
			rate, err := rateOf(ctx, side.ask, o.callers, o.load/rounds)
			if err != nil {
				return nil, err
			}
			*side.sum += rate / rounds
		}
	}
	return []row{
		{fmt.Sprintf("asks/s through asynq, %d callers, no model (Redis: %s)", o.callers, provided.Name), fmt.Sprintf("%.0f", queued), ""},
		{"asks/s through a plain list (BLMOVE)", fmt.Sprintf("%.0f", plain), ""},
		{"asynq / plain list", fmt.Sprintf("%.2f", queued/plain), ""},
	}, nil
}

// rateOf counts how many asks a second so many callers get done.
func rateOf(ctx context.Context, ask func(context.Context) error, callers int, load time.Duration) (float64, error) {
	var (
		wg     sync.WaitGroup
		done   atomic.Int64
		failed atomic.Pointer[error]
	)
	began := time.Now()
	for range callers {
		wg.Go(func() {
			for time.Since(began) < load {
				if err := ask(ctx); err != nil {
					failed.Store(&err)
					return
				}
				done.Add(1)
			}
		})
	}
	wg.Wait()
	if e := failed.Load(); e != nil {
		return 0, *e
	}
	return float64(done.Load()) / time.Since(began).Seconds(), nil
}

// Keys of the plain list.
const (
	listWaiting = "bench:waiting"
	listTaken   = "bench:taken"
	listReplies = "bench:replies"
)

// plainList is the least that a queue with acknowledgement can be: a waiting
// list, a list of what was taken, and a list of replies.
type plainList struct {
	redis   redis.UniversalClient
	waiting sync.Map // id → chan struct{}
	workers sync.WaitGroup
}

func newPlainList(r redis.UniversalClient) *plainList { return &plainList{redis: r} }

func (l *plainList) wait() { l.workers.Wait() }

// serve starts a few takers, since one round trip at a time would be the limit
// of a single one, and one reader of replies.
func (l *plainList) serve(ctx context.Context, callers int) {
	for range max(callers/8, 2) {
		l.workers.Go(func() {
			for ctx.Err() == nil {
				body, err := l.redis.BLMove(ctx, listWaiting, listTaken, "RIGHT", "LEFT", time.Second).Result()
				if err != nil {
					continue
				}
				var spec job.Spec
				if json.Unmarshal([]byte(body), &spec) != nil {
					continue
				}
				p := l.redis.Pipeline()
				p.LPush(ctx, listReplies, spec.ID)
				p.LRem(ctx, listTaken, 1, body)
				_, _ = p.Exec(ctx)
			}
		})
	}
	l.workers.Go(func() {
		for ctx.Err() == nil {
			got, err := l.redis.BRPop(ctx, time.Second, listReplies).Result()
			if err != nil {
				continue
			}
			more, _ := l.redis.RPopCount(ctx, listReplies, 256).Result()
			for _, id := range append(more, got[1]) {
				if ch, ok := l.waiting.LoadAndDelete(id); ok {
					if done, ok := ch.(chan struct{}); ok {
						close(done)
					}
				}
			}
		}
	})
}

func (l *plainList) ask(ctx context.Context) error {
	spec := job.Spec{ID: job.NewID(), Kind: job.KindInteract, Lane: job.LaneInteractive, Prompt: "hello"}
	body, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	done := make(chan struct{})
	l.waiting.Store(spec.ID, done)
	if err := l.redis.LPush(ctx, listWaiting, body).Err(); err != nil {
		return err
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
