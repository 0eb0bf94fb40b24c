// Package reply carries the answers of workers to callers that wait. Each process has one
// list in Redis for its replies, in each shard of a lane.
package reply

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/nexus-continuum/nexus/internal/lifecycle"
	"github.com/nexus-continuum/nexus/internal/redisfault"
	"github.com/nexus-continuum/nexus/job"
)

// Reply is a worker's reply to a waiting caller, still encoded. One goroutine reads the
// replies of all callers, and each caller decodes its own.
type Reply struct {
	id   string
	kind byte
	body string
	err  *job.Error // in place of kind and body: what kept the reply away
}

// Kinds of content. A reply consists of the id, one of these letters, and JSON.
const (
	Answer = 'a' // a job.Answer
	Error  = 'e' // a job.Error
)

// Encode returns the form of a reply in the list.
func Encode(id string, kind byte, body []byte) []byte {
	b := make([]byte, 0, job.IDLength+1+len(body))
	b = append(b, id...)
	b = append(b, kind)
	return append(b, body...)
}

func parse(s string) (Reply, error) {
	if len(s) < job.IDLength+1 {
		return Reply{}, fmt.Errorf("a reply of %d bytes: too few", len(s))
	}
	return Reply{id: s[:job.IDLength], kind: s[job.IDLength], body: s[job.IDLength+1:]}, nil
}

// Decode returns the answer, or the error with which the job ended.
func (r Reply) Decode() (*job.Answer, error) {
	if r.err != nil {
		return nil, r.err
	}
	var err error
	switch r.kind {
	case Answer:
		a := &job.Answer{}
		if err = json.Unmarshal([]byte(r.body), a); err == nil {
			return a, nil
		}
	case Error:
		e := &job.Error{}
		if err = json.Unmarshal([]byte(r.body), e); err == nil {
			return nil, e
		}
	default:
		err = fmt.Errorf("kind %q is unknown", r.kind)
	}
	return nil, fmt.Errorf("decode the reply to %s: %w", r.id, err)
}

// blockFor is how long the reader of replies blocks. stop ends the block early.
const blockFor = time.Second

// Options configure a List. All fields are required.
type Options struct {
	Redis   redis.UniversalClient
	Key     string        // of the list
	Tasks   string        // what precedes an id in the key of its task
	Timeout time.Duration // without Redis after which callers get an error
	Log     *slog.Logger
}

// List assigns the replies on one list to the waiting callers. It reads from the first
// Expect until Stop.
type List struct {
	opt  Options
	call chan struct{} // a latch: a caller begins to wait

	life   context.Context // ends with Stop
	end    context.CancelFunc
	reader sync.WaitGroup

	mu      sync.Mutex
	reading bool
	stopped bool
	waiting map[string]chan Reply
	queued  map[string]queued // of those that wait, the ones that have a task
}

// New makes a List. It sends nothing to Redis before the first use.
func New(opt Options) *List {
	l := &List{opt: opt, call: make(chan struct{}, 1), waiting: map[string]chan Reply{}, queued: map[string]queued{}}
	l.life, l.end = context.WithCancel(context.Background())
	return l
}

// Expect registers a caller. The returned channel can take one reply without blocking.
// Errors: CodeConflict.
func (l *List) Expect(id string) (<-chan Reply, error) {
	c := make(chan Reply, 1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.reading && !l.stopped {
		l.reading = true
		l.reader.Go(l.read)
	}
	if _, taken := l.waiting[id]; taken {
		return nil, job.Errorf(job.CodeConflict, "job %s is being waited for already", id)
	}
	l.waiting[id] = c
	if len(l.waiting) == 1 {
		select {
		case l.call <- struct{}{}:
		default:
		}
	}
	return c, nil
}

// Forget ends the wait of a caller.
func (l *List) Forget(id string) {
	l.mu.Lock()
	l.remove(id)
	l.mu.Unlock()
}

// deliver passes a reply to its caller, if it still waits, and returns how many other
// callers wait.
func (l *List) deliver(rep Reply) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c := l.waiting[rep.id]; c != nil {
		l.remove(rep.id)
		c <- rep
	}
	return len(l.waiting)
}

// failAll sends the same error to every caller.
func (l *List) failAll(e *job.Error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, c := range l.waiting {
		l.remove(id)
		c <- Reply{id: id, err: e}
	}
}

// read is the only reader of the list. It blocks for one reply and then reads all
// others that are there; miniredis has no BLMPOP.
func (l *List) read() {
	ctx := l.life
	defer l.failAll(redisfault.Unavailable("wait for a reply", errors.New("this process is stopping")))
	var lost time.Time // since when Redis does not answer
	checked := time.Now()
	for ctx.Err() == nil {
		if time.Since(checked) >= taskCheckInterval {
			l.failTaskless(ctx)
			checked = time.Now()
		}
		got, err := l.opt.Redis.BLPop(ctx, blockFor, l.opt.Key).Result()
		switch {
		case err == nil:
			lost = time.Time{}
			for more := l.take(got[1:]); more; {
				batch, err := l.opt.Redis.LPopCount(ctx, l.opt.Key, 256).Result()
				if err != nil {
					break // nothing, or the next BLPOP meets the same fault
				}
				more = l.take(batch)
			}
		case errors.Is(err, redis.Nil):
			lost = time.Time{}
			l.park(ctx)
		default:
			if lost.IsZero() {
				lost = time.Now()
			} else if time.Since(lost) > l.opt.Timeout {
				l.failAll(redisfault.Unavailable("wait for a reply", err))
			}
			lifecycle.Sleep(ctx, 50*time.Millisecond)
		}
	}
}

// park rests while no caller waits, so that an idle process costs Redis nothing.
func (l *List) park(ctx context.Context) {
	for {
		l.mu.Lock()
		waiting := len(l.waiting)
		l.mu.Unlock()
		if waiting > 0 {
			return
		}
		select {
		case <-l.call:
		case <-ctx.Done():
			return
		}
	}
}

// Stop fails the callers that wait and ends the reading. It ends the blocking read with
// an empty reply, because a context cannot end it.
func (l *List) Stop(ctx context.Context) error {
	l.end()
	l.mu.Lock()
	l.stopped = true
	reading := l.reading
	l.mu.Unlock()
	if !reading {
		return nil
	}
	rctx, cancel := context.WithTimeout(ctx, l.opt.Timeout)
	defer cancel()
	pipe := l.opt.Redis.Pipeline()
	pipe.RPush(rctx, l.opt.Key, "")
	pipe.PExpire(rctx, l.opt.Key, 2*blockFor)
	_, _ = pipe.Exec(rctx) // without Redis the read has failed already
	ended := make(chan struct{})
	go func() { l.reader.Wait(); close(ended) }()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop the reader of replies: %w", ctx.Err())
	}
}

// take delivers a batch and reports whether other callers still wait.
func (l *List) take(batch []string) (more bool) {
	for _, s := range batch {
		if s == "" {
			continue
		}
		rep, err := parse(s)
		if err != nil {
			l.opt.Log.Error("a reply cannot be read", "error", err)
			continue
		}
		more = l.deliver(rep) > 0
	}
	return more
}
