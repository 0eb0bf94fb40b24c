// Package api is the HTTP side of NEXUS: it validates what is asked, makes jobs
// of it, waits for answers and shows the state of the cluster. What a client may
// rely on is in openapi.yaml beside this file, which is served and tested
// against the handlers.
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
	"github.com/nexus-continuum/nexus/internal/lifecycle"
	"github.com/nexus-continuum/nexus/telemetry/heartbeat"
)

// DefaultListen is where the API listens unless told otherwise: on this machine
// only.
const DefaultListen = "127.0.0.1:8000"

// Options are what a Server is made of. Queue, Redis, Datasets, Checkpoints, Control,
// Known, Topics, Checks and Validity are needed; the rest has defaults.
type Options struct {
	Queue Queue
	// Redis keeps counters of the rate limit, sessions, the audit log and runs of test
	// prompts.
	Redis       redis.UniversalClient
	Datasets    Datasets
	Checkpoints Checkpoints
	Control     Control
	// Known is what the model knows now; job.CodeUnavailable while there is none.
	Known  func(context.Context) (book.Source, error)
	Topics Topics
	// Checks are the prompts that are asked after each change.
	Checks Checks
	// Validity is when answers may be given.
	Validity Validity
	// Backup writes a backup where the settings say; nil is no way to do so.
	Backup func(ctx context.Context) (Backup, error)
	// CheckWebhook refuses URLs that webhooks may not lead to; nil lets every
	// https URL pass.
	CheckWebhook func(url string) error

	Listen   string       // host:port; DefaultListen
	Listener net.Listener // instead of Listen
	TLS      *tls.Config  // nil: plain HTTP

	Keys      []Key   // none, and no KeyBook with any: open to everyone
	KeyBook   KeyBook // keys that are made while it runs; nil: none
	KeyHeader string  // DefaultKeyHeader
	// TrustedProxies are the networks whose word on the caller's address is taken.
	TrustedProxies []netip.Prefix
	// AllowedHosts are names for the service beside those of loopback; Public says
	// that it may be reached from elsewhere without a key.
	AllowedHosts []string
	// CORSOrigins are the origins of pages elsewhere that may call the API.
	CORSOrigins []string
	Public      bool
	// Audit takes a line of JSON for each change; nil keeps only what GET /api/audit shows.
	Audit io.Writer
	// MaxConnections bounds the open ones; 0 is DefaultConnections.
	MaxConnections int
	RateLimit      RateLimit
	Prefix         string // of keys in Redis; "nexus:"

	Recorder *heartbeat.Recorder  // of this process; nil makes one
	Registry *prometheus.Registry // for /api/metrics; nil makes one
	Version  string

	// Shown in /api/status.
	RedisMode, RedisDescribe  string
	StorageKind, StorageWhere string
	// Uploads tells what waits for the bucket; nil without one.
	Uploads Uploads

	// Tracer makes a span of each request; nil makes none.
	Tracer trace.Tracer
	// Teacher says that the workers have a teacher, who writes lessons about topics
	// of which there is no pack.
	Teacher bool
	// DrainDelay is how long Stop goes on serving while /readyz says that it stops, so
	// that balancers send no more requests before the port closes.
	DrainDelay time.Duration
	// Unobserved leaves counting and the log of requests out; it is for measuring
	// what they cost.
	Unobserved bool

	Log *slog.Logger
	Now func() time.Time

	// sendWithin is how long a client may take to accept a piece of an answer.
	sendWithin time.Duration
}

// Server answers HTTP.
type Server struct {
	opt         Options
	queue       Queue
	datasets    Datasets
	checkpoints Checkpoints
	controls    Control
	saved       backups
	book        *book.Book
	topics      Topics
	recorder    *heartbeat.Recorder // shows this process
	tally       *heartbeat.Recorder // counts; nil if nothing is to be counted
	metrics     *metrics
	status      *viewer
	counts      rollCalls
	feed        *feed
	past        *history
	keys        *keyring
	limiter     *limiter
	audit       *audit
	guesses     *guesses
	hosts       *hosts
	streams     *streams
	sessions    *sessions
	verdicts    verdicts
	secure      func(*http.Request) bool
	shedder     *shedder
	lines       *lines
	monitor     *monitor
	pages       *pages
	queries     queries
	log         *slog.Logger
	now         func() time.Time
	patience    time.Duration // sendPatience

	echo *echo.Echo
	http *http.Server

	life     lifecycle.Life
	addr     atomic.Pointer[net.Addr]
	leave    sync.Once     // closes leaving
	door     *doorman      // from Start on
	leaving  chan struct{} // closed when Stop begins
	drain    sync.Once     // closes draining
	draining chan struct{} // closed when the port closes
	cancel   context.CancelFunc
}

// New checks the options and makes a server; Start opens its port.
func New(opt Options) (*Server, error) {
	if opt.Queue == nil || opt.Redis == nil || opt.Datasets == nil || opt.Checkpoints == nil || opt.Control == nil || opt.Known == nil || opt.Topics == nil || opt.Checks == nil || opt.Validity == nil {
		return nil, errors.New("make the API: queue, Redis, datasets, checkpoints, control, what is known, topics, checks and validity are all needed")
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
		opt:     opt, queue: opt.Queue, datasets: opt.Datasets, checkpoints: opt.Checkpoints, controls: opt.Control,
		book: book.New(opt.Known, opt.Datasets), topics: opt.Topics, recorder: opt.Recorder, metrics: m, pages: p,
		tally: opt.Recorder,
		keys:  newKeyring(opt.KeyHeader, opt.Keys, opt.KeyBook, opt.Log, opt.Now), log: opt.Log, now: opt.Now, patience: sendPatience, draining: make(chan struct{}), leaving: make(chan struct{}),
	}
	if opt.Unobserved {
		s.tally, s.metrics.off = nil, true
	}
	s.limiter = newLimiter(opt.RateLimit, opt.Redis, opt.Prefix, s.keys.open, opt.Now, m.limited)
	s.audit = &audit{client: opt.Redis, key: opt.Prefix + "{log}:audit", file: opt.Audit}
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
	s.echo = s.routes()
	life, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.http = &http.Server{
		Handler: s.echo, TLSConfig: opt.TLS,
		ReadHeaderTimeout: 10 * time.Second, WriteTimeout: answerWithin, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		// Of HTTP/2 deadlines only end streams; the connection of a client that accepts
		// nothing would stay.
		HTTP2:       &http.HTTP2Config{WriteByteTimeout: opt.sendWithin},
		BaseContext: func(net.Listener) context.Context { return life }, ConnContext: withCaller, ConnState: hearing,
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
	// Whoever has a key must not be kept out, nor anybody let in, by a book that
	// was not read.
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
	s.door = newDoorman(l, s.opt.MaxConnections)
	l = s.door
	if s.opt.TLS != nil {
		l = tls.NewListener(l, s.opt.TLS)
	}
	s.life.Go(s.keys.follow)
	s.life.Go(s.keepHistory)
	s.life.Go(s.followChecks)
	s.life.Go(func(ctx context.Context) {
		// The first look reads the whole list; nobody should have to wait for that.
		if _, _, err := s.queue.Refusals(ctx, nil, "", nil); err != nil {
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

// Ended is closed when the server has stopped or no longer listens.
func (s *Server) Ended() <-chan struct{} { return s.life.Context().Done() }

// Cause says why it has ended.
func (s *Server) Cause() error { return s.life.Cause() }

// Addr is where the server listens, once started.
func (s *Server) Addr() net.Addr {
	if addr := s.addr.Load(); addr != nil {
		return *addr
	}
	return nil
}

// URL is the address of the server as a client writes it.
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

// Handler is the whole of the API, for tests without a port.
func (s *Server) Handler() http.Handler { return s.echo }

// Stop is not ready any more, goes on serving for DrainDelay, then takes no more
// requests, lets those that run come to their end, closes event streams, and gives up
// on the rest when ctx ends.
func (s *Server) Stop(ctx context.Context) error {
	s.leave.Do(func() {
		close(s.leaving)
		hold(ctx, s.opt.DrainDelay)
	})
	s.drain.Do(func() { close(s.draining) })
	defer s.cancel()
	err := s.life.Stop(ctx, func(ctx context.Context) error {
		s.door.shut(ctx)
		if err := s.http.Shutdown(ctx); err != nil {
			s.cancel()
			return errors.Join(fmt.Errorf("stop the API: some requests did not end: %w", err), s.http.Close())
		}
		return nil
	})
	s.lines.flush()
	return errors.Join(err, s.monitor.close())
}
