package presence

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/nexus-continuum/nexus/job"
)

// rollCallFor limits how long RollCall waits for processes that do not respond.
const rollCallFor = 100 * time.Millisecond

// rollCalls are the roll calls of this process that are in progress.
type rollCalls struct {
	listen sync.Once
	mu     sync.Mutex
	open   map[string]chan struct{} // by call; holds one for each process that answered
}

func (p *Presence) rollChannel() string { return p.key("channel", "rollcall") }

// rollReplies is the channel on which a caller receives the responses.
func (p *Presence) rollReplies(caller string) string { return p.key("channel", "rollcall:"+caller) }

// RollCall asks every process that answers roll calls to beat again. It returns when
// they have done so, and their beats then contain their counts up to now. It waits only
// briefly for a silent process. known is the expected number of processes. It matters
// only on a Redis Cluster, whose nodes do not report how many listeners receive a
// message.
func (p *Presence) RollCall(ctx context.Context, known int) {
	r := &p.rolls
	r.listen.Do(func() { // as long as the connection lasts
		p.opt.Listener.Listen(context.WithoutCancel(ctx), p.rollReplies(p.id), func(call string, _ bool) { r.countAnswer(call) })
	})
	call := job.NewID()
	answers := make(chan struct{}, 1024)
	r.mu.Lock()
	if r.open == nil {
		r.open = map[string]chan struct{}{}
	}
	r.open[call] = answers
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.open, call)
		r.mu.Unlock()
	}()
	ctx, cancel := context.WithTimeout(ctx, rollCallFor)
	defer cancel()
	n, err := p.redis.Publish(ctx, p.rollChannel(), p.id+" "+call).Result()
	if err != nil {
		return
	}
	if _, cluster := p.redis.(*redis.ClusterClient); cluster {
		n = int64(known)
	}
	for range n {
		select {
		case <-answers:
		case <-ctx.Done():
			return
		}
	}
}

func (r *rollCalls) countAnswer(call string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.open[call]; c != nil {
		select {
		case c <- struct{}{}:
		default: // nobody counts so far
		}
	}
}

// OnRollCall calls beat for each roll call until it stops. When beat returns, it
// responds to the caller. Roll calls that arrive while beat runs are answered together
// after its next run. Roll calls of this process need no beat, because it knows its own
// counts.
func (p *Presence) OnRollCall(ctx context.Context, beat func(ctx context.Context)) {
	var mu sync.Mutex
	var calls []string
	news := make(chan struct{}, 1)
	off := p.opt.Listener.Listen(ctx, p.rollChannel(), func(msg string, renewed bool) {
		if renewed {
			return
		}
		if caller, call, _ := strings.Cut(msg, " "); caller == p.id {
			p.rolls.countAnswer(call)
			return
		}
		mu.Lock()
		calls = append(calls, msg)
		mu.Unlock()
		select {
		case news <- struct{}{}:
		default: // it will look at all of them
		}
	})
	answer := func(life context.Context) {
		defer off()
		for {
			select {
			case <-news:
			case <-ctx.Done():
				return
			case <-life.Done():
				return
			}
			mu.Lock()
			due := calls
			calls = nil
			mu.Unlock()
			beat(ctx)
			pctx, cancel := p.withTimeout(ctx)
			pipe := p.redis.Pipeline()
			for _, msg := range due {
				caller, call, _ := strings.Cut(msg, " ")
				pipe.Publish(pctx, p.rollReplies(caller), call)
			}
			_, _ = pipe.Exec(pctx) // a caller that hears nothing goes on by itself
			cancel()
		}
	}
	p.life.Go(answer)
}
