package queue

import (
	"context"
	"time"
)

// heldFor is how long a reason to hold is shown unless it is renewed. A process that
// dies therefore holds nothing.
const heldFor = 10 * time.Second

// Hold stops this server from taking jobs, or resumes it if why is empty. Running jobs
// continue. why is shown as waiting_for of the waiting jobs, as long as Hold is called
// at least every few seconds. It returns an error if why could not be written to Redis;
// the server holds even then.
func (s *Server) Hold(ctx context.Context, why string) error {
	s.taking.Lock() // what is being taken just now is taken before Hold returns
	was := s.holding.Swap(&why)
	s.taking.Unlock()
	held := was != nil && *was != ""
	if why == "" && !held {
		return nil
	}
	ctx, cancel := s.q.patience(ctx)
	defer cancel()
	if why == "" {
		s.wake.notify()
		return s.q.redis.Del(ctx, s.keys.heldWhy()).Err()
	}
	return s.q.redis.Set(ctx, s.keys.heldWhy(), why, heldFor).Err()
}

func (s *Server) isHeld() bool {
	why := s.holding.Load()
	return why != nil && *why != ""
}

// rest waits for a notification, for at most sleepAtMost.
func (s *Server) rest() {
	t := time.NewTimer(sleepAtMost)
	defer t.Stop()
	select {
	case <-s.wake:
	case <-t.C:
	case <-s.quit.Done():
	}
}
