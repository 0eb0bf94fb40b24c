// Package api is the HTTP side of NEXUS. It validates requests, turns them into jobs,
// waits for answers and shows the state of the cluster. The contract with clients is
// openapi.yaml in this folder, which is served and tested against the handlers.
package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/trace"

	"github.com/nexus-continuum/nexus/api/book"
	"github.com/nexus-continuum/nexus/api/idempotency"
	"github.com/nexus-continuum/nexus/internal/lifecycle"
	"github.com/nexus-continuum/nexus/telemetry/heartbeat"
)

// DefaultListen is the default address of the API, on this machine only.
const DefaultListen = "127.0.0.1:8000"

// Options configure a Server. Queue, Interactions, Presence, Redis, Datasets, Checkpoints,
// Control, Known, Topics, Checks and Validity are required; the rest has defaults.
type Options struct {
	Queue        Queue
	Interactions Interactions
	Presence     Presence
	// Redis stores counters of the rate limit, idempotency keys, sessions, the audit log
	// and runs of test prompts.
	Redis       redis.UniversalClient
	Datasets    Datasets
	Checkpoints Checkpoints
	Control     Control
	// Known returns what the model knows now. It returns job.CodeUnavailable while
	// there is no model.
	Known  func(context.Context) (book.Source, error)
	Topics Topics
	// Checks are the prompts that are asked after each change.
	Checks Checks
	// Validity says when answers may be given.
	Validity Validity
	// Backup writes a backup to the configured place; nil means that backups cannot be
	// made.
	Backup func(ctx context.Context) (Backup, error)
	// CheckWebhook returns an error for URLs that webhooks may not use; nil accepts
	// every https URL.
	CheckWebhook func(url string) error

	Listen   string       // host:port; DefaultListen
	Listener net.Listener // instead of Listen
	TLS      *tls.Config  // nil: plain HTTP

	Keys      []Key   // none, and no KeyBook with any: open to everyone
	KeyBook   KeyBook // keys that are made while it runs; nil: none
	KeyHeader string  // DefaultKeyHeader
	// TrustedProxies are the networks whose headers about the caller's address are
	// trusted.
	TrustedProxies []netip.Prefix
	// AllowedHosts are names of the service in addition to those of loopback. Public
	// says that it may be reached from elsewhere without a key.
	AllowedHosts []string
	// CORSOrigins are the origins of other pages that may call the API.
	CORSOrigins []string
	Public      bool
	// Audit receives a line of JSON for each change; nil keeps only what GET /api/audit
	// shows.
	Audit io.Writer
	// Hide removes the secrets of the settings from a line of the audit log, because a
	// caller may have put one into an address; nil removes nothing.
	Hide func([]byte) []byte
	// MaxConnections limits the open connections; 0 means DefaultConnections.
	MaxConnections int
	RateLimit      RateLimit
	Prefix         string // of keys in Redis; "nexus:"

	Recorder *heartbeat.Recorder  // of this process; nil makes one
	Registry *prometheus.Registry // for /api/metrics; nil makes one
	Version  string

	// Shown in /api/status.
	RedisMode, RedisDescribe  string
	StorageKind, StorageWhere string
	// Uploads reports what waits to be uploaded to the bucket; nil if there is none.
	Uploads Uploads

	// Tracer makes a span of each request; nil means no spans.
	Tracer trace.Tracer
	// Teacher suggests phrasings; nil if there is none. The workers have it too, and it
	// writes lessons about topics without a pack for them.
	Teacher Teacher
	// DrainDelay is how long Stop continues to serve while /readyz reports that the
	// server is stopping, so that load balancers send no more requests before the port
	// closes.
	DrainDelay time.Duration
	// Unobserved disables counting and the log of requests. It is used to measure what
	// they cost.
	Unobserved bool

	Log *slog.Logger
	Now func() time.Time

	// sendWithin is how long a client may take to accept a piece of an answer.
	sendWithin time.Duration
}

// Server answers HTTP requests.
type Server struct {
	opt          Options
	queue        Queue
	interactions Interactions
	claims       *idempotency.Keys
	datasets     Datasets
	checkpoints  Checkpoints
	controls     Control
	saved        backups
	book         *book.Book
	topics       Topics
	recorder     *heartbeat.Recorder // shows this process
	tally        *heartbeat.Recorder // counts; nil if nothing is to be counted
	metrics      *metrics
	status       *viewer
	counts       rollCalls
	feed         *feed
	past         *history
	keptPast     *keptHistory
	keys         *keyring
	limiter      *limiter
	audit        *audit
	guesses      *guesses
	hosts        *hosts
	streams      *streams
	sessions     *sessions
	verdicts     verdicts
	secure       func(*http.Request) bool
	shedder      *shedder
	lines        *lines
	monitor      *monitor
	pages        *pages
	queries      queries
	log          *slog.Logger
	now          func() time.Time
	sendTimeout  time.Duration // a test shortens it

	echo *echo.Echo
	http *http.Server

	life     lifecycle.Life
	addr     atomic.Pointer[net.Addr]
	leave    sync.Once      // closes leaving
	listener *limitListener // from Start on
	leaving  chan struct{}  // closed when Stop begins
	drain    sync.Once      // closes draining
	draining chan struct{}  // closed when the port closes
	cancel   context.CancelFunc
}

// New checks the options and makes a server. Start opens its port.
func New(opt Options) (*Server, error) {
	if opt.Queue == nil || opt.Interactions == nil || opt.Presence == nil || opt.Redis == nil || opt.Datasets == nil || opt.Checkpoints == nil || opt.Control == nil || opt.Known == nil || opt.Topics == nil || opt.Checks == nil || opt.Validity == nil {
		return nil, errors.New("make the API: queue, log of interactions, presence, Redis, datasets, checkpoints, control, what is known, topics, checks and validity are all needed")
	}
	if opt.RateLimit.Enabled && (opt.RateLimit.RPM < 1 || opt.RateLimit.Burst < 1) {
		return nil, fmt.Errorf("make the API: a rate limit of %d per minute with a burst of %d lets nobody in", opt.RateLimit.RPM, opt.RateLimit.Burst)
	}
	if err := checkKeys(opt.Keys); err != nil {
		return nil, fmt.Errorf("make the API: %w", err)
	}
	if err := CheckOrigins(opt.CORSOrigins); err != nil {
		return nil, fmt.Errorf("make the API: %w", err)
	}
	fill(&opt)
	m, err := newMetrics(opt.Registry)
	if err != nil {
		return nil, err
	}
	p, err := newPages()
	if err != nil {
		return nil, err
	}
	known, err := newQueries(p.openapiFile)
	if err != nil {
		return nil, err
	}
	s := &Server{
		queries: known,
		opt:     opt, queue: opt.Queue, interactions: opt.Interactions, datasets: opt.Datasets, checkpoints: opt.Checkpoints, controls: opt.Control,
		book: book.New(opt.Known, opt.Datasets), topics: opt.Topics, recorder: opt.Recorder, metrics: m, pages: p,
		tally: opt.Recorder,
		keys:  newKeyring(opt.KeyHeader, opt.Keys, opt.KeyBook, opt.Log, opt.Now), log: opt.Log, now: opt.Now, sendTimeout: sendTimeout, draining: make(chan struct{}), leaving: make(chan struct{}),
	}
	if opt.Unobserved {
		s.tally, s.metrics.off = nil, true
	}
	s.limiter = newLimiter(opt.RateLimit, opt.Redis, opt.Prefix, s.keys.open, opt.Now, m.limited)
	s.audit = &audit{client: opt.Redis, key: opt.Prefix + "{log}:audit", file: opt.Audit, hide: opt.Hide}
	s.keys.told = s.audit.noteKeys
	s.guesses, s.streams = newGuesses(), newStreams()
	s.sessions, s.secure = newSessions(opt.Redis, opt.Prefix, opt.Now), secureCaller(opt.TrustedProxies)
	s.hosts = newHosts(opt.AllowedHosts, opt.Listen, opt.Public)
	s.shedder = &shedder{log: opt.Log}
	s.lines = newLines(opt.Log.Handler())
	s.monitor = newMonitor(opt.Queue.Asynq())
	s.status = &viewer{take: s.takeView, now: opt.Now}
	s.feed = &feed{look: s.lookForFeed, now: opt.Now}
	s.past = newHistory()
	s.keptPast = &keptHistory{client: opt.Redis, prefix: opt.Prefix + "{log}:history:", log: opt.Log}
	s.echo = s.routes()
	life, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.claims = idempotency.New(life, idempotency.Options{Redis: opt.Redis, Listener: opt.Queue, Prefix: opt.Prefix})
	s.http = &http.Server{
		Handler: s.echo, TLSConfig: opt.TLS,
		ReadHeaderTimeout: 10 * time.Second, WriteTimeout: answerWithin, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		// With HTTP/2, deadlines end only streams. The connection of a client that
		// accepts nothing would stay open.
		HTTP2:       &http.HTTP2Config{WriteByteTimeout: opt.sendWithin},
		BaseContext: func(net.Listener) context.Context { return life }, ConnContext: withCaller, ConnState: connState,
		ErrorLog: slog.NewLogLogger(opt.Log.Handler(), slog.LevelDebug),
	}
	return s, nil
}

func fill(opt *Options) {
	if opt.Listen == "" {
		opt.Listen = DefaultListen
	}
	if opt.MaxConnections == 0 {
		opt.MaxConnections = DefaultConnections
	}
	if opt.sendWithin == 0 {
		opt.sendWithin = sendWithin
	}
	if opt.Prefix == "" {
		opt.Prefix = "nexus:"
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Hide == nil {
		opt.Hide = func(line []byte) []byte { return line }
	}
	if opt.CheckWebhook == nil {
		opt.CheckWebhook = onlyHTTPS
	}
	if opt.Recorder == nil {
		opt.Recorder = heartbeat.New(heartbeat.Options{Roles: []string{heartbeat.RoleAPI}, Version: opt.Version, Now: opt.Now})
	}
}

// Start opens the port and begins to answer.
func (s *Server) Start(ctx context.Context) error {
	if err := s.life.Start(ctx, func(context.Context) error { return s.open(ctx) }); err != nil {
		return fmt.Errorf("start the API: %w", err)
	}
	return nil
}

func (s *Server) open(ctx context.Context) error {
	// If the book of keys was not read, holders of keys must not be refused, nor others
	// admitted.
	if err := s.keys.read(ctx); err != nil {
		return err
	}
	l := s.opt.Listener
	if l == nil {
		var err error
		if l, err = (&net.ListenConfig{}).Listen(ctx, "tcp", s.opt.Listen); err != nil {
			return fmt.Errorf("listen on %s: %w", s.opt.Listen, err)
		}
	}
	addr := l.Addr()
	s.addr.Store(&addr)
	s.listener = newLimitListener(l, s.opt.MaxConnections)
	l = s.listener
	if s.opt.TLS != nil {
		l = tls.NewListener(l, s.opt.TLS)
	}
	s.life.Go(s.keys.follow)
	s.life.Go(s.keepHistory)
	s.life.Go(s.followChecks)
	s.life.Go(func(ctx context.Context) {
		// The first call reads the whole list; no request should wait for that.
		if _, _, err := s.interactions.Refusals(ctx, nil, "", nil); err != nil {
			s.log.Debug("the refusals could not be read ahead", "error", err)
		}
	})
	s.life.Go(func(context.Context) {
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.life.Fail(fmt.Errorf("it no longer listens: %w", err))
		}
	})
	return nil
}

// Ended returns a channel that is closed when the server has stopped or no longer
// listens.
func (s *Server) Ended() <-chan struct{} { return s.life.Context().Done() }

// Cause returns why the server has ended.
func (s *Server) Cause() error { return s.life.Cause() }

// Addr returns the address on which the server listens, once it has started.
func (s *Server) Addr() net.Addr {
	if addr := s.addr.Load(); addr != nil {
		return *addr
	}
	return nil
}

// URL returns the address of the server in the form that a client uses.
func (s *Server) URL() string {
	scheme := "http"
	if s.opt.TLS != nil {
		scheme = "https"
	}
	addr := s.Addr()
	if addr == nil {
		return scheme + "://" + s.opt.Listen
	}
	return scheme + "://" + addr.String()
}

// Handler returns the complete API as a handler, for tests without a port.
func (s *Server) Handler() http.Handler { return s.echo }

// Stop makes /readyz report that the server is stopping and serves for DrainDelay more.
// Then it accepts no more requests, lets running requests finish and closes event
// streams. It gives up on the rest when ctx ends.
func (s *Server) Stop(ctx context.Context) error {
	s.leave.Do(func() {
		close(s.leaving)
		lifecycle.Sleep(ctx, s.opt.DrainDelay)
	})
	s.drain.Do(func() { close(s.draining) })
	defer s.cancel()
	err := s.life.Stop(ctx, func(ctx context.Context) error {
		s.listener.drain(ctx)
		if err := s.http.Shutdown(ctx); err != nil {
			s.cancel()
			return errors.Join(fmt.Errorf("stop the API: some requests did not end: %w", err), s.http.Close())
		}
		return nil
	})
	s.lines.flush()
	return errors.Join(err, s.monitor.close())
}
