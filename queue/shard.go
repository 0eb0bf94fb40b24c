package queue

import (
	"context"
	"hash/fnv"
	"strings"
	"sync"
	"time"

	"github.com/nexus-continuum/nexus/internal/hashslot"
	"github.com/nexus-continuum/nexus/job"
)

// A lane of prompts can have several shards. asynq sees each shard as a queue of its own.
// A hash tag keeps everything that a script touches together (tasks, records, events,
// outboxes, reply lists) in one slot of a Redis Cluster. With several shards, a lane is
// not limited to one slot, and so to one core of one Redis.
//
// A job's shard follows from its id. Each process uses as many shards as its settings
// say. Redis keeps the greatest of these numbers, and workers serve that many shards. So
// processes with different settings work together while a setting is being changed. The
// train lane has one shard, because there is one trainer and the order of lessons counts.

// MaxShards limits Options.Shards, because an idle worker polls each shard once a
// second.
const MaxShards = 64

// shardSyncInterval is how often a process reads the number of shards without being notified.
// It must, because an emptied Redis forgets the number.
const shardSyncInterval = 30 * time.Second

// shards is what a process knows about the shards. A shard is named by a job.Lane:
// "interactive", "interactive-1ke".
type shards struct {
	own int

	mu     sync.RWMutex
	synced bool // the number in Redis is at least own
	names  map[job.Lane][]job.Lane
	added  chan struct{} // closed when there are more
}

func newShards(mine int) *shards {
	s := &shards{own: min(max(mine, 1), MaxShards), names: map[job.Lane][]job.Lane{}, added: make(chan struct{})}
	s.grow(s.own)
	return s
}

// grow makes room for n shards. The number never decreases.
func (s *shards) grow(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n <= len(s.names[job.LaneInteractive]) {
		return
	}
	for _, l := range job.Lanes() {
		for i := len(s.names[l]); i < n && (i == 0 || l != job.LaneTrain); i++ {
			s.names[l] = append(s.names[l][:i:i], shardName(l, i))
		}
	}
	close(s.added)
	s.added = make(chan struct{})
}

// whenAdded returns a channel that is closed when there are more shards than now.
func (s *shards) whenAdded() <-chan struct{} {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.added
}

// of lists the shards of lanes that any process uses. The caller must not change the
// list.
func (s *shards) of(lanes ...job.Lane) []job.Lane {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if len(lanes) == 1 {
		return s.names[lanes[0]]
	}
	var all []job.Lane
	for _, l := range lanes {
		all = append(all, s.names[l]...)
	}
	return all
}

// index is the number of the shard into which this process puts a job. Until the
// workers can know about more shards, it is the first.
func (s *shards) index(id string) int {
	if s.own == 1 {
		return 0
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if !s.synced {
		return 0
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(id))            // never fails
	return int(h.Sum32() % uint32(s.own)) //nolint:gosec // NEXUS_QUEUE_SHARDS is from 1 to 64
}

// forJob is the shard into which this process puts a job.
func (s *shards) forJob(l job.Lane, id string) job.Lane {
	shards := s.of(l)
	return shards[min(s.index(id), len(shards)-1)]
}

// Shards lists the shards of all lanes. more is closed when there are more.
func (q *Queue) Shards() (shards []job.Lane, more <-chan struct{}) {
	more = q.shards.whenAdded() // first, so that no shard is missed
	return q.shards.of(job.Lanes()...), more
}

// shardName names a shard. The first has the name of the lane.
func shardName(l job.Lane, n int) job.Lane { return job.Lane(hashslot.Spread(string(l), n)) }

// laneOf returns the lane of a shard.
func laneOf(shard job.Lane) job.Lane {
	lane, _, _ := strings.Cut(string(shard), "-")
	return job.Lane(lane)
}

// syncShardCount sends our number of shards to Redis and learns the greatest.
func (q *Queue) syncShardCount(ctx context.Context) error {
	ctx, cancel := q.withTimeout(ctx)
	defer cancel()
	n, err := q.scripts.shards.Run(ctx, q.redis, []string{q.shared("shards", "count")}, q.shards.own, q.shared("shards", "grown")).Int()
	if err != nil {
		return unavailable("agree on the shards", err)
	}
	q.shards.grow(min(n, MaxShards))
	q.shards.mu.Lock()
	q.shards.synced = true
	q.shards.mu.Unlock()
	return nil
}

// followShards keeps the known number of shards up to date.
func (q *Queue) followShards(ctx context.Context) {
	news := newNotifier()
	off := q.Listen(ctx, q.shared("shards", "grown"), func(string, bool) { news.notify() })
	defer off()
	for {
		rest := shardSyncInterval
		if q.syncShardCount(ctx) != nil {
			rest = time.Second
		}
		t := time.NewTimer(rest)
		select {
		case <-news:
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return
		}
		t.Stop()
	}
}

// boundOf returns how many jobs may wait in a shard.
func (q *Queue) boundOf(shard job.Lane) int {
	if laneOf(shard) == job.LaneTrain {
		return q.opt.MaxQueue
	}
	return (q.opt.MaxQueue + q.shards.own - 1) / q.shards.own
}

// queuePosition estimates the position of a job in its lane from its position (from 1)
// in its shard. It assumes that the other shards are about as long.
func (q *Queue) queuePosition(shard job.Lane, position int) int {
	return (position-1)*len(q.shards.of(laneOf(shard))) + 1
}

// serveShards makes sure that every shard of the lane has a server, until the server quits.
func (s *Server) serveShards(ctx context.Context) {
	for {
		more := s.q.shards.whenAdded()
		shards := s.q.shards.of(laneOf(s.lane))
		for i := len(s.shardServers()) + 1; i < len(shards); i++ {
			o := s.q.serve(shards[i], divideUp(s.totalConcurrency, len(shards)), s.handler)
			s.mu.Lock()
			s.shards = append(s.shards, o)
			s.mu.Unlock()
			if s.quit.Err() != nil {
				return // Stop may have missed it; it never starts
			}
			if err := o.start(ctx); err != nil {
				s.q.opt.Log.Error("a shard cannot be served", "lane", shards[i], "error", err)
			}
		}
		select {
		case <-more:
		case <-s.quit.Done():
			return
		}
	}
}

// shardServers returns the servers of the further shards.
func (s *Server) shardServers() []*Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shards
}

// divideUp returns the part of whole for each of n, rounded up; at least 1.
func divideUp(whole, n int) int { return max((whole+n-1)/n, 1) }
