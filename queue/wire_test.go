package queue

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// asynqScripts are the digests of asynq v0.26.0's scripts, by the shape that
// this package tells them by. When this test fails, asynq has changed: compare
// its internal/rdb with our lua/job/{enqueue,submit,dequeue,answer,finish,requeue}
// before writing the new digests here.
var asynqScripts = map[shape]string{
	shapeEnqueue: "98d28b42650870a743450ffda9791e9e19c6991b", // enqueueCmd
	shapeDequeue: "a8153319360adc71cdc370107f8ab9786f204765", // dequeueCmd
	shapeDone:    "1241eaa1c73409baaf1fea0c08d203a4911bda15", // doneCmd
	shapeRetry:   "65fa409c88198a681c53e0892d8276eca0145694", // retryCmd
	shapeArchive: "9c3b1eb9947ce2ee5304ac013a0a365ec364fd2d", // archiveCmd
	shapeExpired: "16988a462595f6ee317be300951533b004f27f5c", // listLeaseExpiredCmd
	shapeForward: "522b1a6ae66fe79ea2f24a9af58798ab71879035", // forwardCmd
}

// recorder notes what asynq runs.
type recorder struct {
	redis.UniversalClient
	mu   sync.Mutex
	seen map[shape]string
	note chan struct{}
}

func (r *recorder) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	if s := shapeOf(keys, args); s != shapeOther {
		r.mu.Lock()
		r.seen[s] = sha
		r.mu.Unlock()
		select {
		case r.note <- struct{}{}:
		default:
		}
	}
	return r.UniversalClient.EvalSha(ctx, sha, keys, args...)
}

func (r *recorder) shapes() map[shape]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.seen)
}

// TestAsynqShape runs plain asynq through its life and holds what it asks of
// Redis against what this package stands in for.
func TestAsynqShape(t *testing.T) {
	t.Parallel()
	b := setup(t, "embedded", Options{})
	r := &recorder{UniversalClient: b.provided.Client(), seen: map[shape]string{}, note: make(chan struct{}, 1)}
	client := asynq.NewClientFromRedisClient(r)
	for _, kind := range []string{"succeed", "retry", "archive"} {
		if _, err := client.Enqueue(asynq.NewTask(kind, nil)); err != nil {
			t.Fatal(err)
		}
	}
	s := asynq.NewServerFromRedisClient(r, asynq.Config{
		Queues: map[string]int{"default": 1}, TaskCheckInterval: time.Millisecond,
		DelayedTaskCheckInterval: 10 * time.Millisecond, Logger: asynqLog{testLog(t)}, LogLevel: asynq.ErrorLevel,
	})
	err := s.Start(asynq.HandlerFunc(func(_ context.Context, task *asynq.Task) error {
		switch task.Type() {
		case "retry":
			return errors.New("again")
		case "archive":
			return asynq.SkipRetry
		}
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Shutdown()
	limit := time.After(10 * time.Second)
	for len(r.shapes()) < len(asynqScripts) {
		select {
		case <-r.note:
		case <-limit:
			t.Fatalf("of asynq's scripts only %v were recognised", slices.Collect(maps.Keys(r.shapes())))
		}
	}
	for s, sha := range r.shapes() {
		if asynqScripts[s] != sha {
			t.Errorf("asynq's script of shape %d has digest %s, want %s", s, sha, asynqScripts[s])
		}
	}
}
