package queue

import (
	"context"
	"sync"

	"github.com/redis/go-redis/v9"
)

// funnel sends scripts of many goroutines in common pipelines: most of the cost
// of a small command is its two system calls on either side. A call that finds
// the funnel idle goes out at once, by its own goroutine; those that come while
// it is under way go together after it.
type funnel struct {
	client redis.UniversalClient

	mu      sync.Mutex
	busy    int // pipelines under way
	waiting []*funnelCall
}

// pipelines is how many may be under way: with one, the connection idles while
// the replies of a batch are handed out.
const (
	pipelines   = 2
	longestPipe = 32
)

type funnelCall struct {
	script *redis.Script
	keys   []string
	args   []any

	cmd  *redis.Cmd
	done chan struct{}
	lead chan []*funnelCall // this call is to send the batch, itself included
}

// run is script.Run, in company.
func (f *funnel) run(ctx context.Context, script *redis.Script, keys []string, args ...any) *redis.Cmd {
	c := &funnelCall{script: script, keys: keys, args: args}
	f.mu.Lock()
	if f.busy < pipelines {
		f.busy++
		f.mu.Unlock()
		c.cmd = script.Run(ctx, f.client, keys, args...)
		f.next()
		return c.cmd
	}
	c.done, c.lead = make(chan struct{}), make(chan []*funnelCall, 1)
	f.waiting = append(f.waiting, c)
	f.mu.Unlock()
	// Whoever leads gives up in time, so no call waits here for ever.
	select {
	case <-c.done:
	case batch := <-c.lead:
		f.send(ctx, batch)
		f.next()
	}
	return c.cmd
}

// next lets the first that waits send for all that wait.
func (f *funnel) next() {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := min(len(f.waiting), longestPipe)
	if n == 0 {
		f.busy--
		return
	}
	batch := f.waiting[:n:n]
	f.waiting = f.waiting[n:]
	batch[0].lead <- batch
}

func (f *funnel) send(ctx context.Context, batch []*funnelCall) {
	// The leader's context bounds the batch; its deadline is as far as theirs
	// or nearer, and its caller's going away must not fail the others.
	at, bounded := ctx.Deadline()
	ctx = context.WithoutCancel(ctx)
	if bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, at)
		defer cancel()
	}
	pipe := f.client.Pipeline()
	for _, c := range batch {
		c.cmd = c.script.EvalSha(ctx, pipe, c.keys, c.args...)
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	for i, c := range batch {
		if redis.HasErrorPrefix(c.cmd.Err(), "NOSCRIPT") {
			c.cmd = c.script.Run(ctx, f.client, c.keys, c.args...)
		}
		if i > 0 {
			close(c.done)
		}
	}
}
