package queue

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/nexus-continuum/nexus/internal/lifecycle"
	"github.com/nexus-continuum/nexus/internal/pipeline"
)

// asynq is given clients that inspect the scripts it runs. The first measurements used
// AddHook. A wrapped client does the same for one server only, works on every kind of
// client (single, Sentinel, Cluster), and leaves nothing behind on the shared client
// when the server stops.
//
// Scripts are recognised by the shape of their keys and arguments. TestAsynqShape
// checks that shape against the asynq version in go.mod.

type shape int

const (
	shapeOther   shape = iota
	shapeEnqueue       // task, pending | msg, id, now
	shapeDequeue       // pending, paused, active, lease | lease end, task prefix
	shapeDone          // active, lease, task, processed:day, processed[, unique]
	shapeRetry         // task, active, lease, retry, …
	shapeArchive       // task, active, lease, archived, …
	shapeExpired       // lease | cutoff, task prefix
	shapeForward       // scheduled or retry, pending | …
)

func shapeOf(keys []string, args []any) shape {
	has := func(i int, suffix string) bool { return i < len(keys) && strings.HasSuffix(keys[i], suffix) }
	isTask := func(i int) bool { return i < len(keys) && strings.Contains(keys[i], "}:t:") }
	switch {
	case len(keys) == 4 && len(args) == 2 && has(0, ":pending") && has(1, ":paused") && has(2, ":active") && has(3, ":lease"):
		return shapeDequeue
	case len(keys) == 2 && len(args) == 3 && isTask(0) && has(1, ":pending"):
		return shapeEnqueue
	case len(keys) >= 5 && len(args) == 3 && has(0, ":active") && has(1, ":lease") && isTask(2):
		return shapeDone
	case len(keys) == 8 && isTask(0) && has(1, ":active") && has(3, ":retry"):
		return shapeRetry
	case len(keys) == 9 && isTask(0) && has(1, ":active") && has(3, ":archived"):
		return shapeArchive
	case len(keys) == 1 && len(args) == 2 && has(0, ":lease"):
		return shapeExpired
	case len(keys) == 2 && len(args) == 4 && has(1, ":pending"):
		return shapeForward
	}
	return shapeOther
}

// producerWire replaces asynq's enqueue with ours.
type producerWire struct {
	redis.UniversalClient
	pipeliner *pipeline.Pipeliner
}

// enqueueCall travels in the context from put to the wire and back, because asynq
// reduces the reply of Redis to a string.
type enqueueCall struct {
	script  *redis.Script
	batched bool  // the script takes several jobs: those of one prefix and bound, extra[:2]
	extra   []any // ARGV beside asynq's own
	verdict int64 // 1 stored, 0 known, or one of the refusals
	pending int64
	wait    time.Duration // that a job would have now before it begins
	rests   bool          // the lane is paused or held
	err     error
	done    bool // the wire saw the call
}

type enqueueKey struct{}

// EvalSha runs our enqueue instead of asynq's.
func (w *producerWire) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	call, ok := ctx.Value(enqueueKey{}).(*enqueueCall)
	if !ok || shapeOf(keys, args) != shapeEnqueue {
		return w.UniversalClient.EvalSha(ctx, sha, keys, args...)
	}
	call.done = true
	run := &pipeline.Call{Script: call.script}
	if call.batched {
		task, pending, msg, id := keys[0], keys[1], args[0], args[1]
		run.Shared = pipeline.Shared{Keys: 1, Args: 2}
		run.Keys, run.Args = []string{pending, task}, slices.Concat(call.extra[:2], []any{id, msg}, call.extra[2:])
	} else {
		active := strings.TrimSuffix(keys[1], "pending") + "active"
		run.Keys, run.Args = slices.Concat(keys, []string{active}), slices.Concat(args, call.extra)
	}
	got, err := w.pipeliner.Do(ctx, run).Int64Slice()
	if err != nil {
		call.err = err
		return redis.NewCmdResult(nil, err)
	}
	call.verdict, call.pending, call.wait = got[0], got[1], time.Duration(got[2])*time.Millisecond
	call.rests = len(got) > 3 && got[3] > 0
	return redis.NewCmdResult(int64(1), nil)
}

// serverWire is the client of one asynq.Server.
type serverWire struct {
	redis.UniversalClient
	server *Server
}

// EvalSha lets asynq dequeue (and waits for a notification if there is nothing). It
// skips asynq's own ends of jobs, because ours have already been written.
func (w *serverWire) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	switch shapeOf(keys, args) {
	case shapeDequeue:
		return w.server.dequeue(ctx, w.UniversalClient, keys, args)
	case shapeDone, shapeRetry, shapeArchive:
		return redis.NewCmdResult("OK", nil)
	case shapeExpired:
		// Crash recovery is ours: it needs no agreement of clocks, and it moves the
		// record too.
		return redis.NewCmdResult([]any{}, nil)
	case shapeForward:
		if strings.HasSuffix(keys[0], ":scheduled") {
			return redis.NewCmdResult(int64(0), nil) // nobody schedules here: jobs that rest are in retry
		}
		cmd := w.server.q.scripts.forward.Run(ctx, w.UniversalClient, keys, args[1], w.server.keys.own, "")
		if n, err := cmd.Int(); err == nil && n > 0 {
			w.server.wake.notify()
		}
		return cmd
	case shapeEnqueue, shapeOther:
	}
	cmd := w.UniversalClient.EvalSha(ctx, sha, keys, args...)
	if _, refused := errors.AsType[redis.Error](cmd.Err()); cmd.Err() != nil && !refused {
		lifecycle.Sleep(w.server.quit, 20*time.Millisecond) //nolint:contextcheck // until the server quits; asynq tries again at once
	}
	return cmd
}
