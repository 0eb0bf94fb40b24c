package reply

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/nexus-continuum/nexus/job"
)

// The task of a prompt goes in the same step in which its reply comes. If it goes without
// a reply, nobody will answer: an operator deleted it, or Redis lost it. Its caller is
// told soon, and not at the end of the wait.

// taskCheckInterval is how often the tasks of waiting prompts are looked for. A reply may
// be on its way, so a caller is told after two checks in a row.
const taskCheckInterval = time.Second

// queued is a waiting prompt that has a task.
type queued struct {
	since  time.Time
	missed bool // by the last check
}

// Taskless returns the error of a prompt whose task is gone without a reply.
func Taskless() *job.Error {
	return job.Errorf(job.CodeUnavailable, "the prompt is gone from the queue: an operator deleted it in asynq's tools, or Redis lost it; ask again").After(time.Second)
}

// Queued notes that the prompt of a waiting caller has a task.
func (l *List) Queued(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting[id] != nil {
		l.queued[id] = queued{since: time.Now()}
	}
}

// failTaskless looks for the tasks of prompts that have waited for a while, and tells the
// callers of those that have none.
func (l *List) failTaskless(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, l.opt.Timeout)
	defer cancel()
	found := map[string]*redis.IntCmd{}
	pipe := l.opt.Redis.Pipeline()
	l.mu.Lock()
	for id, q := range l.queued {
		if time.Since(q.since) >= taskCheckInterval/2 {
			found[id] = pipe.Exists(ctx, l.opt.Tasks+id)
		}
	}
	l.mu.Unlock()
	if len(found) == 0 {
		return
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return // Redis is away; the next check asks again
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, n := range found {
		q, waits := l.queued[id]
		if c := l.waiting[id]; waits && n.Val() == 0 && q.missed {
			l.remove(id)
			c <- Reply{id: id, err: Taskless()}
		} else if waits {
			q.missed = n.Val() == 0
			l.queued[id] = q
		}
	}
}

// remove ends the wait of a caller. The caller of remove holds mu.
func (l *List) remove(id string) {
	delete(l.waiting, id)
	delete(l.queued, id)
}
