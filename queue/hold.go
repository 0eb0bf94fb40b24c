package queue

import (
	"context"
	"time"
)

// heldFor is how long a reason to hold is shown unless it is renewed: a process
// that dies holds nobody.
const heldFor = 10 * time.Second

// Hold keeps this server from taking jobs, or lets it take them again if why is
// empty. Jobs that it runs go on. why is shown as waiting_for of those that
// wait, as long as Hold is called at least every few seconds; that it could not
// be written is the error, and the server holds all the same.
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

// rest waits for a ring, or a while.
func (s *Server) rest() {
	t := time.NewTimer(sleepAtMost)
	defer t.Stop()
	select {
	case <-s.wake:
	case <-t.C:
	case <-s.quit.Done():
	}
}
