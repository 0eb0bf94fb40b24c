package queue

import (
	"context"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/queue/provider"
)

// benchProvider is a real Redis where there is one.
func benchProvider(b *testing.B) *provider.Provider {
	b.Helper()
	mode := provider.Embedded
	if _, err := exec.LookPath("redis-server"); err == nil {
		mode = provider.Child
	}
	r, err := provider.Start(b.Context(), provider.Options{Mode: mode, Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = r.Stop(context.Background()) })
	return r
}

// asker is one way to have a prompt answered.
type asker func(ctx context.Context, prompt string) error

// throughQueue asks through the queue.
func throughQueue(b *testing.B, r *provider.Provider) asker {
	b.Helper()
	q := Open(Options{Redis: r.Client(), Asynq: r.Asynq(), Timeout: 10 * time.Second})
	if err := q.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	s := q.Serve(job.LaneInteractive, 64, echo)
	if err := s.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = s.Stop(context.Background())
		_ = q.Stop(context.Background())
	})
	return func(ctx context.Context, prompt string) error {
		a, _, err := q.Ask(ctx, interact(prompt), 20*time.Second)
		if err == nil && (a == nil || a.Response != prompt) {
			err = errors.New("no answer, or another's")
		}
		return err
	}
}

// throughList asks through plain lists, the least that Redis can do: push, move
// to a list of what is being worked on, push the reply, remove.
func throughList(b *testing.B, r *provider.Provider) asker {
	b.Helper()
	client := r.Client()
	ctx, cancel := context.WithCancel(context.Background())
	var workers sync.WaitGroup
	// One goroutine takes, as asynq does; handlers answer side by side.
	workers.Go(func() {
		for ctx.Err() == nil {
			msg, err := client.BLMove(ctx, "list:in", "list:busy", "RIGHT", "LEFT", time.Second).Result()
			if err != nil {
				continue
			}
			workers.Go(func() {
				pipe := client.Pipeline()
				pipe.RPush(ctx, "list:out", msg)
				pipe.LRem(ctx, "list:busy", 1, msg)
				_, _ = pipe.Exec(ctx)
			})
		}
	})
	var waiting sync.Map
	workers.Go(func() {
		for ctx.Err() == nil {
			got, err := client.BLPop(ctx, time.Second, "list:out").Result()
			if err != nil {
				continue
			}
			batch, err := client.LPopCount(ctx, "list:out", 256).Result()
			if err != nil && !errors.Is(err, redis.Nil) {
				continue
			}
			for _, msg := range append(got[1:], batch...) {
				id, _, _ := strings.Cut(msg, " ")
				if c, ok := waiting.LoadAndDelete(id); ok {
					c.(chan string) <- msg
				}
			}
		}
	})
	b.Cleanup(func() { cancel(); workers.Wait() })
	return func(ctx context.Context, prompt string) error {
		id := job.NewID()
		c := make(chan string, 1)
		waiting.Store(id, c)
		if err := client.LPush(ctx, "list:in", id+" "+prompt).Err(); err != nil {
			return err
		}
		<-c
		return nil
	}
}

// rate has n callers ask until total asks are done, and returns asks per second.
func rate(b *testing.B, ask asker, callers int, total int64) float64 {
	b.Helper()
	var left atomic.Int64
	left.Store(total)
	began := time.Now()
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := ask(b.Context(), "how do I reset my password?"); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return float64(total) / time.Since(began).Seconds()
}

// BenchmarkAsk is one caller's round trip.
func BenchmarkAsk(b *testing.B) {
	for _, way := range []struct {
		name string
		of   func(*testing.B, *provider.Provider) asker
	}{{"queue", throughQueue}, {"list", throughList}} {
		b.Run(way.name, func(b *testing.B) {
			ask := way.of(b, benchProvider(b))
			for range 50 { // connections and scripts
				if err := ask(b.Context(), "warm"); err != nil {
					b.Fatal(err)
				}
			}
			took := make([]time.Duration, 0, b.N)
			for b.Loop() {
				began := time.Now()
				if err := ask(b.Context(), "how do I reset my password?"); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
		})
	}
}

// BenchmarkAsk64 is the throughput of 64 callers, and its ratio to that of
// plain lists in the same run.
func BenchmarkAsk64(b *testing.B) {
	r := benchProvider(b)
	queue, list := throughQueue(b, r), throughList(b, r)
	rate(b, queue, 64, 500)
	rate(b, list, 64, 500)
	b.ResetTimer()
	var ours, theirs float64
	n := 0.0
	for b.Loop() {
		ours += rate(b, queue, 64, 2000)
		theirs += rate(b, list, 64, 2000)
		n++
	}
	b.ReportMetric(ours/n, "asks/s")
	b.ReportMetric(theirs/n, "list-asks/s")
	b.ReportMetric(ours/theirs, "ratio")
}
