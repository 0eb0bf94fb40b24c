package api

import (
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
)

const (
	// sendTimeout is how long a client may take to send an ordinary body.
	sendTimeout = 30 * time.Second

	// After an answer that did not read the body, the rest is received and dropped for
	// partingMost, as long as each partingPiece arrives within discardTimeout. A client
	// that sends all before it reads would otherwise get a reset instead of the answer.
	discardTimeout = 2 * time.Second
	partingPiece   = 32 << 10
	partingMost    = 15 * time.Second
	// partingCrowded is the whole of that time on a connection beyond the limit, whose
	// place probes need.
	partingCrowded = 200 * time.Millisecond
	// partingStranger is how much of a body is dropped in this way for a caller who was
	// not admitted. For others it is the largest upload.
	partingStranger = 32 << 20

	// unreadByServer is how much of an unread body net/http itself drops, so that the
	// connection can be used again.
	unreadByServer = 256 << 10
)

// timedBody ends the time limit on sending after the body was read. Otherwise the
// limit would also end the wait for the answer, because net/http continues reading to
// notice that the client has left.
type timedBody struct {
	io.ReadCloser
	ended func()
	whole bool
}

// Read implements io.Reader. If a body breaks off or is late, the limit stays until the
// connection is closed.
func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) && !b.whole {
		b.whole = true
		b.ended()
	}
	return n, err //nolint:wrapcheck // the same reader
}

// bodyKey holds the body of a request.
const bodyKey = "nexus.body"

// unread reports whether the connection of a request cannot be used again, because its
// body was not read to the end. With HTTP/2 only the stream ends.
func unread(c echo.Context) bool {
	b, ok := c.Get(bodyKey).(*timedBody)
	return ok && !b.whole && c.Request().ProtoMajor < 2
}

// bodyTimeout gives every request a limited time to send its body, so that a slow
// client cannot hold a connection forever. Nothing that may refuse a request comes
// before it.
func (s *Server) bodyTimeout(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if r.ContentLength == 0 {
			return next(c)
		}
		s.allowToSend(c, s.sendTimeout)
		body := &timedBody{ReadCloser: r.Body, ended: func() { s.allowToSend(c, 0) }}
		r.Body = body
		c.Set(bodyKey, body)
		// net/http knows its own body. It closes the connection of an unread body in a
		// way that lets the client see the answer.
		defer func() { r.Body = body.ReadCloser }()
		err := next(c)
		if err != nil {
			c.Error(err) // the answer must be sent before the rest is dropped
		}
		if unread(c) {
			s.discardUnread(c, body.ReadCloser, r.ContentLength)
		}
		return err
	}
}

// discardUnread receives what a client still sends after it was answered.
func (s *Server) discardUnread(c echo.Context, body io.Reader, length int64) {
	status := c.Response().Status
	refused := c.Response().Header().Get(echo.HeaderConnection) == "close"
	if !refused && length >= 0 && length <= unreadByServer {
		return
	}
	if from, ok := c.Request().Context().Value(connKey{}).(*caller); ok && from.extra {
		s.allowToSend(c, partingCrowded)
		return
	}
	s.allowToSend(c, s.discardTimeout())
	if http.NewResponseController(c.Response()).Flush() != nil {
		return
	}
	most := int64(maxUpload)
	if status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusTooManyRequests {
		most = partingStranger
	}
	for until := time.Now().Add(partingMost); most > 0 && time.Now().Before(until); most -= partingPiece {
		select {
		case <-s.draining:
			return
		default:
		}
		s.allowToSend(c, s.discardTimeout())
		if _, err := io.CopyN(io.Discard, body, partingPiece); err != nil {
			return
		}
	}
}

func (s *Server) discardTimeout() time.Duration { return min(s.sendTimeout, discardTimeout) }

// allowToSend limits the time that the client may take from now on to send the rest of
// its body; 0 means no limit.
func (s *Server) allowToSend(c echo.Context, d time.Duration) {
	var until time.Time
	if d > 0 {
		until = time.Now().Add(d) // the connection's clock, not ours
	}
	if err := http.NewResponseController(c.Response()).SetReadDeadline(until); err != nil {
		s.log.Debug("no bound on the sending of a body", "request_id", requestID(c), "error", err)
	}
}
