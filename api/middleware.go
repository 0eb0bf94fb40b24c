package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"go.opentelemetry.io/otel/trace"

	"github.com/nexus-continuum/nexus/telemetry/heartbeat/gather"
)

// requestTimeout limits routes that do not wait.
const requestTimeout = 15 * time.Second

// within limits the time of a route with its context.
func within(d time.Duration) echo.MiddlewareFunc {
	return middleware.ContextTimeoutWithConfig(middleware.ContextTimeoutConfig{
		Timeout:      d,
		ErrorHandler: func(err error, _ echo.Context) error { return err },
	})
}

// logged writes one line per request, with no text from the request, and counts it. It
// is echo's RequestLogger without the parts that are not needed here.
func (s *Server) logged(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		began := time.Now()
		s.metrics.inFlight.Inc()
		defer s.metrics.inFlight.Dec()
		err := next(c)
		if err != nil {
			c.Error(err) // first, so that the status is the one sent
		}
		took := time.Since(began)
		r, status := c.Request(), c.Response().Status
		s.metrics.answered(c.Path(), r.Method, status, took)
		level := slog.LevelInfo
		if isMachineRoute(c.Path()) && status < http.StatusBadRequest || c.Get(crowdedKey) != nil {
			level = slog.LevelDebug
		}
		ctx := r.Context()
		if !s.log.Enabled(ctx, level) {
			return err
		}
		l := line{
			seriesKey: seriesKey{c.Path(), r.Method, status}, level: level, at: began.Add(took), took: took,
			requestID: requestID(c), client: client(c), bytes: c.Response().Size, trace: trace.SpanContextFromContext(ctx).TraceID(),
		}
		l.job, _ = c.Get(jobKey).(string)
		s.lines.put(l)
		return err
	}
}

// line is the log entry of a request.
type line struct {
	seriesKey
	level                  slog.Level
	at                     time.Time
	took                   time.Duration
	requestID, client, job string
	bytes                  int64
	trace                  trace.TraceID
}

// lines writes the lines of requests in batches.
type lines struct {
	log     slog.Handler
	waiting *gather.Batch[line]
	known   map[seriesKey]slog.Handler // what like lines have in common is put into words once
}

// lineTimeout is how late a line may be written.
const lineTimeout = 20 * time.Millisecond

func newLines(log slog.Handler) *lines {
	l := &lines{log: log, known: map[seriesKey]slog.Handler{}}
	l.waiting = gather.New(l.write).Within(lineTimeout)
	return l
}

// put adds a line. The line of a failure is written at once, because the process may be
// about to end.
func (l *lines) put(e line) {
	l.waiting.Add(e)
	if e.status >= http.StatusInternalServerError {
		l.flush()
	}
}

// flush writes what was put.
func (l *lines) flush() { l.waiting.Count() }

func (l *lines) write(all []line) {
	for i := range all {
		e := &all[i]
		// The source position, which Logger would look up for each line, is left out. A
		// record holds five attributes without memory of its own.
		r := slog.NewRecord(e.at, e.level, "request", 0)
		r.AddAttrs(
			slog.String("request_id", e.requestID), slog.Float64("latency_ms", float64(e.took.Microseconds())/1000),
			slog.String("client", e.client), slog.Int64("bytes", e.bytes))
		if e.job != "" {
			r.AddAttrs(slog.String("job", e.job))
		}
		if e.trace.IsValid() {
			r.AddAttrs(slog.String("trace_id", e.trace.String()))
		}
		_ = l.of(e.seriesKey).Handle(context.Background(), r) // a log that fails has nowhere to say so
	}
}

func (l *lines) of(key seriesKey) slog.Handler {
	if h, ok := l.known[key]; ok {
		return h
	}
	h := l.log.WithAttrs([]slog.Attr{slog.String("method", key.method), slog.String("route", key.route), slog.Int("status", key.status)})
	if knownMethod(key.method) == key.method { // any word can be sent as a method
		l.known[key] = h
	}
	return h
}

// isMachineRoute reports whether a route is polled by machines.
func isMachineRoute(route string) bool {
	switch route {
	case "/healthz", "/readyz", "/api/metrics", "/api/status":
		return true
	}
	return strings.HasPrefix(route, "/monitoring")
}

// errPanicked is returned by a handler that panicked. The panic is already logged.
var errPanicked = errors.New("panic in a handler")

// recovered turns a panic into an error: 500 to the caller, the stack to the log.
func (s *Server) recovered(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			r := recover()
			if r == nil {
				return
			}
			if e, ok := r.(error); ok && errors.Is(e, http.ErrAbortHandler) {
				panic(r) // net/http's own way to drop a connection
			}
			s.log.Error("panic in a handler", "request_id", requestID(c), "route", c.Path(), "panic", r, "stack", string(debug.Stack()))
			err = fmt.Errorf("%w: %v", errPanicked, r)
		}()
		return next(c)
	}
}

// policyNone is the default policy for what a page may load.
const policyNone = "default-src 'none'; frame-ancestors 'none'"

// securing are the headers that restrict browsers, in canonical form.
var securing = http.Header{
	echo.HeaderXContentTypeOptions:   {"nosniff"},
	echo.HeaderXFrameOptions:         {"DENY"},
	echo.HeaderReferrerPolicy:        {"no-referrer"},
	echo.HeaderContentSecurityPolicy: {policyNone},
	"Cross-Origin-Resource-Policy":   {"same-origin"},
}

// secured sets them. All answers share the values. A handler replaces a value, or adds
// to a copy.
func secured(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		maps.Copy(c.Response().Header(), securing)
		return next(c)
	}
}

// zipped compresses answers that are read and may be large. Event streams must not wait
// in a compressor, and answers to work are small.
func zipped() echo.MiddlewareFunc {
	return middleware.GzipWithConfig(middleware.GzipConfig{
		MinLength: 1024,
		Skipper: func(c echo.Context) bool {
			return c.Request().Method != http.MethodGet || strings.HasSuffix(c.Path(), "/events") ||
				c.Path() == "/docs/assets/:name" // compressed already
		},
	})
}
