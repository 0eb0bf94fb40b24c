package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
)

const (
	// feedBeat is how often a watched cluster is read. Beats of processes arrive each
	// second, so reading more often would show nothing new.
	feedBeat = time.Second
	// feedRest is how long constantly changing figures (clocks, CPU, memory) may wait
	// if nothing else has changed.
	feedRest = 5 * time.Second
)

// feed sends the changes of the cluster to all watchers. For any number of watchers,
// each second takes one reading and one encoding; without a watcher it takes none.
type feed struct {
	look func(context.Context) (status, learning, error)
	now  func() time.Time

	mu       sync.Mutex
	watchers int
	cancel   context.CancelFunc // ends the looking; nil while nobody watches
	done     chan struct{}
	changed  chan struct{} // closed when something new is there
	frames   [2]frame      // status, learning
	still    []byte        // the last status without what always moves
	sentAt   time.Time     // of the last status
}

// frame is one encoded event, the same bytes for all watchers.
type frame struct {
	number uint64
	text   []byte
}

// watch starts the feed if there was no watcher. When the last watcher calls leave, the
// feed stops.
func (f *feed) watch() (leave func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watchers++
	if f.cancel == nil {
		ctx, cancel := context.WithCancel(context.Background())
		f.cancel, f.done, f.changed = cancel, make(chan struct{}), make(chan struct{})
		f.frames, f.still = [2]frame{}, nil
		go f.run(ctx, f.done)
	}
	return f.leave
}

func (f *feed) leave() {
	f.mu.Lock()
	f.watchers--
	var done chan struct{}
	if f.watchers == 0 {
		f.cancel()
		done, f.cancel = f.done, nil
	}
	f.mu.Unlock()
	if done != nil {
		<-done
	}
}

func (f *feed) run(ctx context.Context, done chan struct{}) {
	defer close(done)
	beat := time.NewTicker(feedBeat)
	defer beat.Stop()
	for {
		f.refresh(ctx)
		select {
		case <-beat.C:
		case <-ctx.Done():
			return
		}
	}
}

// refresh reads the cluster once and keeps the changes.
func (f *feed) refresh(ctx context.Context) {
	s, l, err := f.look(ctx)
	if err != nil || ctx.Err() != nil {
		return
	}
	full, err := json.Marshal(s)
	if err != nil {
		return // a status is always JSON
	}
	still, err := json.Marshal(withoutVolatile(s))
	if err != nil {
		return
	}
	learns, err := json.Marshal(l)
	if err != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if ctx.Err() != nil {
		return // the last watcher left; the next one begins anew
	}
	news := false
	if !bytes.Equal(still, f.still) || f.now().Sub(f.sentAt) >= feedRest {
		f.still, f.sentAt = still, f.now()
		news = f.frames[0].replace("status", full) || news
	}
	news = f.frames[1].replace("learning", learns) || news
	if news {
		close(f.changed)
		f.changed = make(chan struct{})
	}
}

// replace stores a new event and reports whether it differs from the last.
func (f *frame) replace(event string, data []byte) bool {
	text := fmt.Appendf(nil, "event: %s\ndata: %s\n\n", event, data)
	if bytes.Equal(text, f.text) {
		return false
	}
	f.number, f.text = f.number+1, text
	return true
}

// since returns the events that a watcher with the given numbers has not seen, and a
// channel that is closed when there are more.
func (f *feed) since(seen *[2]uint64) (news [][]byte, more <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.frames {
		if f.frames[i].number != seen[i] {
			seen[i] = f.frames[i].number
			news = append(news, f.frames[i].text)
		}
	}
	return news, f.changed
}

// withoutVolatile is the status without figures that change although nothing happened.
func withoutVolatile(s status) status {
	s.Daemon.UptimeSeconds, s.Daemon.Time = 0, nil
	s.Resources.CPUPercent, s.Resources.ProcessCPUPercent = 0, 0
	s.Memory = memoryPart{}
	s.Redis.PingMS = 0
	s.Processes = nil
	workers := make([]worker, len(s.Workers))
	copy(workers, s.Workers)
	for i := range workers {
		workers[i].SeenAt = nil
	}
	s.Workers = workers
	return s
}

// follow is GET /api/events: Server-Sent Events with the state of the cluster, whenever
// it changes. A slow reader skips outdated states.
func (s *Server) follow(c echo.Context) error {
	done, err := s.streams.open(client(c))
	if err != nil {
		return err
	}
	defer done()
	defer s.feed.watch()()
	h := c.Response().Header()
	h.Set(echo.HeaderContentType, "text/event-stream; charset=utf-8")
	h.Set(echo.HeaderCacheControl, "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would hold events back
	c.Response().WriteHeader(http.StatusOK)
	control := http.NewResponseController(c.Response())
	alive := time.NewTicker(keepAlive)
	defer alive.Stop()
	// The first bytes tell the client that the stream is open.
	if err := s.emit(c, control, "retry: 1000\n\n"); err != nil {
		return nil //nolint:nilerr // The client went away; there is nobody to tell.
	}
	var seen [2]uint64
	for {
		news, more := s.feed.since(&seen)
		text := string(bytes.Join(news, nil))
		if text == "" {
			select {
			case <-more:
				continue
			case <-alive.C:
				if !s.present(c) {
					return nil // the client asks again and is told why not
				}
				text = ": still here\n\n"
			case <-s.draining:
				return nil
			case <-c.Request().Context().Done():
				return nil
			}
		}
		if err := s.emit(c, control, text); err != nil {
			return nil //nolint:nilerr // The client went away; there is nobody to tell.
		}
	}
}
