package queue

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/nexus-continuum/nexus/job"
)

// If the reply to a dequeue is lost, Redis holds tasks that are ours and that this
// process does not know. Nobody runs them. Nobody recovers them either, because this
// process is alive. Such orphans are freed when two checks in a row have found them.
// No check is made while a dequeue is on its way: its tasks are not known yet either.

// inflight is a task that this server knows it has.
type inflight struct {
	times   int       // that it was taken
	ends    time.Time // its deadline by our own steady clock; zero is never
	attempt int       // that began when it was taken; 0 if none did
}

func (s *Server) addInflight(id string, ends time.Time, attempt int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inflight[id] = inflight{s.inflight[id].times + 1, ends, attempt}
}

// begunAttempt returns the attempt that began when a task was taken; 0 if none did.
func (s *Server) begunAttempt(id string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inflight[id].attempt
}

// maxClockSkew is the largest difference at which the deadline by the submitter's clock
// counts as exact, compared with the time that Redis says is left. The time from Redis
// is late by two network trips.
const maxClockSkew = 100 * time.Millisecond

// deadlineOf returns the deadline of a task by our own clock; zero if it has none.
func (s *Server) deadlineOf(id string, reported time.Time) time.Time {
	s.mu.Lock()
	ends := s.inflight[id].ends
	s.mu.Unlock()
	if ends.IsZero() {
		return ends
	}
	if ends.Sub(reported).Abs() <= maxClockSkew {
		return reported
	}
	return ends
}

func (s *Server) removeInflight(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.inflight[id]
	if h.times--; h.times <= 0 {
		delete(s.inflight, id)
		return
	}
	s.inflight[id] = h
}

// freeOrphans looks for orphans and returns the ones to free at the next check.
func (s *Server) freeOrphans(ctx context.Context, suspects map[string]bool) map[string]bool {
	found, err := s.findOrphans(ctx)
	if err != nil {
		return suspects
	}
	next := map[string]bool{}
	for _, id := range found {
		if !suspects[id] {
			next[id] = true
		} else {
			s.q.opt.Log.Warn("a task whose dequeue was never answered is free again", "job", id, "lane", s.lane)
			s.q.countRepair(ctx, s.keys, RepairOrphan, 1)
			s.complete(ctx, &Task{s: s, Spec: job.Spec{ID: id}}, time.Time{},
				outcome{state: job.StateQueued, refund: true, why: "its worker never got it; it runs again"})
		}
	}
	return next
}

// errDequeueing says that a dequeue is on its way.
var errDequeueing = errors.New("tasks are being taken")

// findOrphans returns the tasks that are this server's and that it does not know.
func (s *Server) findOrphans(ctx context.Context) ([]string, error) {
	if !s.dequeueing.TryLock() {
		return nil, errDequeueing
	}
	defer s.dequeueing.Unlock()
	ctx, cancel := s.q.withTimeout(ctx)
	defer cancel()
	ids, err := s.q.scripts.owned.Run(ctx, s.q.redis, []string{s.keys.active()}, s.keys.tasks(), s.id).StringSlice()
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(ids, func(id string) bool { return s.inflight[id].times > 0 }), err
}
