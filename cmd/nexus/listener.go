package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/net/netutil"

	"github.com/nexus-continuum/nexus/internal/lifecycle"
)

const (
	// listenerConnections are open at once; more wait until one ends.
	listenerConnections = 512
	// listenerTimeout bounds an answer, which a client may not want to read.
	listenerTimeout = 30 * time.Second
)

// listener is a small HTTP server beside the roles: metrics, pprof.
type listener struct {
	setting string // the variable that holds the address
	listen  string
	handler http.Handler
	within  time.Duration // for an answer; listenerTimeout if 0
	log     *slog.Logger

	life lifecycle.Life
	addr atomic.Pointer[net.Addr]
	http *http.Server
}

// Start opens the port.
func (l *listener) Start(ctx context.Context) error {
	return l.life.Start(ctx, func(context.Context) error { return l.open(ctx) })
}

func (l *listener) open(ctx context.Context) error {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", l.listen)
	if err != nil {
		return fmt.Errorf("%s: %w", l.setting, err)
	}
	l.http = &http.Server{
		Handler: l.handler, ReadTimeout: 10 * time.Second, WriteTimeout: cmp.Or(l.within, listenerTimeout), IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(l.log.Handler(), slog.LevelDebug),
	}
	addr := ln.Addr()
	l.addr.Store(&addr)
	l.life.Go(func(context.Context) {
		if err := l.http.Serve(netutil.LimitListener(ln, listenerConnections)); !errors.Is(err, http.ErrServerClosed) {
			l.life.Fail(fmt.Errorf("the port of %s is no longer served: %w", l.setting, err))
		}
	})
	return nil
}

// Stop closes the port; a scrape or a profile in hand may end.
func (l *listener) Stop(ctx context.Context) error {
	return l.life.Stop(ctx, func(ctx context.Context) error {
		if err := l.http.Shutdown(ctx); err != nil {
			return errors.Join(fmt.Errorf("close the port of %s: %w", l.setting, err), l.http.Close())
		}
		return nil
	})
}

// Ended is closed when the port is no longer served.
func (l *listener) Ended() <-chan struct{} { return l.life.Context().Done() }

// Cause says why it is not.
func (l *listener) Cause() error { return l.life.Cause() }

// url is where it listens, once started.
func (l *listener) url() string {
	if addr := l.addr.Load(); addr != nil {
		return "http://" + (*addr).String()
	}
	return "http://" + l.listen
}
