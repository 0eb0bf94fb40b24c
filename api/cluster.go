package api

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/nexus-continuum/nexus/internal/redishealth"
	"github.com/nexus-continuum/nexus/queue"
	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/telemetry/heartbeat"
)

const (
	// viewAge is how old a view of the cluster may be. Beats arrive each second, so a
	// newer view would show nothing new.
	viewAge = 250 * time.Millisecond
	// storeAge is the same for the storage, which may be far away.
	storeAge = 2 * time.Second
)

// view is the state of the cluster at one moment. Parts that could not be read are
// empty and named in the errors.
type view struct {
	at      time.Time
	cluster heartbeat.Cluster
	past    heartbeat.Counts // of processes that have ended
	lanes   []queue.LaneState
	repairs map[string]int64
	dropped map[string]int64
	// endedBytes is the size in Redis of the records of ended jobs, in bytes.
	endedBytes int64
	redis      error // it cannot be reached
	// refuses is why Redis takes no jobs although it responds.
	refuses error
	server  redishealth.RedisState // zero where it does not tell
	pingMS  float64

	control     storage.Control
	checkpoints []checkpoint
	head        storage.Head
	store       error
	storeAt     time.Time
}

// viewer takes views and shares them between requests.
type viewer struct {
	take func(ctx context.Context, last view) view
	now  func() time.Time

	mu   sync.Mutex
	last view
}

// view returns a view that is no older than viewAge. Requests that arrive while a view
// is being taken wait for it.
func (v *viewer) view(ctx context.Context) view {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.last.at.IsZero() && v.now().Sub(v.last.at) < viewAge {
		return v.last
	}
	// A caller that leaves must not leave a partial view to the others.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	v.last = v.take(ctx, v.last)
	return v.last
}

// forget makes the next view a fresh one, after this process has changed something.
func (v *viewer) forget() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.last = view{}
}

func (s *Server) takeView(ctx context.Context, last view) view {
	v := view{at: s.now(), past: last.past, control: last.control, checkpoints: last.checkpoints, head: last.head, store: last.store, storeAt: last.storeAt}
	beats := s.readQueue(ctx, &v)
	v.cluster = s.sum(beats, v.past)
	if v.storeAt.IsZero() || v.at.Sub(v.storeAt) >= storeAge {
		s.readStore(ctx, &v)
	}
	return v
}

func (s *Server) readQueue(ctx context.Context, v *view) []heartbeat.Beat {
	began := s.now()
	if v.redis = s.queue.Ping(ctx); v.redis != nil {
		return nil
	}
	v.pingMS = float64(s.now().Sub(began).Microseconds()) / 1000
	v.refuses = s.queue.Check(ctx)
	if state, err := s.queue.RedisState(ctx); err == nil {
		v.server = state
	}
	payloads, past, err := s.opt.Presence.BeatsAndPast(ctx)
	if err == nil {
		v.past = heartbeat.CountsOf(past)
	}
	lanes, lanesErr := s.queue.Lanes(ctx)
	repairs, repairsErr := s.queue.Repairs(ctx)
	dropped, droppedErr := s.dropped(ctx)
	ended, endedErr := s.queue.EndedBytes(ctx)
	v.lanes, v.repairs, v.dropped, v.endedBytes = lanes, repairs, dropped, ended
	v.redis = errors.Join(err, lanesErr, repairsErr, droppedErr, endedErr)
	beats, err := heartbeat.Decode(payloads)
	if err != nil {
		s.log.Debug("some beats cannot be read", "error", err)
	}
	return beats
}

// dropped returns what the limits on the data in Redis have dropped.
func (s *Server) dropped(ctx context.Context) (map[string]int64, error) {
	all, err := s.queue.Dropped(ctx)
	if err != nil {
		return nil, err //nolint:wrapcheck // it says what was tried
	}
	n, err := s.interactions.Dropped(ctx)
	if err != nil {
		return nil, err //nolint:wrapcheck // it says what was tried
	}
	all["interactions"] = n
	return all, nil
}

// sum adds up the counts of the living processes and of those that have ended.
func (s *Server) sum(beats []heartbeat.Beat, past heartbeat.Counts) heartbeat.Cluster {
	cluster, err := heartbeat.Sum(s.withOwn(beats))
	if err != nil {
		s.log.Debug("some beats could not be added up", "error", err)
	}
	cluster.Total.Add(past)
	return cluster
}

// upToDate is v with the counts of every process up to now. A client then finds its
// answered requests counted, whichever process answered.
func (s *Server) upToDate(ctx context.Context, v view) view {
	if v.redis == nil {
		if n := s.counts.now(ctx, func(ctx context.Context) news { return s.callRoll(ctx, len(v.cluster.Beats)) }); n.ok {
			v.past, v.cluster = n.past, s.sum(slices.Clone(n.beats), n.past)
			return v
		}
	}
	v.cluster = s.sum(slices.Clone(v.cluster.Beats), v.past)
	return v
}

// news holds the present beats of all processes, and the counts of those that have
// ended.
type news struct {
	beats []heartbeat.Beat
	past  heartbeat.Counts
	ok    bool
}

// callRoll asks every process for its present counts.
func (s *Server) callRoll(ctx context.Context, known int) news {
	s.opt.Presence.RollCall(ctx, known)
	payloads, past, err := s.opt.Presence.BeatsAndPast(ctx)
	if err != nil {
		return news{}
	}
	beats, err := heartbeat.Decode(payloads)
	if err != nil {
		s.log.Debug("some beats cannot be read", "error", err)
	}
	return news{beats: beats, past: heartbeat.CountsOf(past), ok: true}
}

// rollCalls shares roll calls between requests. Only one is made at a time, and a
// request takes part in one that begins after the request arrived.
type rollCalls struct {
	calling sync.Mutex // held while the roll is called; before mu
	mu      sync.Mutex
	next    *rollCall // has not begun
}

type rollCall struct {
	done chan struct{}
	news news
}

// now returns the result of call from a round that began after now was called.
func (r *rollCalls) now(ctx context.Context, call func(context.Context) news) news {
	r.mu.Lock()
	next := r.next
	first := next == nil
	if first {
		next = &rollCall{done: make(chan struct{})}
		r.next = next
	}
	r.mu.Unlock()
	if first { // the others wait for this one, which must not end with its client
		defer close(next.done)
		r.calling.Lock()
		defer r.calling.Unlock()
		r.mu.Lock()
		r.next = nil
		r.mu.Unlock()
		next.news = call(context.WithoutCancel(ctx))
		return next.news
	}
	select {
	case <-next.done:
		return next.news
	case <-ctx.Done():
		return news{}
	}
}

// withOwn replaces this process's last beat with its present state, so that a process
// sees itself at once and also without Redis.
func (s *Server) withOwn(beats []heartbeat.Beat) []heartbeat.Beat {
	own := s.recorder.Snapshot()
	for i := range beats {
		if beats[i].ID == own.ID {
			beats[i] = own
			return beats
		}
	}
	return append(beats, own)
}

func (s *Server) readStore(ctx context.Context, v *view) {
	v.storeAt = v.at
	control, err := s.controls.Read(ctx)
	if err == nil {
		v.control = control
	}
	list, head, listErr := s.readCheckpoints(ctx)
	if listErr == nil {
		v.checkpoints, v.head = list, head
	}
	v.store = errors.Join(err, listErr)
}
