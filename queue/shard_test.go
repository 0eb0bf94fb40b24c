package queue

import (
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/queue/provider/redistest"
)

// Processes with different numbers of shards get on with each other, on a
// Cluster whose nodes then share the work.
func TestShards(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 3)
	b := onURL(t, cluster.URL, Options{Shards: 1})
	// The worker is there before the one that spreads.
	worker := b.open(Options{Shards: 1})
	for _, lane := range []job.Lane{job.LaneInteractive, job.LaneBatch} {
		b.serve(worker, lane, 8, echo)
	}
	wide := b.open(Options{Shards: 6})

	var callers sync.WaitGroup
	for c := range 8 {
		callers.Go(func() {
			for i := range 25 {
				prompt := strconv.Itoa(100*c + i)
				a, _, err := wide.Ask(b.ctx, interact(prompt), time.Minute)
				if err != nil || a == nil || a.Response != prompt {
					t.Errorf("asked %s: %+v, %v", prompt, a, err)
				}
			}
		})
	}
	callers.Wait()
	for _, shard := range wide.shards.of(job.LaneInteractive) {
		if n, err := wide.redis.Get(b.ctx, wide.keys(shard).processed()).Int(); err != nil || n < 10 {
			t.Errorf("shard %s has answered %d of 200, %v", shard, n, err)
		}
	}
	if len(wide.shards.of(job.LaneInteractive)) != 6 || len(wide.shards.of(job.LaneTrain)) != 1 {
		t.Errorf("shards: %v", wide.shards.names)
	}
	for _, node := range cluster.Nodes {
		c := node.Client()
		if keys := c.Keys(b.ctx, "asynq:{interactive*:processed").Val(); len(keys) == 0 || len(keys) > 3 {
			t.Errorf("the node at %s has the shards %v", node.Addr, keys)
		}
		_ = c.Close()
	}

	// A process that does not spread finds what one that does has put anywhere.
	ids := map[string]bool{}
	for range 24 {
		j, err := wide.Submit(b.ctx, interact("later"))
		if err != nil {
			t.Fatal(err)
		}
		ids[j.ID] = true
	}
	for id := range ids {
		events, err := b.q.Follow(b.ctx, id, "")
		if err != nil {
			t.Fatal(err)
		}
		var last Event
		for e := range events {
			last = e
		}
		if last.Type != EventResult || b.untilState(id, job.StateSucceeded).ID != id {
			t.Errorf("job %s ends with %+v", id, last)
		}
	}
	seen, cursor := 0, ""
	for {
		page, next, err := b.q.Jobs(b.ctx, Filter{Limit: 7, Cursor: cursor})
		if err != nil {
			t.Fatal(err)
		}
		for i, j := range page {
			if seen++; !ids[j.ID] || i > 0 && j.ID > page[i-1].ID {
				t.Errorf("job %s is listed in a wrong shard", j.ID)
			}
		}
		if cursor = next; next == "" {
			break
		}
	}
	if seen != len(ids) {
		t.Errorf("%d of %d jobs are listed", seen, len(ids))
	}
}

// What holds for a lane holds for all its shards: pause, bound, counts, cancelling.
func TestShardsAreOneLane(t *testing.T) {
	t.Parallel()
	b := onURL(t, "redis://"+redistest.Start(t).Addr, Options{Shards: 4, MaxQueue: 40})
	other := b.open(Options{})
	if err := b.q.PauseLane(b.ctx, job.LaneBatch, true, "a test"); err != nil {
		t.Fatal(err)
	}
	b.serve(other, job.LaneBatch, 4, echo)
	var taken []string
	full := 0
	for range 200 {
		j, err := b.q.Submit(b.ctx, interact("later"))
		if err == nil {
			taken = append(taken, j.ID)
			continue
		}
		wantCode(t, err, job.CodeQueueFull)
		full++
	}
	if len(taken) != 40 || full != 160 {
		t.Errorf("%d jobs were taken and %d refused, of a lane that holds 40", len(taken), full)
	}
	b.until("the other process knows the shards", func() bool { return len(other.shards.of(job.LaneBatch)) == 4 })
	lanes, err := other.Lanes(b.ctx)
	if err != nil || lanes[1].Pending != 40 || !lanes[1].Paused || lanes[1].PausedWhy != "a test" {
		t.Errorf("lanes %+v, %v", lanes, err)
	}
	j, err := other.Job(b.ctx, taken[39])
	if err != nil || j.QueuePosition == nil || *j.QueuePosition < 25 || *j.QueuePosition > 40 {
		t.Errorf("the last of 40 is %+v, %v", j, err)
	}
	if j, err := other.Cancel(b.ctx, taken[0]); err != nil || j.State != job.StateCanceled {
		t.Errorf("canceled: %+v, %v", j, err)
	}
	if err := other.PauseLane(b.ctx, job.LaneBatch, false, ""); err != nil {
		t.Fatal(err)
	}
	for _, id := range taken[1:] {
		b.untilState(id, job.StateSucceeded)
	}
}
