package queue

import (
	"context"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// pipeliner sends the scripts of many goroutines in common pipelines: most of the cost
// of a small command is its two system calls on either side. A call that finds the
// pipeliner idle goes out at once, by its own goroutine; calls that come while it is
// under way go together after it.
type pipeliner struct {
	client redis.UniversalClient

	mu      sync.Mutex
	busy    int // pipelines under way
	waiting []*pipelined
}

// pipelines is how many may be under way: with one, the connection idles while
// the replies of a batch are handed out.
const (
	pipelines   = 2
	longestPipe = 32
)

// pipelined is a call that waits for its pipeline.
type pipelined struct {
	script   *redis.Script
	keys     []string
	args     []any
	deadline time.Time // zero without one

	cmd  *redis.Cmd
	done chan struct{}
}

// run is script.Run, in company. Each call keeps to its own context.
func (p *pipeliner) run(ctx context.Context, script *redis.Script, keys []string, args ...any) *redis.Cmd {
	p.mu.Lock()
	if p.busy < pipelines {
		p.busy++
		p.mu.Unlock()
		cmd := script.Run(ctx, p.client, keys, args...)
		p.next(ctx)
		return cmd
	}
	c := &pipelined{script: script, keys: keys, args: args, done: make(chan struct{})}
	c.deadline, _ = ctx.Deadline()
	p.waiting = append(p.waiting, c)
	p.mu.Unlock()
	select {
	case <-c.done:
		return c.cmd
	case <-ctx.Done():
		return redis.NewCmdResult(nil, ctx.Err())
	}
}

// next sends what waits, or is idle again.
func (p *pipeliner) next(ctx context.Context) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := min(len(p.waiting), longestPipe)
	if n == 0 {
		p.busy--
		return
	}
	batch := p.waiting[:n:n]
	p.waiting = p.waiting[n:]
	go func() {
		ctx := context.WithoutCancel(ctx) // that one caller goes away does not fail the others
		p.send(ctx, batch)
		p.next(ctx)
	}()
}

// send has the patience of the most patient of a batch.
func (p *pipeliner) send(ctx context.Context, batch []*pipelined) {
	latest := batch[0].deadline
	for _, c := range batch {
		if c.deadline.IsZero() || !latest.IsZero() && c.deadline.After(latest) {
			latest = c.deadline
		}
	}
	if !latest.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, latest)
		defer cancel()
	}
	pipe := p.client.Pipeline()
	for _, c := range batch {
		c.cmd = c.script.EvalSha(ctx, pipe, c.keys, c.args...)
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	for _, c := range batch {
		if redis.HasErrorPrefix(c.cmd.Err(), "NOSCRIPT") {
			c.cmd = c.script.Run(ctx, p.client, c.keys, c.args...)
		}
		close(c.done)
	}
}
