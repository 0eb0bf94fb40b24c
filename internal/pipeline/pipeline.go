// Package pipeline sends the scripts of many goroutines to Redis in shared pipelines,
// because most of the cost of a small command is its two system calls on either side.
package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// Pipeliner runs scripts. If it is idle, a call is sent at once by its own goroutine.
// Calls that arrive meanwhile are sent together afterwards. It is safe for concurrent
// use.
type Pipeliner struct {
	client redis.UniversalClient

	mu      sync.Mutex
	busy    int // pipelines under way
	waiting []*Call
}

// New makes a Pipeliner. It sends nothing before the first call.
func New(client redis.UniversalClient) *Pipeliner { return &Pipeliner{client: client} }

// pipelines is how many may be in flight. With one, the connection would idle while the
// replies of a batch are handed out.
const (
	maxInFlight  = 2
	maxPipelined = 32
)

// Writes holds stream entries that are written before a script runs. On a single server
// they go in the same pipeline, so that they cost no extra exchange and are present
// when the script has run.
type Writes struct {
	Entries []*redis.XAddArgs
	Written func(error) // called with the result; not called if the result is not known
	done    atomic.Bool // they are written: a script that is tried again goes alone
}

// addTo adds the entries to a pipeline.
func (a *Writes) addTo(ctx context.Context, pipe redis.Pipeliner) (cmds []*redis.StringCmd) {
	if a == nil || a.done.Load() {
		return nil
	}
	for _, l := range a.Entries {
		cmds = append(cmds, pipe.XAdd(ctx, l))
	}
	return cmds
}

// readResults reads the results of the entries that addTo added.
func (a *Writes) readResults(cmds []*redis.StringCmd) {
	for _, cmd := range cmds {
		err := cmd.Err()
		if _, refused := errors.AsType[redis.Error](err); err != nil && !refused {
			return // it may have arrived or not: the script has the same fate
		}
		if err != nil {
			a.Written(err)
			return
		}
	}
	if len(cmds) > 0 {
		a.done.Store(true)
		a.Written(nil)
	}
}

// Call is one run of a script.
type Call struct {
	Script *redis.Script
	Keys   []string
	Args   []any
	Shared Shared  // zero if the script takes one call at a time
	First  *Writes // written before the script runs; nil for nothing

	deadline time.Time // zero without one
	cmd      *redis.Cmd
	done     chan struct{}
}

// Shared says that a script does the work of several calls at once, and how many keys
// and arguments at the beginning are the same for all of them. Such a script takes these
// once, then the other keys and arguments of each call in turn, and returns one result
// for each.
type Shared struct{ Keys, Args int }

// maxCallsPerScript limits the calls of one script, because Redis does nothing else meanwhile.
const maxCallsPerScript = 16

// scriptBatch are calls that one script serves.
type scriptBatch struct {
	calls []*Call
	cmd   *redis.Cmd
}

// accepts reports whether the script can serve c too.
func (j *scriptBatch) accepts(c *Call) bool {
	first := j.calls[0]
	n := first.Shared
	return n != (Shared{}) && n == c.Shared && first.Script == c.Script && len(j.calls) < maxCallsPerScript &&
		slices.Equal(first.Keys[:n.Keys], c.Keys[:n.Keys]) && slices.Equal(first.Args[:n.Args], c.Args[:n.Args])
}

// merged returns the keys and arguments of the script.
func (j *scriptBatch) merged() (keys []string, args []any) {
	first := j.calls[0]
	keys, args = first.Keys, first.Args
	for _, c := range j.calls[1:] {
		keys = append(slices.Clip(keys), c.Keys[c.Shared.Keys:]...)
		args = append(slices.Clip(args), c.Args[c.Shared.Args:]...)
	}
	return keys, args
}

// distribute gives each call its result.
func (j *scriptBatch) distribute() {
	if j.calls[0].Shared == (Shared{}) {
		j.calls[0].cmd = j.cmd
		return
	}
	results, err := j.cmd.Slice()
	if err == nil && len(results) != len(j.calls) {
		err = fmt.Errorf("a script returned %d results for %d calls", len(results), len(j.calls))
	}
	for i, c := range j.calls {
		if err != nil {
			c.cmd = redis.NewCmdResult(nil, err)
			continue
		}
		c.cmd = redis.NewCmdResult(results[i], nil)
	}
}

// Run runs a script like script.Run, in a shared pipeline. Each call keeps its own
// context.
func (p *Pipeliner) Run(ctx context.Context, script *redis.Script, keys []string, args ...any) *redis.Cmd {
	return p.Do(ctx, &Call{Script: script, Keys: keys, Args: args})
}

// Do runs a call that the caller has made: with lines that are written before its
// script runs, or together with others.
func (p *Pipeliner) Do(ctx context.Context, c *Call) *redis.Cmd {
	c.done = make(chan struct{})
	p.mu.Lock()
	if p.busy < maxInFlight {
		p.busy++
		p.mu.Unlock()
		if c.First == nil && c.Shared == (Shared{}) {
			c.cmd = c.Script.Run(ctx, p.client, c.Keys, c.Args...)
		} else {
			p.exchange(ctx, []*Call{c})
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

// Waiting returns how many calls wait for a pipeline.
func (p *Pipeliner) Waiting() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.waiting)
}

// next sends the waiting calls, or becomes idle again.
func (p *Pipeliner) next(ctx context.Context) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := min(len(p.waiting), maxPipelined)
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
func (p *Pipeliner) send(ctx context.Context, batch []*Call) {
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
func (p *Pipeliner) exchange(ctx context.Context, batch []*Call) {
	pipe := p.client.Pipeline()
	lines := make([][]*redis.StringCmd, len(batch))
	for i, c := range batch {
		lines[i] = c.First.addTo(ctx, pipe)
	}
	if _, cluster := p.client.(*redis.ClusterClient); cluster && pipe.Len() > 0 {
		_, _ = pipe.Exec(ctx) // each command has its own error
	}
	var scripts []*scriptBatch
	for _, c := range batch {
		if i := slices.IndexFunc(scripts, func(j *scriptBatch) bool { return j.accepts(c) }); i >= 0 {
			scripts[i].calls = append(scripts[i].calls, c)
			continue
		}
		scripts = append(scripts, &scriptBatch{calls: []*Call{c}})
	}
	for _, j := range scripts {
		keys, args := j.merged()
		j.cmd = j.calls[0].Script.EvalSha(ctx, pipe, keys, args...)
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	for i, c := range batch {
		c.First.readResults(lines[i])
	}
	for _, j := range scripts {
		if redis.HasErrorPrefix(j.cmd.Err(), "NOSCRIPT") {
			keys, args := j.merged()
			j.cmd = j.calls[0].Script.Run(ctx, p.client, keys, args...)
		}
		j.distribute()
	}
}
