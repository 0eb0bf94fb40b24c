package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// Tick claims one run of a periodic task; ok is false if another process has
// claimed it. last is when the task last ran, zero for never, and due decides
// whether it is to run again. The claim is made by compare-and-swap, so that of
// any number of schedulers one gets it.
func (q *Queue) Tick(ctx context.Context, name string, due func(last time.Time) bool) (ok bool, err error) {
	ctx, cancel := q.patience(ctx)
	defer cancel()
	key := q.shared("ticks", name)
	err = q.redis.Watch(ctx, func(tx *redis.Tx) error {
		ms, err := tx.Get(ctx, key).Int64()
		if err != nil && !errors.Is(err, redis.Nil) {
			return fmt.Errorf("read the last run of %s: %w", name, err)
		}
		var last time.Time
		if ms > 0 {
			last = time.UnixMilli(ms)
		}
		if ok = due(last); !ok {
			return nil
		}
		_, err = tx.TxPipelined(ctx, func(p redis.Pipeliner) error {
			return p.Set(ctx, key, q.now().UnixMilli(), 0).Err()
		})
		return err
	}, key)
	if errors.Is(err, redis.TxFailedErr) {
		return false, nil // another was faster
	}
	if err != nil {
		return false, unavailable("claim a run of "+name, err)
	}
	return ok, nil
}

// CleanUp drops what is past its time and that nothing else drops: the log of
// interactions and of refusals is cut where it grows, and so stays while nobody
// asks. It returns how many lines went.
func (q *Queue) CleanUp(ctx context.Context) (int64, error) {
	ctx, cancel := q.patience(ctx)
	defer cancel()
	oldest := millis(q.now().Add(-q.opt.LogRetention))
	var n int64
	keys := []string{q.logKey()}
	for _, l := range lists {
		keys = append(keys, q.listKey(l))
	}
	for _, key := range keys {
		cut, err := q.redis.XTrimMinID(ctx, key, oldest).Result()
		if err != nil {
			return n, unavailable("cut the log of interactions", err)
		}
		n += cut
	}
	return n, nil
}
