package queue

import (
	"context"
	"errors"
	"fmt"
	"sort"

	"github.com/redis/go-redis/v9"

	"github.com/nexus-continuum/nexus/job"
)

// Filter says which jobs to list. Zero values mean all.
type Filter struct {
	Kind  job.Kind
	State job.State
	// Owner, if not nil, is whose jobs are listed.
	Owner  *string
	Cursor string // what Jobs returned as next; empty begins with the newest
	Limit  int    // 1 to 500; 50
}

// Jobs lists recorded jobs, newest first. next continues the list and is empty
// at its end. Errors: CodeInvalid (a filter's value), CodeUnavailable.
func (q *Queue) Jobs(ctx context.Context, f Filter) (jobs []job.Job, next string, err error) {
	if err := f.check(); err != nil {
		return nil, "", err
	}
	cursor := f.Cursor
	for {
		ids, found, err := q.listPage(ctx, f, cursor)
		if err != nil {
			return nil, "", unavailable("list jobs", err)
		}
		for i, id := range ids {
			if len(jobs) == f.Limit {
				return jobs, jobs[len(jobs)-1].ID, nil
			}
			cursor = id
			// One that has faded, or moved on, is left out; the index follows.
			if j := found[i]; j != nil && (f.State == "" || j.State == f.State) && (f.Owner == nil || j.Owner == *f.Owner) {
				jobs = append(jobs, *j)
			}
		}
		if len(ids) < f.Limit+1 {
			return jobs, "", nil
		}
	}
}

// listPage reads the next ids, and the job of each: nil for one that has faded.
func (q *Queue) listPage(ctx context.Context, f Filter, cursor string) ([]string, []*job.Job, error) {
	ctx, cancel := q.patience(ctx)
	defer cancel()
	ids, lanes, err := q.newest(ctx, f, cursor)
	if err != nil || len(ids) == 0 {
		return ids, nil, err
	}
	found, err := q.readMany(ctx, ids, lanes)
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		if err = q.loadRead(ctx); err == nil {
			found, err = q.readMany(ctx, ids, lanes)
		}
	}
	return ids, found, err
}

// readMany reads the records of ids in one exchange; lanes says where each is.
func (q *Queue) readMany(ctx context.Context, ids []string, lanes []job.Lane) ([]*job.Job, error) {
	pipe := q.redis.Pipeline()
	cmds := make([]*redis.Cmd, len(ids))
	for i, id := range ids {
		cmds[i] = q.askRecord(ctx, pipe, lanes[i], id)
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, err
	}
	found := make([]*job.Job, len(ids))
	for i, cmd := range cmds {
		reply, err := cmd.Slice()
		if errors.Is(err, redis.Nil) {
			continue
		}
		if err != nil {
			return nil, err
		}
		j, err := q.decodePlaced(ids[i], lanes[i], reply)
		if err != nil {
			return nil, err
		}
		found[i] = &j
	}
	return found, nil
}

func (f *Filter) check() error {
	if f.Kind != "" && !f.Kind.Valid() {
		return job.Errorf(job.CodeInvalid, "kind %q is unknown", f.Kind).On("kind")
	}
	if f.State != "" && !f.State.Valid() {
		return job.Errorf(job.CodeInvalid, "state %q is unknown", f.State).On("state")
	}
	if f.Cursor != "" {
		if _, err := job.IDTime(f.Cursor); err != nil {
			return job.Errorf(job.CodeInvalid, "the cursor is not one that a list returned").On("cursor")
		}
	}
	if f.Limit < 0 || f.Limit > 500 {
		return job.Errorf(job.CodeInvalid, "limit is %d; it must be between 1 and 500", f.Limit).On("limit")
	}
	if f.Limit == 0 {
		f.Limit = 50
	}
	return nil
}

// newest merges the lanes' indexes: up to one id more than the limit, with the
// lane of each. Ids are UUIDv7, so their order is that of time.
func (q *Queue) newest(ctx context.Context, f Filter, cursor string) ([]string, []job.Lane, error) {
	top := "+"
	if cursor != "" {
		top = "(" + cursor
	}
	lanes := q.shards.of(lanesOf(f.Kind)...)
	pipe := q.redis.Pipeline()
	cmds := make([]*redis.StringSliceCmd, len(lanes))
	for i, l := range lanes {
		index := q.keys(l).index()
		if f.State != "" {
			index = q.keys(l).stateIndex(f.State)
		}
		cmds[i] = pipe.ZRevRangeByLex(ctx, index, &redis.ZRangeBy{Max: top, Min: "-", Count: int64(f.Limit + 1)})
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, nil, fmt.Errorf("read indexes: %w", err)
	}
	type entry struct {
		id   string
		lane job.Lane
	}
	var all []entry
	for i, cmd := range cmds {
		for _, id := range cmd.Val() {
			all = append(all, entry{id, lanes[i]})
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].id > all[j].id })
	all = all[:min(len(all), f.Limit+1)]
	ids, of := make([]string, len(all)), make([]job.Lane, len(all))
	for i, e := range all {
		ids[i], of[i] = e.id, e.lane
	}
	return ids, of, nil
}

func lanesOf(k job.Kind) []job.Lane {
	switch k {
	case job.KindInteract:
		return []job.Lane{job.LaneInteractive, job.LaneBatch}
	case job.KindTrain:
		return []job.Lane{job.LaneTrain}
	}
	return job.Lanes()
}
