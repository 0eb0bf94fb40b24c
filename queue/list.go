package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/nexus-continuum/nexus/job"
)

// Filter selects the jobs to list. Zero values select all.
type Filter struct {
	Kind  job.Kind
	State job.State
	// Owner, if not nil, selects the jobs of one owner.
	Owner  *string
	Cursor string // what Jobs returned as next; empty begins with the newest
	Limit  int    // 1 to 500; 50
}

// Jobs lists recorded jobs, newest first. next is the cursor of the next page, empty at
// the end of the list. Errors: CodeInvalid (a value of the filter), CodeUnavailable.
func (q *Queue) Jobs(ctx context.Context, f Filter) (jobs []job.Job, next string, err error) {
	if err := f.check(); err != nil {
		return nil, "", err
	}
	cursor := f.Cursor
	for {
		page, found, err := q.listPage(ctx, f, cursor)
		if err != nil {
			return nil, "", unavailable("list jobs", err)
		}
		for i, e := range page {
			if len(jobs) == f.Limit {
				return jobs, jobs[len(jobs)-1].ID, nil
			}
			cursor = e.id
			// A job that has faded or changed state is left out; the index follows
			// later.
			if j := found[i]; j != nil && (f.State == "" || j.State == f.State) && (f.Owner == nil || j.Owner == *f.Owner) {
				jobs = append(jobs, *j)
			}
		}
		if len(page) < f.Limit+1 {
			return jobs, "", nil
		}
	}
}

// listed is an entry of an index. The entry of an ended job is the job itself.
type listed struct {
	id     string
	lane   job.Lane
	state  job.State
	member string
}

// listPage reads the next entries and the job of each; nil for a job that has faded.
func (q *Queue) listPage(ctx context.Context, f Filter, cursor string) ([]listed, []*job.Job, error) {
	ctx, cancel := q.withTimeout(ctx)
	defer cancel()
	page, err := q.newest(ctx, f, cursor)
	if err != nil || len(page) == 0 {
		return page, nil, err
	}
	found, err := q.readMany(ctx, page)
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		if err = q.loadReadScript(ctx); err == nil {
			found, err = q.readMany(ctx, page)
		}
	}
	return page, found, err
}

// readMany reads the jobs of a page. It reads those that have not ended in one
// exchange.
func (q *Queue) readMany(ctx context.Context, page []listed) ([]*job.Job, error) {
	pipe := q.redis.Pipeline()
	cmds := make([]*redis.Cmd, len(page))
	for i, e := range page {
		if !e.state.Final() {
			cmds[i] = q.pipeRead(ctx, pipe, e.lane, e.id)
		}
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, err
	}
	found := make([]*job.Job, len(page))
	for i, e := range page {
		var j job.Job
		var err error
		if cmds[i] == nil {
			j, err = decodeEnded(e.member, e.state)
			if err == nil && q.expired(j) {
				continue
			}
		} else {
			var reply []any
			if reply, err = cmds[i].Slice(); err == nil {
				j, err = q.decodeReply(e.id, e.lane, reply)
			}
		}
		switch {
		case errors.Is(err, redis.Nil), errors.Is(err, errNoRecord):
		case err != nil:
			return nil, err
		default:
			found[i] = &j
		}
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

// newest merges the lanes' indexes and returns up to one entry more than the limit. Ids
// are UUIDv7, so their order is the order of time. A job that ends at this moment may
// appear twice, or with its old state; it is counted once.
func (q *Queue) newest(ctx context.Context, f Filter, cursor string) ([]listed, error) {
	top := "+"
	if cursor != "" {
		top = "(" + cursor
	}
	states := []job.State{job.StateQueued, job.StateRunning, job.StateSucceeded, job.StateFailed, job.StateCanceled}
	if f.State != "" {
		states = []job.State{f.State}
	}
	pipe := q.redis.Pipeline()
	var all []listed
	var cmds []*redis.StringSliceCmd
	var of []listed // lane and state of each command
	for _, l := range q.shards.of(lanesOf(f.Kind)...) {
		for _, state := range states {
			index := q.keys(l).stateIndex(state)
			if state.Final() {
				index = q.keys(l).ended(state)
			}
			cmds = append(cmds, pipe.ZRevRangeByLex(ctx, index, &redis.ZRangeBy{Max: top, Min: "-", Count: int64(f.Limit + 1)}))
			of = append(of, listed{lane: l, state: state})
		}
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("read indexes: %w", err)
	}
	for i, cmd := range cmds {
		for _, member := range cmd.Val() {
			e := of[i]
			e.id = member[:min(len(member), job.IDLength)]
			if e.state.Final() {
				e.member = member
			}
			all = append(all, e)
		}
	}
	slices.SortStableFunc(all, func(a, b listed) int { return strings.Compare(b.id, a.id) })
	all = slices.CompactFunc(all, func(a, b listed) bool { return a.id == b.id })
	return all[:min(len(all), f.Limit+1)], nil
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
