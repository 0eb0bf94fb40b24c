package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// listener is a small HTTP server beside the roles: metrics, pprof.
type listener struct {
	setting string // the variable that holds the address
	listen  string
	handler http.Handler
	log     *slog.Logger

	mu   sync.Mutex
	addr net.Addr
	http *http.Server
	done chan struct{}
}

// Start opens the port.
func (l *listener) Start(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.http != nil {
		return nil
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", l.listen)
	if err != nil {
		return fmt.Errorf("%s: %w", l.setting, err)
	}
	server := &http.Server{
		Handler: l.handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(l.log.Handler(), slog.LevelDebug),
	}
	l.addr, l.http, l.done = ln.Addr(), server, make(chan struct{})
	go func() {
		defer close(l.done)
		if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			l.log.Error("a port is no longer served", "setting", l.setting, "error", err)
		}
	}()
	return nil
}

// Stop closes the port; a scrape or a profile in hand may end.
func (l *listener) Stop(ctx context.Context) error {
	l.mu.Lock()
	server, done := l.http, l.done
	l.mu.Unlock()
	if server == nil {
		return nil
	}
	err := server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("close the port of %s: %w", l.setting, err), server.Close())
	}
	<-done
	return err
}

// url is where it listens, once started.
func (l *listener) url() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.addr == nil {
		return "http://" + l.listen
	}
	return "http://" + l.addr.String()
}
