package queue

import (
	"context"
	"time"

	"github.com/nexus-continuum/nexus/job"
)

// A dequeue whose reply is lost on its way leaves tasks that are ours in Redis
// and unknown here: nobody runs them, and since we live nobody recovers them
// either. Such strays are freed when two looks in a row found them.

// hold notes tasks that this server knows it has.
func (s *Server) hold(ids ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		s.held[id]++
	}
}

func (s *Server) unhold(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held[id]--; s.held[id] <= 0 {
		delete(s.held, id)
	}
}

// freeStrays looks for strays and returns those to free at the next look.
func (s *Server) freeStrays(ctx context.Context, suspects map[string]bool) map[string]bool {
	if s.unhooked { // what asynq dequeues by itself is not noted
		return nil
	}
	rctx, cancel := s.q.patience(ctx)
	defer cancel()
	ids, err := s.q.scripts.mine.Run(rctx, s.q.redis, []string{s.keys.active()}, s.keys.tasks(), s.id).StringSlice()
	if err != nil {
		return suspects
	}
	next := map[string]bool{}
	for _, id := range ids {
		s.mu.Lock()
		held := s.held[id] > 0
		s.mu.Unlock()
		switch {
		case held:
		case !suspects[id]:
			next[id] = true
		default:
			s.q.opt.Log.Warn("a task whose dequeue was never answered is free again", "job", id, "lane", s.lane)
			s.settle(ctx, &Task{s: s, Spec: job.Spec{ID: id}}, time.Time{},
				outcome{state: job.StateQueued, refund: true, why: "its worker never got it; it runs again"})
		}
	}
	return next
}
