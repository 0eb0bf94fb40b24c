package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/redis/go-redis/v9"

	"github.com/nexus-continuum/nexus/internal/lifecycle"
)

// part is the one contract of everything that lives long. Start returns when
// the part is ready; Stop waits for its goroutines, and is safe twice and
// before Start.
type part interface {
	Start(ctx context.Context) error
	Stop(ctx context.Context) error
}

// mortal is a part that may end by itself: its port is gone, say. The process
// then stops, with the cause.
type mortal interface {
	part
	// Ended is closed when the part has ended, Cause says why.
	Ended() <-chan struct{}
	Cause() error
}

// stopWithin bounds a graceful stop; a second signal ends it sooner.
const stopWithin = 50 * time.Second

// run starts the parts of the roles in order, waits for the end of ctx or for
// the fall of a part, and stops them in reverse.
func run(ctx context.Context, rt *runtime, name string, roles roleSet) (err error) {
	began := time.Now()
	if err := checkFleet(rt.settings, name, roles); err != nil {
		return err
	}
	if roles.api {
		if err := checkPort(ctx, rt.settings); err != nil {
			return err
		}
	}
	if err := checkPprof(ctx, rt.settings); err != nil {
		return err
	}
	// What is written is for nobody else, by the Redis that we start too, whatever
	// the parent of a folder allows.
	syscall.Umask(0o077)
	if err := makeDataDir(rt.settings); err != nil {
		return err
	}
	log, closeLog, err := newLog(rt.settings, rt.main.Stderr, name, rt.hide)
	if err != nil {
		return err
	}
	defer closeLog.Close()
	if rt.main.unobserved {
		log = slog.New(slog.DiscardHandler)
	}
	redis.SetLogger(redisLog{log})
	limitMemory(rt.settings, roles.worker, log)

	h, err := open(ctx, rt, name, roles, log)
	defer func() {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
		defer cancel()
		err = errors.Join(err, h.stop(stop))
	}()
	if err != nil {
		if ctx.Err() != nil {
			return nil // stopped while it waited for something
		}
		return err
	}
	if err := h.start(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	h.announce(rt.main.Stdout, time.Since(began))
	notifySystemd(log, daemon.SdNotifyReady)
	err = h.live(ctx, log)
	notifySystemd(log, daemon.SdNotifyStopping)
	return err
}

// checkPort says that the port is in use before anything is started.
func checkPort(ctx context.Context, s *Settings) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.Listen)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("NEXUS_LISTEN=%s: the port is in use, perhaps by another nexus; stop it, or choose another port with NEXUS_LISTEN or --listen", s.Listen)
	}
	if err != nil {
		return fmt.Errorf("NEXUS_LISTEN=%s: %w", s.Listen, err)
	}
	return l.Close()
}

// makeDataDir makes the folder that all parts keep their things in.
func makeDataDir(s *Settings) error {
	if err := os.MkdirAll(s.DataDir, 0o700); err != nil {
		return &settingError{"NEXUS_DATA_DIR", s.DataDir, "must be a folder, or can be made one: " + err.Error()}
	}
	return nil
}

// checkFleet refuses a single role that could reach no other process.
func checkFleet(s *Settings, name string, roles roleSet) error {
	if roles != (roleSet{true, true, true}) && s.RedisURL == "" {
		return &settingError{"NEXUS_REDIS_URL", "", fmt.Sprintf("must be set for `nexus %s`, such as redis://localhost:6379/0: the roles meet there; `nexus serve` needs none", name)}
	}
	return nil
}

// notifySystemd speaks to systemd, if it started us.
func notifySystemd(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("systemd could not be told", "state", state, "error", err)
	}
}

// redisLog brings the complaints of go-redis into our log. They are of single
// connections; what they mean for the service is logged where it is felt.
type redisLog struct{ log *slog.Logger }

// Printf implements go-redis's logger.
func (l redisLog) Printf(_ context.Context, format string, v ...any) {
	l.log.Debug("redis client: " + fmt.Sprintf(format, v...))
}

// app holds what a process is made of: parts in the order of their start.
type app struct {
	parts   []namedPart
	started int
	failed  chan error // why a part ended by itself
	lines   []line
	url     func() string // of the API once it listens; nil without one
	log     *slog.Logger
}

type namedPart struct {
	name string
	part part
}

func (h *app) add(name string, p part) { h.parts = append(h.parts, namedPart{name, p}) }

func (h *app) start(ctx context.Context) error {
	for _, p := range h.parts[h.started:] {
		h.started++
		if err := p.part.Start(ctx); err != nil {
			return fmt.Errorf("start %s: %w", p.name, err)
		}
		h.log.Debug("started", "part", p.name)
		if m, ok := p.part.(mortal); ok {
			go h.watch(p.name, m)
		}
	}
	return nil
}

// watch reports a part that ends by itself.
func (h *app) watch(name string, m mortal) {
	<-m.Ended()
	if err := m.Cause(); !errors.Is(err, lifecycle.ErrStopped) {
		select {
		case h.failed <- fmt.Errorf("%s: %w", name, err):
		default: // another one was first
		}
	}
}

// stop ends what was started, the last first.
func (h *app) stop(ctx context.Context) error {
	var errs []error
	for _, p := range slices.Backward(h.parts[:h.started]) {
		if err := p.part.Stop(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", p.name, err))
		}
		h.log.Debug("stopped", "part", p.name)
	}
	h.started = 0
	return errors.Join(errs...)
}

// line is something to announce once everything runs.
type line struct {
	label string
	text  func() string
}

func (h *app) addLine(label, text string) { h.addLineLater(label, func() string { return text }) }

// addLineLater adds a line that is known only after the start, such as a port.
func (h *app) addLineLater(label string, text func() string) {
	h.lines = append(h.lines, line{label, text})
}

// announce prints where everything is.
func (h *app) announce(w io.Writer, took time.Duration) {
	fmt.Fprintf(w, "NEXUS Continuum %s, process %d\n", versionText(), os.Getpid())
	if h.url != nil {
		u := h.url()
		for _, l := range [][2]string{{"dashboard", u + "/dashboard"}, {"api", u}, {"docs", u + "/docs"}, {"queues", u + "/monitoring"}} {
			fmt.Fprintf(w, "  %-10s %s\n", l[0], l[1])
		}
	}
	for _, l := range h.lines {
		fmt.Fprintf(w, "  %-10s %s\n", l.label, l.text())
	}
	fmt.Fprintf(w, "ready after %s; stop with Ctrl-C\n", took.Round(time.Millisecond))
}

// stopFunc is a part that only needs to be ended.
type stopFunc func(context.Context) error

// Start does nothing.
func (stopFunc) Start(context.Context) error { return nil }

// Stop calls the function.
func (f stopFunc) Stop(ctx context.Context) error { return f(ctx) }
