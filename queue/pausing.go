package queue

import (
	"context"
	"time"
)

// pausedFor is how long a reason to pause is shown unless it is renewed. A process that
// dies therefore pauses nothing.
const pausedFor = 10 * time.Second

// Pause stops this server from taking jobs, or resumes it if why is empty. Running jobs
// continue. why is shown as waiting_for of the waiting jobs, as long as Pause is called
// at least every few seconds. It returns an error if why could not be written to Redis;
// the server pauses even then.
func (s *Server) Pause(ctx context.Context, why string) error {
	s.dequeueing.Lock() // what is being taken just now is taken before Pause returns
	was := s.pausedWhy.Swap(&why)
	s.dequeueing.Unlock()
	held := was != nil && *was != ""
	if why == "" && !held {
		return nil
	}
	ctx, cancel := s.q.withTimeout(ctx)
	defer cancel()
	if why == "" {
		s.wake.notify()
		return s.q.redis.Del(ctx, s.keys.serverPauseReason()).Err()
	}
	return s.q.redis.Set(ctx, s.keys.serverPauseReason(), why, pausedFor).Err()
}

func (s *Server) isPaused() bool {
	why := s.pausedWhy.Load()
	return why != nil && *why != ""
}

// waitForNotice waits for a notification, but no longer than d or until the server quits.
func (s *Server) waitForNotice(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-s.wake:
	case <-t.C:
	case <-s.quit.Done():
	}
}
