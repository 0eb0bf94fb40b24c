package scheduler

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/nexus-continuum/nexus/internal/redisfault"
)

// claimTimeout limits the claim of one run.
const claimTimeout = 5 * time.Second

// claimRun claims one run of a periodic task. It calls due with the time of the last
// run, zero if there was none, and due decides whether the task should run. ok is false
// if the task is not due or if another process has claimed the run. The claim is a
// compare-and-swap, so exactly one of any number of schedulers gets it. Errors:
// CodeUnavailable.
func claimRun(ctx context.Context, client redis.UniversalClient, name string, now time.Time, due func(last time.Time) bool) (ok bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, claimTimeout)
	defer cancel()
	key := "nexus:{ticks}:" + name
	err = client.Watch(ctx, func(tx *redis.Tx) error {
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
			return p.Set(ctx, key, now.UnixMilli(), 0).Err()
		})
		return err
	}, key)
	if errors.Is(err, redis.TxFailedErr) {
		return false, nil // another was faster
	}
	if err != nil {
		return false, redisfault.Unavailable("claim a run of "+name, err)
	}
	return ok, nil
}
