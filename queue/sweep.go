package queue

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

// maintain renews the signs of life of a server's tasks, follows cancellations whose
// message was lost, and checks the lane if no reconciler does.
func (s *Server) maintain() {
	every := s.q.scanInterval()
	t := time.NewTicker(every)
	defer t.Stop()
	var orphans map[string]bool
	for round := 0; ; round++ {
		s.renewLiveness(s.quit)
		s.scanWithoutLeader(s.quit, every, round)
		s.watchCancels(s.quit)
		orphans = s.freeOrphans(s.quit, orphans)
		select {
		case <-t.C:
		case <-s.quit.Done():
			// Handlers that still run must remain ours until they have ended.
			s.renewUntilDone(context.WithoutCancel(s.quit), every)
			return
		}
	}
}

func (s *Server) renewUntilDone(ctx context.Context, every time.Duration) {
	ended := make(chan struct{})
	go func() { s.jobs.Wait(); close(ended) }()
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-ended:
			return
		case <-t.C:
			s.renewLiveness(ctx)
		}
	}
}

// renewLiveness records that the owner of this server's tasks is alive.
func (s *Server) renewLiveness(ctx context.Context) {
	ctx, cancel := s.q.withTimeout(ctx)
	defer cancel()
	pipe := s.q.redis.Pipeline()
	pipe.Set(ctx, s.keys.owner(s.id), s.q.id, s.q.opt.Liveness)
	// asynq's tools find queues by this set, which must also exist after a FLUSHALL.
	pipe.SAdd(ctx, "asynq:queues", string(s.lane))
	if _, err := pipe.Exec(ctx); err != nil {
		return
	}
	s.mu.Lock()
	s.lastOK = time.Now()
	s.mu.Unlock()
}

func (s *Server) endLiveness(ctx context.Context) {
	ctx, cancel := s.q.withTimeout(ctx)
	defer cancel()
	s.q.redis.Del(ctx, s.keys.owner(s.id))
}

func (s *Server) recentlyAlive() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.lastOK) < 2*s.q.opt.Liveness
}

// scanWithoutLeader checks the lane if no elected reconciler does.
func (s *Server) scanWithoutLeader(ctx context.Context, every time.Duration, round int) {
	r := reconciler{q: s.q, lane: s.lane, keys: s.keys, me: s.id, listens: s.keys.owner(s.id)}
	if r.claimScan(ctx, 0, every) != 1 {
		return
	}
	if r.scan(ctx, round) {
		s.wake.notify()
	}
	r.failOverdue(ctx)
}

// watchCancels finds cancellations whose message was lost.
func (s *Server) watchCancels(ctx context.Context) {
	s.mu.Lock()
	tasks := make([]*Task, 0, len(s.running))
	for _, t := range s.running {
		if t.recorded.Load() {
			tasks = append(tasks, t)
		}
	}
	s.mu.Unlock()
	if len(tasks) == 0 {
		return
	}
	ctx, cancel := s.q.withTimeout(ctx)
	defer cancel()
	cmds := make([]*redis.StringCmd, len(tasks))
	pipe := s.q.redis.Pipeline()
	for i, t := range tasks {
		cmds[i] = pipe.HGet(ctx, s.keys.record(t.Spec.ID), "cancel")
	}
	_, _ = pipe.Exec(ctx) // redis.Nil for every job that is not canceled
	for i, t := range tasks {
		if cmds[i].Val() == "1" {
			t.cancel(ErrCanceled)
		}
	}
}
