package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/nexus-continuum/nexus/internal/lifecycle"
	"github.com/nexus-continuum/nexus/job"
)

// reply is a worker's reply to a waiting caller, still encoded. One goroutine reads the
// replies of all callers, and each caller decodes its own.
type reply struct {
	id   string
	kind byte
	body string
	err  *job.Error // in place of kind and body: what kept the reply away
}

// A reply consists of the id, a letter for the kind of content, and JSON.
const (
	idLength    = 36
	replyAnswer = 'a'
	replyError  = 'e'
)

func encodeReply(id string, kind byte, body []byte) []byte {
	b := make([]byte, 0, idLength+1+len(body))
	b = append(b, id...)
	b = append(b, kind)
	return append(b, body...)
}

func parseReply(s string) (reply, error) {
	if len(s) < idLength+1 {
		return reply{}, fmt.Errorf("a reply of %d bytes: too few", len(s))
	}
	return reply{id: s[:idLength], kind: s[idLength], body: s[idLength+1:]}, nil
}

// decode returns the answer, or the error with which the job ended.
func (r reply) decode() (*job.Answer, error) {
	if r.err != nil {
		return nil, r.err
	}
	var err error
	switch r.kind {
	case replyAnswer:
		a := &job.Answer{}
		if err = json.Unmarshal([]byte(r.body), a); err == nil {
			return a, nil
		}
	case replyError:
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
const blockFor = 2 * time.Second

// replies assigns the replies on one list of this process to the waiting callers.
type replies struct {
	q     *Queue
	key   string
	begin sync.Once

	notifier notifier // rings when somebody begins to wait

	mu      sync.Mutex
	reading bool
	waiting map[string]chan reply
}

func newReplies(q *Queue, shard job.Lane) *replies {
	return &replies{q: q, key: q.keys(shard).reply(q.id), notifier: newNotifier(), waiting: map[string]chan reply{}}
}

// expect registers a caller. The returned channel can take one reply without blocking.
func (r *replies) expect(id string) (<-chan reply, error) {
	r.begin.Do(func() { r.q.spawn(r.read) })
	c := make(chan reply, 1)
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, taken := r.waiting[id]; taken {
		return nil, job.Errorf(job.CodeConflict, "job %s is being waited for already", id)
	}
	r.waiting[id] = c
	if len(r.waiting) == 1 {
		r.notifier.notify()
	}
	return c, nil
}

func (r *replies) forget(id string) {
	r.mu.Lock()
	delete(r.waiting, id)
	r.mu.Unlock()
}

// deliver passes a reply to its caller, if it still waits, and returns how many other
// callers wait.
func (r *replies) deliver(rep reply) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.waiting[rep.id]; c != nil {
		delete(r.waiting, rep.id)
		c <- rep
	}
	return len(r.waiting)
}

// failAll sends the same error to every caller.
func (r *replies) failAll(e *job.Error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, c := range r.waiting {
		delete(r.waiting, id)
		c <- reply{id: id, err: e}
	}
}

// read is the only reader of the list. It blocks for one reply and then reads all
// others that are there; miniredis has no BLMPOP.
func (r *replies) read(ctx context.Context) {
	r.mu.Lock()
	r.reading = true
	r.mu.Unlock()
	defer r.failAll(unavailable("wait for a reply", errors.New("this process is stopping")))
	var lost time.Time // since when Redis does not answer
	for ctx.Err() == nil {
		got, err := r.q.redis.BLPop(ctx, blockFor, r.key).Result()
		switch {
		case err == nil:
			lost = time.Time{}
			for more := r.take(got[1:]); more; {
				batch, err := r.q.redis.LPopCount(ctx, r.key, 256).Result()
				if err != nil {
					break // nothing, or the next BLPOP meets the same fault
				}
				more = r.take(batch)
			}
		case errors.Is(err, redis.Nil):
			lost = time.Time{}
			r.park(ctx)
		default:
			if lost.IsZero() {
				lost = time.Now()
			} else if time.Since(lost) > r.q.opt.Timeout {
				r.failAll(unavailable("wait for a reply", err))
			}
			lifecycle.Sleep(ctx, 50*time.Millisecond)
		}
	}
}

// park rests while no caller waits, so that an idle process costs Redis nothing.
func (r *replies) park(ctx context.Context) {
	for {
		r.mu.Lock()
		waiting := len(r.waiting)
		r.mu.Unlock()
		if waiting > 0 {
			return
		}
		select {
		case <-r.notifier:
		case <-ctx.Done():
			return
		}
	}
}

// stop ends the blocking read with an empty reply; a context cannot end it.
func (r *replies) stop(ctx context.Context) {
	r.mu.Lock()
	reading := r.reading
	r.mu.Unlock()
	if !reading {
		return
	}
	ctx, cancel := r.q.withTimeout(ctx)
	defer cancel()
	pipe := r.q.redis.Pipeline()
	pipe.RPush(ctx, r.key, "")
	pipe.PExpire(ctx, r.key, 2*blockFor)
	_, _ = pipe.Exec(ctx) // without Redis the read has failed already
}

// take delivers a batch and reports whether other callers still wait.
func (r *replies) take(batch []string) (more bool) {
	for _, s := range batch {
		if s == "" {
			continue
		}
		rep, err := parseReply(s)
		if err != nil {
			r.q.opt.Log.Error("a reply cannot be read", "error", err)
			continue
		}
		more = r.deliver(rep) > 0
	}
	return more
}
