package api

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/nexus-continuum/nexus/job"
)

const (
	// DefaultConnections is how many connections are served at once by default.
	DefaultConnections = 10000
	// headroom is the number of connections beyond that on which only probes are
	// answered. Monitoring must not take a busy service for a dead one.
	headroom = 64

	// sendWithin is how long a client may take to accept a piece of an answer.
	// answerWithin is the latest time after its request at which an answer may begin.
	sendWithin   = 30 * time.Second
	answerWithin = uploadTimeout + storeTimeout

	// streamsPerCaller and streamsInAll limit the number of event streams.
	streamsPerCaller = 32
	streamsInAll     = 2000
)

// limitListener counts connections and limits their number.
type limitListener struct {
	net.Listener
	most int64
	now  atomic.Int64

	timeout  time.Duration // of drain
	unread   atomic.Int64  // taken, and no request was read yet
	closed   chan struct{} // by Close
	closing  sync.Once
	refusing chan struct{} // closed when the port accepts no more
	last     sync.Once     // closes refusing
}

func newLimitListener(port net.Listener, most int) *limitListener {
	return &limitListener{Listener: port, most: int64(most), timeout: unreadFor, closed: make(chan struct{}), refusing: make(chan struct{})}
}

// unreadFor limits the wait for clients that connect and send nothing.
const unreadFor = time.Second

// drain closes the port and waits for the first requests of earlier connections, because
// net/http drops a request that it reads after Shutdown has begun.
func (l *limitListener) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	_ = l.Listener.Close()
	select {
	case <-l.refusing:
	case <-ctx.Done():
		return
	}
	t := time.NewTicker(5 * time.Millisecond)
	defer t.Stop()
	for l.unread.Load() > 0 {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// Close makes Accept return.
func (l *limitListener) Close() error {
	l.closing.Do(func() { close(l.closed) })
	if err := l.Listener.Close(); !errors.Is(err, net.ErrClosed) {
		return err //nolint:wrapcheck // net/http tells its errors apart
	}
	return nil
}

// Accept accepts connections while there is room. Connections beyond the headroom are
// closed at once.
func (l *limitListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if errors.Is(err, net.ErrClosed) { // by drain, or by Close: only then the server ends
			l.last.Do(func() { close(l.refusing) })
			<-l.closed
		}
		if err != nil {
			return nil, err //nolint:wrapcheck // net/http tells its errors apart
		}
		n := l.now.Add(1)
		if n > l.most+headroom {
			l.now.Add(-1)
			_ = c.Close()
			continue
		}
		l.unread.Add(1)
		return &countedConn{Conn: c, listener: l, extra: n > l.most}, nil
	}
}

// countedConn is a counted connection. An extra one came when the limit was reached.
type countedConn struct {
	net.Conn
	listener *limitListener
	extra    bool
	closed   sync.Once
	read     sync.Once // its first request
}

// requestRead records that a request was read.
func (c *countedConn) requestRead() { c.read.Do(func() { c.listener.unread.Add(-1) }) }

// Close releases the place of the connection.
func (c *countedConn) Close() error {
	c.requestRead()
	c.closed.Do(func() { c.listener.now.Add(-1) })
	return c.Conn.Close() //nolint:wrapcheck // the same connection
}

// CloseWrite tells the client that nothing more follows. net/http can then wait a
// moment before it closes on a client that is still sending.
func (c *countedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite() //nolint:wrapcheck // the same connection
	}
	return nil
}

// countedConnOf finds the counted connection below a connection, also through TLS.
func countedConnOf(c net.Conn) (*countedConn, bool) {
	if t, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = t.NetConn()
	}
	counted, ok := c.(*countedConn)
	return counted, ok
}

// isExtra reports whether a connection is beyond the limit.
func isExtra(c net.Conn) bool {
	counted, ok := countedConnOf(c)
	return ok && counted.extra
}

// connState tells counted connections that a request was read.
func connState(c net.Conn, state http.ConnState) {
	if counted, ok := countedConnOf(c); ok && state != http.StateNew {
		counted.requestRead()
	}
}

// refuseExtra refuses all requests but probes on connections beyond the limit.
func (s *Server) refuseExtra(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if from, ok := r.Context().Value(connKey{}).(*caller); ok && from.extra && r.URL.Path != "/healthz" && r.URL.Path != "/readyz" {
			c.Response().Header().Set(echo.HeaderConnection, "close")
			return job.Errorf(job.CodeUnavailable, "too many connections are open; close idle ones, or raise NEXUS_MAX_CONNECTIONS").After(5 * time.Second)
		}
		return next(c)
	}
}

func withCaller(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, &caller{extra: isExtra(c)})
}

// steadyWriter limits the time in which a client must accept each piece of an answer,
// so that a client that never reads does not hold its connection forever.
type steadyWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	within  time.Duration // for each piece
	until   time.Time
}

// Write implements http.ResponseWriter.
func (w *steadyWriter) Write(b []byte) (int, error) {
	if now := time.Now(); w.until.Sub(now) < w.within/2 {
		w.until = now.Add(w.within)
		_ = w.control.SetWriteDeadline(w.until) // a writer without deadlines is none of a network
	}
	return w.ResponseWriter.Write(b) //nolint:wrapcheck // the same writer
}

// Unwrap is for http.ResponseController.
func (w *steadyWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Flush implements http.Flusher.
func (w *steadyWriter) Flush() { _ = w.control.Flush() }

// Hijack implements http.Hijacker.
func (w *steadyWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) { return w.control.Hijack() } //nolint:wrapcheck // the same connection

func (s *Server) steady(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		w := c.Response().Writer
		c.Response().Writer = &steadyWriter{ResponseWriter: w, control: http.NewResponseController(w), within: s.opt.sendWithin}
		return next(c)
	}
}

// streams counts the open event streams.
type streams struct {
	mu  sync.Mutex
	by  map[string]int
	all int
}

func newStreams() *streams { return &streams{by: map[string]int{}} }

// open counts one more stream for a client; done ends it.
func (s *streams) open(who string) (done func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.by[who] >= streamsPerCaller:
		return nil, job.Errorf(job.CodeRateLimited, "%d event streams are open for this caller; close one first", streamsPerCaller).After(5 * time.Second)
	case s.all >= streamsInAll:
		return nil, job.Errorf(job.CodeUnavailable, "too many event streams are open").After(5 * time.Second)
	}
	s.by[who]++
	s.all++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.all--
		if s.by[who]--; s.by[who] == 0 {
			delete(s.by, who)
		}
	}, nil
}
