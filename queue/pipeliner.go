package queue

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// pipeliner sends the scripts of many goroutines in shared pipelines, because most of
// the cost of a small command is its two system calls on either side. If the pipeliner
// is idle, a call is sent at once by its own goroutine. Calls that arrive meanwhile are
// sent together afterwards.
type pipeliner struct {
	client redis.UniversalClient

	mu      sync.Mutex
	busy    int // pipelines under way
	waiting []*pipelined
}

// pipelines is how many may be in flight. With one, the connection would idle while the
// replies of a batch are handed out.
const (
	pipelines   = 2
	longestPipe = 32
)

// ahead holds stream entries that are written before a script runs. On a single server
// they go in the same pipeline, so that they cost no extra exchange and are present
// when the script has run.
type ahead struct {
	lines   []*redis.XAddArgs
	written func(error) // is told what became of them; not called when nobody knows
	done    atomic.Bool // they are written: a script that is tried again goes alone
}

// put adds the lines to a pipeline.
func (a *ahead) put(ctx context.Context, pipe redis.Pipeliner) (cmds []*redis.StringCmd) {
	if a == nil || a.done.Load() {
		return nil
	}
	for _, l := range a.lines {
		cmds = append(cmds, pipe.XAdd(ctx, l))
	}
	return cmds
}

// note reads the results of the lines that put added.
func (a *ahead) note(cmds []*redis.StringCmd) {
	for _, cmd := range cmds {
		err := cmd.Err()
		if _, refused := errors.AsType[redis.Error](err); err != nil && !refused {
			return // it may have arrived or not: the script has the same fate
		}
		if err != nil {
			a.written(err)
			return
		}
	}
	if len(cmds) > 0 {
		a.done.Store(true)
		a.written(nil)
	}
}

// pipelined is a call that waits for its pipeline.
type pipelined struct {
	ahead    *ahead // nil if nothing goes ahead
	script   *redis.Script
	keys     []string
	args     []any
	deadline time.Time // zero without one

	cmd  *redis.Cmd
	done chan struct{}
}

// run runs a script like script.Run, in a shared pipeline. Each call keeps its own
// context.
func (p *pipeliner) run(ctx context.Context, script *redis.Script, keys []string, args ...any) *redis.Cmd {
	return p.runAfter(ctx, nil, script, keys, args...)
}

// runAfter is run with lines that are written before the script runs.
func (p *pipeliner) runAfter(ctx context.Context, a *ahead, script *redis.Script, keys []string, args ...any) *redis.Cmd {
	c := &pipelined{ahead: a, script: script, keys: keys, args: args, done: make(chan struct{})}
	p.mu.Lock()
	if p.busy < pipelines {
		p.busy++
		p.mu.Unlock()
		if a == nil {
			c.cmd = script.Run(ctx, p.client, keys, args...)
		} else {
			p.exchange(ctx, []*pipelined{c})
		}
		p.next(ctx)
		return c.cmd
	}
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

// next sends the waiting calls, or becomes idle again.
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

// send waits as long as the most patient call of a batch.
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
	p.exchange(ctx, batch)
	for _, c := range batch {
		close(c.done)
	}
}

// exchange sends calls after the lines that go ahead of them. On a Cluster the lines
// live on another node than the jobs, so they are sent and confirmed first.
func (p *pipeliner) exchange(ctx context.Context, batch []*pipelined) {
	pipe := p.client.Pipeline()
	lines := make([][]*redis.StringCmd, len(batch))
	for i, c := range batch {
		lines[i] = c.ahead.put(ctx, pipe)
	}
	if _, cluster := p.client.(*redis.ClusterClient); cluster && pipe.Len() > 0 {
		_, _ = pipe.Exec(ctx) // each command has its own error
	}
	for _, c := range batch {
		c.cmd = c.script.EvalSha(ctx, pipe, c.keys, c.args...)
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	for i, c := range batch {
		c.ahead.note(lines[i])
		if redis.HasErrorPrefix(c.cmd.Err(), "NOSCRIPT") {
			c.cmd = c.script.Run(ctx, p.client, c.keys, c.args...)
		}
	}
}
