package interaction

import (
	"context"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/nexus-continuum/nexus/job"
)

const (
	// tallyEvery limits how long a count of answers waits before it is written to
	// Redis. A process that dies may lose counts, but no lines of the log.
	tallyEvery = 250 * time.Millisecond
	// trimEvery is how many lines this process writes before it cuts the log to its
	// limits.
	trimEvery = 256
)

// tally is what accompanies the lines of the log. It is written in batches, outside the
// path of the answers.
type tally struct {
	mu    sync.Mutex
	batch []job.Interaction // logged, and not counted yet
	lines int64             // since the log was cut
	due   bool              // a goroutine will write it
}

// written records an interaction whose lines were written.
func (log *Log) written(it *job.Interaction) {
	t := &log.tally
	t.mu.Lock()
	defer t.mu.Unlock()
	t.batch = append(t.batch, job.Interaction{Responded: it.Responded, Lessons: it.Lessons, At: it.At})
	t.lines++
	if life := log.life.Context(); !t.due && life != nil && life.Err() == nil {
		t.due = true
		log.life.Go(log.writeTally)
	}
}

// writeTally collects and writes a batch after a while, or when the log stops.
func (log *Log) writeTally(ctx context.Context) {
	rest := time.NewTimer(tallyEvery)
	defer rest.Stop()
	select {
	case <-rest.C:
	case <-ctx.Done():
	}
	ctx = context.WithoutCancel(ctx)
	t := &log.tally
	t.mu.Lock()
	batch, cut := t.batch, t.lines >= min(trimEvery, max(log.opt.Length/10, 1))
	if cut {
		t.lines = 0
	}
	t.batch, t.due = nil, false
	t.mu.Unlock()
	rctx, cancel := log.withTimeout(ctx)
	defer cancel()
	_, err := log.redis.Pipelined(rctx, func(pipe redis.Pipeliner) error {
		log.countHits(rctx, pipe, batch)
		return nil
	})
	if err == nil && cut {
		err = log.trim(ctx)
	}
	if err != nil {
		log.opt.Log.Debug("what was answered could not be counted", "answers", len(batch), "error", err)
	}
}
