package queue

import (
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/trace"

	"github.com/nexus-continuum/nexus/internal/pipeline"
	"github.com/nexus-continuum/nexus/job"
)

// progressEvery limits how often a job's progress is written.
const progressEvery = 250 * time.Millisecond

// Task is a job while its handler runs.
type Task struct {
	Spec       job.Spec
	Attempt    int // from 1; a hand-back does not count
	EnqueuedAt time.Time

	s        *Server
	recorded atomic.Bool // it has a record, so far as is known
	cancel   context.CancelCauseFunc
	span     trace.Span // nil without tracing

	mu          sync.Mutex
	latest      []byte // progress as JSON, nil if none
	phase       string // of latest
	written     time.Time
	flush       *time.Timer // writes what was held back
	ended       bool
	writesFirst *pipeline.Writes // is written before the end; nil for nothing
}

// Progress reports how far the job is. Writes are throttled, but the last one is never
// lost, and a new phase is written at once. It returns an error if the job should stop.
// A problem with Redis is not a reason to stop.
func (t *Task) Progress(ctx context.Context, p job.Progress) error {
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	t.mu.Lock()
	t.latest = b
	rest := progressEvery - time.Since(t.written)
	now := t.recorded.Load() && !t.ended && (rest <= 0 || p.Phase != t.phase)
	t.phase = p.Phase
	switch {
	case now:
		t.written = time.Now()
		if t.flush != nil {
			t.flush.Stop()
			t.flush = nil
		}
	case t.recorded.Load() && !t.ended && t.flush == nil:
		t.flush = time.AfterFunc(rest, t.writeThrottled)
	}
	t.mu.Unlock()
	if now {
		t.write(ctx, b)
	}
	return endedBy(ctx)
}

// WriteAhead gives the task entries of streams that are written just before the end of
// the job, so that they are there when its answer is, even if this process ends. written
// is told whether Redis took them; it is not called when that is not known. A job that
// does not succeed writes nothing. A second call replaces the first.
func (t *Task) WriteAhead(entries []*redis.XAddArgs, written func(error)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.writesFirst = &pipeline.Writes{Entries: entries, Written: written}
}

// writesBefore returns what is written before an end; nil for nothing.
func (t *Task) writesBefore(o outcome) *pipeline.Writes {
	t.mu.Lock()
	defer t.mu.Unlock()
	if o.state != job.StateSucceeded {
		return nil
	}
	return t.writesFirst
}

func (t *Task) writeThrottled() {
	t.mu.Lock()
	t.flush = nil
	b, over := t.latest, t.ended
	t.written = time.Now()
	t.mu.Unlock()
	if !over {
		t.write(context.Background(), b)
	}
}

func (t *Task) write(ctx context.Context, b []byte) {
	ctx, cancel := t.s.q.withTimeout(context.WithoutCancel(ctx))
	defer cancel()
	k := t.s.keys
	flag, err := t.s.q.scripts.progress.Run(ctx, t.s.q.redis, []string{k.record(t.Spec.ID)}, k.own, t.Spec.ID, b).Text()
	if err != nil {
		t.s.q.opt.Log.Warn("progress could not be written", "job", t.Spec.ID, "error", err)
		return
	}
	if flag == "1" {
		t.cancel(ErrCanceled)
	}
}

// end stops the throttle and returns the last progress.
func (t *Task) end() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	if t.flush != nil {
		t.flush.Stop()
	}
	return t.latest
}
