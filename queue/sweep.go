package queue

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/nexus-continuum/nexus/job"
)

// housekeep keeps the sign of life of a server's tasks, recovers those of dead
// ones, follows cancellations that no message told of, and takes faded records
// off the indexes. asynq alone would need 60 to 120 s, and agreeing clocks.
func (s *Server) housekeep() {
	every := s.q.opt.Liveness / 3
	t := time.NewTicker(every)
	defer t.Stop()
	var strays map[string]bool
	for {
		s.sign(s.quit)
		s.sweep(s.quit, every)
		s.adopt(s.quit)
		s.heedFlags(s.quit)
		strays = s.freeStrays(s.quit, strays)
		select {
		case <-t.C:
		case <-s.quit.Done():
			// Handlers that still run must stay ours until they have ended.
			s.stayAlive(context.WithoutCancel(s.quit), every)
			return
		}
	}
}

func (s *Server) stayAlive(ctx context.Context, every time.Duration) {
	ended := make(chan struct{})
	go func() { s.jobs.Wait(); close(ended) }()
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-ended:
			return
		case <-t.C:
			s.sign(ctx)
		}
	}
}

// sign says that the owner of this server's tasks lives.
func (s *Server) sign(ctx context.Context) {
	ctx, cancel := s.q.patience(ctx)
	defer cancel()
	pipe := s.q.redis.Pipeline()
	pipe.Set(ctx, s.keys.owner(s.id), s.q.id, s.q.opt.Liveness)
	// asynq's tools find queues here, also after a FLUSHALL.
	pipe.SAdd(ctx, "asynq:queues", string(s.lane))
	if _, err := pipe.Exec(ctx); err != nil {
		return
	}
	s.mu.Lock()
	s.lastOK = time.Now()
	s.mu.Unlock()
}

func (s *Server) unsign(ctx context.Context) {
	ctx, cancel := s.q.patience(ctx)
	defer cancel()
	s.q.redis.Del(ctx, s.keys.owner(s.id))
}

func (s *Server) recentlySigned() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.lastOK) < 2*s.q.opt.Liveness
}

func (s *Server) sweep(ctx context.Context, every time.Duration) {
	ctx, cancel := s.q.patience(ctx)
	defer cancel()
	k := s.keys
	got, err := s.q.scripts.sweep.Run(ctx, s.q.redis, []string{k.active(), k.lease(), k.pending()},
		k.own, k.tasks(), s.id, (every * 9 / 10).Milliseconds(), s.q.now().UnixNano(), s.q.opt.MaxLost).Slice()
	if err != nil || len(got) != 3 {
		return
	}
	again, given, missing := texts(got[0]), texts(got[1]), texts(got[2])
	if len(again)+len(given)+len(missing) > 0 {
		s.q.opt.Log.Warn("jobs of lost workers were recovered", "lane", s.lane, "queued_again", again, "given_up", given, "without_task", missing)
	}
	if len(again) > 0 {
		s.wake.ring()
	}
	for _, id := range given {
		s.giveUp(ctx, id)
	}
	s.q.scripts.expire.Run(ctx, s.q.redis, []string{k.own + "ends"}, k.own, millis(s.q.now()))
}

// giveUp fails a job that took its worker down too often; the sweep made it ours.
func (s *Server) giveUp(ctx context.Context, id string) {
	spec := job.Spec{ID: id}
	if list, err := s.q.redis.HGet(ctx, s.keys.task(id), "reply").Result(); err == nil {
		spec.ReplyTo = list[len(s.keys.reply("")):]
	}
	_, err := s.writeFinish(ctx, spec, time.Time{}, nil, outcome{state: job.StateFailed, err: job.Errorf(job.CodeInternal,
		"the job was given up: its worker was lost %d times", s.q.opt.MaxLost)})
	if err != nil {
		s.q.opt.Log.Error("a job could not be given up", "job", id, "error", err)
	}
}

// heedFlags is the way of a cancellation whose message was lost.
func (s *Server) heedFlags(ctx context.Context) {
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
	ctx, cancel := s.q.patience(ctx)
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

func texts(v any) []string {
	list, _ := v.([]any)
	out := make([]string, 0, len(list))
	for _, x := range list {
		if s, ok := x.(string); ok {
			out = append(out, s)
		}
	}
	return out
}
