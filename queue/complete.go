package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"slices"
	"strconv"
	"time"

	"github.com/nexus-continuum/nexus/internal/lifecycle"
	"github.com/nexus-continuum/nexus/internal/pipeline"
	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/queue/packing"
	"github.com/nexus-continuum/nexus/queue/reply"
)

// begin marks a recorded job as running. If stop is true, the job must not run, and o,
// if not nil, says how to end it.
func (s *Server) begin(ctx context.Context, t *Task) (o *outcome, stop bool) {
	t.recorded.Store(true)
	for rest := 20 * time.Millisecond; ; rest = min(2*rest, time.Second) {
		verdict, attempt, err := s.tryBegin(ctx, t.Spec.ID)
		switch {
		case err != nil:
			// Redis is unavailable. The task stays ours. Wait rather than run a job
			// that may have been canceled.
			s.q.opt.Log.Warn("a job could not be begun", "job", t.Spec.ID, "error", err)
			if !lifecycle.Sleep(ctx, rest) {
				o := judge(nil, err, endedBy(ctx), 1, 1)
				return &o, true
			}
			continue
		case verdict == "lost":
			s.q.opt.Log.Debug("a job is not begun: it is no longer this worker's", "job", t.Spec.ID)
			return nil, true
		case verdict == "final":
			return &outcome{state: job.StateSucceeded}, true // acknowledge; the record stays as it is
		case verdict == "canceled":
			return &outcome{state: job.StateCanceled, err: canceledError()}, true
		case verdict == "none":
			t.recorded.Store(t.Spec.ReplyTo == "")
		}
		t.Attempt = max(attempt, 1)
		return nil, false
	}
}

func (s *Server) tryBegin(ctx context.Context, id string) (verdict string, attempt int, err error) {
	ctx, cancel := s.q.withTimeout(ctx)
	defer cancel()
	got, err := s.q.pipeliner.Run(ctx, s.q.scripts.start, []string{s.keys.record(id), s.keys.task(id)}, s.keys.own, id, s.id).Slice()
	if err != nil {
		return "", 0, err
	}
	verdict, _ = got[0].(string)
	n, _ := got[1].(int64)
	return verdict, int(n), nil
}

// run calls the handler. A panic fails only this job.
func (s *Server) run(ctx context.Context, t *Task) (result any, err error) {
	defer func() {
		if x := recover(); x != nil {
			s.q.opt.Log.Error("a handler panicked", "job", t.Spec.ID, "kind", t.Spec.Kind, "panic", x, "stack", string(debug.Stack()))
			result, err = nil, fmt.Errorf("%w: %v", errPanic, x)
		}
	}()
	for attempt := 1; ; attempt++ {
		result, err = s.handler(ctx, t)
		// A job with a waiting caller is retried at once, without a rest.
		again := judge(result, err, endedBy(ctx), attempt, s.q.opt.MaxAttempts)
		if t.recorded.Load() || again.state != job.StateQueued || again.refund {
			return result, err
		}
		t.Attempt = attempt + 1
		if !lifecycle.Sleep(ctx, time.Duration(attempt)*10*time.Millisecond) {
			return result, err
		}
	}
}

// completeFor limits how long a stopping worker tries to write the end of a job. After
// that the job runs again elsewhere.
const completeFor = 3 * time.Second

// complete writes the outcome of a job. It retries as often as needed, even after ctx
// has ended.
func (s *Server) complete(ctx context.Context, t *Task, began time.Time, o outcome) {
	ctx = context.WithoutCancel(ctx)
	t.recordOutcome(o)
	progress := t.end()
	lines := t.writesBefore(o)
	var tooLate <-chan time.Time
	quit := s.quit.Done()
	for rest := 20 * time.Millisecond; ; rest = min(2*rest, time.Second) {
		verdict, err := s.write(ctx, t, began, progress, lines, o)
		if err == nil {
			switch verdict {
			case "canceled":
				o = outcome{state: job.StateCanceled, err: canceledError()}
				continue
			case "lost":
				s.q.opt.Log.Debug("a job's end was not written: it is no longer this worker's", "job", t.Spec.ID)
			}
			return
		}
		s.q.opt.Log.Warn("the end of a job could not be written yet", "job", t.Spec.ID, "error", err)
		timer := time.NewTimer(rest)
		select {
		case <-timer.C:
		case <-quit:
			quit = nil
			tooLate = time.After(completeFor)
		case <-tooLate:
			return
		}
		timer.Stop()
	}
}

func (s *Server) write(ctx context.Context, t *Task, began time.Time, progress []byte, lines *pipeline.Writes, o outcome) (string, error) {
	ctx, cancel := s.q.withTimeout(ctx)
	defer cancel()
	if o.state == job.StateQueued {
		return s.writeRequeue(ctx, t.Spec.ID, progress, o)
	}
	e := ending{q: s.q, keys: s.keys, owner: s.id}
	return e.finish(ctx, t.Spec, began, progress, lines, o)
}

// ending writes the end of a job on behalf of its owner.
type ending struct {
	q     *Queue
	keys  laneKeys
	owner string
}

// finish returns the reply of the scripts: "ok", or "lost" if another process owns the
// job. lines, if not nil, are written first.
func (e ending) finish(ctx context.Context, spec job.Spec, began time.Time, progress []byte, lines *pipeline.Writes, o outcome) (string, error) {
	var result, fault []byte
	if o.state == job.StateSucceeded && o.result != nil {
		b, err := json.Marshal(o.result)
		if err != nil {
			e.q.opt.Log.Error("a result cannot be encoded", "job", spec.ID, "error", err)
			o = outcome{state: job.StateFailed, err: job.AsError(err)}
		}
		result = b
	}
	if o.err != nil {
		b, err := json.Marshal(o.err)
		if err != nil {
			return "", err
		}
		fault = b
	}
	now, k := e.q.now(), e.keys
	stats := []string{k.day(k.processed(), now), k.processed(), k.day(k.failed(), now), k.failed()}
	statsEnd := now.AddDate(0, 0, 90).Unix()
	if spec.ReplyTo != "" {
		body := reply.Encode(spec.ID, reply.Answer, result)
		if fault != nil {
			body = reply.Encode(spec.ID, reply.Error, fault)
		}
		verdict, err := e.q.pipeliner.Do(ctx, &pipeline.Call{
			First: lines, Script: e.q.scripts.answer,
			Keys: slices.Concat([]string{k.active(), k.lease(), k.task(spec.ID)}, stats, []string{k.record(spec.ID)}),
			Args: []any{spec.ID, e.owner, string(o.state), k.reply(spec.ReplyTo), body, statsEnd},
		}).Text()
		if err != nil || verdict != "record" {
			return verdict, err
		}
	}
	var ran time.Duration
	if !began.IsZero() {
		ran = max(0, time.Since(began))
	}
	return e.q.pipeliner.Do(ctx, &pipeline.Call{
		First: lines, Script: e.q.scripts.finish, Shared: pipeline.Shared{Keys: 6, Args: 3},
		Keys: slices.Concat([]string{k.active(), k.lease()}, stats, []string{k.task(spec.ID), k.record(spec.ID)}),
		Args: []any{e.owner, k.own, statsEnd, spec.ID, string(o.state), ran.Milliseconds(), packing.Pack(spec.ID, result), fault, progress},
	}).Text()
}

func (s *Server) writeRequeue(ctx context.Context, id string, progress []byte, o outcome) (string, error) {
	rest := "0"
	if o.after > 0 {
		rest = strconv.FormatFloat(o.after.Seconds(), 'f', 3, 64)
	}
	refund := "0"
	if o.refund {
		refund = "1"
	}
	k := s.keys
	return s.q.scripts.requeue.Run(ctx, s.q.redis,
		[]string{k.active(), k.lease(), k.task(id), k.pending(), k.retry()},
		k.own, id, s.id, rest, o.why, refund, progress).Text()
}
