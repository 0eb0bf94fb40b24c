package queue

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/nexus-continuum/nexus/job"
)

// rollCallFor bounds how long RollCall waits for processes that do not answer.
const rollCallFor = 100 * time.Millisecond

// rollCalls are those that this process has under way.
type rollCalls struct {
	listen sync.Once
	mu     sync.Mutex
	open   map[string]chan struct{} // by call; holds one for each process that answered
}

func (q *Queue) rollChannel() string { return q.shared("channel", "rollcall") }

// rollReplies is the channel on which a caller hears the answers.
func (q *Queue) rollReplies(caller string) string { return q.shared("channel", "rollcall:"+caller) }

// RollCall has every process that answers roll calls beat anew, and returns when they
// have: what they counted until now is then in their beats. It does not wait long for
// one that is silent. known is how many processes there are said to be, which counts
// only on a Redis Cluster: its nodes do not tell how many hear a message.
func (q *Queue) RollCall(ctx context.Context, known int) {
	r := &q.rolls
	r.listen.Do(func() { // until the queue stops
		q.subscriber.on(context.WithoutCancel(ctx), q.rollReplies(q.id), func(call string, _ bool) { r.heard(call) })
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
	n, err := q.redis.Publish(ctx, q.rollChannel(), q.id+" "+call).Result()
	if err != nil {
		return
	}
	if _, cluster := q.redis.(*redis.ClusterClient); cluster {
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

func (r *rollCalls) heard(call string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.open[call]; c != nil {
		select {
		case c <- struct{}{}:
		default: // nobody counts so far
		}
	}
}

// OnRollCall calls beat for each roll call until the queue stops, and answers the
// caller when it returns. Calls that come while it runs are answered together after
// its next run. This process's own calls need no beat: it knows itself.
func (q *Queue) OnRollCall(ctx context.Context, beat func(ctx context.Context)) {
	var mu sync.Mutex
	var calls []string
	news := newNotifier()
	off := q.subscriber.on(ctx, q.rollChannel(), func(msg string, renewed bool) {
		if renewed {
			return
		}
		if caller, call, _ := strings.Cut(msg, " "); caller == q.id {
			q.rolls.heard(call)
			return
		}
		mu.Lock()
		calls = append(calls, msg)
		mu.Unlock()
		news.notify()
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
			pctx, cancel := q.patience(ctx)
			pipe := q.redis.Pipeline()
			for _, msg := range due {
				caller, call, _ := strings.Cut(msg, " ")
				pipe.Publish(pctx, q.rollReplies(caller), call)
			}
			_, _ = pipe.Exec(pctx) // a caller that hears nothing goes on by itself
			cancel()
		}
	}
	if !q.spawn(answer) {
		off()
	}
}
