package queue

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/redis/go-redis/v9"

	"github.com/nexus-continuum/nexus/job"
)

// maxUnfinished limits how many jobs of each state UnfinishedDatasets reads.
const maxUnfinished = 1000

// UnfinishedDatasets lists the datasets made before dataset before whose train jobs have not ended.
// Those datasets must be learned first. The cost does not depend on how many were
// already learned. Errors: CodeUnavailable.
func (q *Queue) UnfinishedDatasets(ctx context.Context, before string) ([]string, error) {
	ctx, cancel := q.withTimeout(ctx)
	defer cancel()
	var ids []string
	for _, shard := range q.shards.of(job.LaneTrain) {
		k := q.keys(shard)
		pipe := q.redis.Pipeline()
		var lists []*redis.StringSliceCmd
		for _, state := range []job.State{job.StateQueued, job.StateRunning} {
			lists = append(lists, pipe.ZRangeByLex(ctx, k.stateIndex(state), &redis.ZRangeBy{Min: "-", Max: "(" + before, Count: maxUnfinished}))
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return nil, unavailable("list the lessons that are to come", err)
		}
		pipe = q.redis.Pipeline()
		var specs []*redis.StringCmd
		for _, list := range lists {
			for _, id := range list.Val() {
				specs = append(specs, pipe.HGet(ctx, k.record(id), "spec"))
			}
		}
		if len(specs) == 0 {
			continue
		}
		if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
			return nil, unavailable("list the lessons that are to come", err)
		}
		for _, cmd := range specs {
			var spec job.Spec
			if err := json.Unmarshal([]byte(cmd.Val()), &spec); err != nil {
				continue // it has ended since it was listed
			}
			if spec.Dataset != "" && spec.Dataset == spec.ID {
				ids = append(ids, spec.Dataset)
			}
		}
	}
	return ids, nil
}
