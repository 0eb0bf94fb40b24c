// Package provider finds a Redis for the queue to stand on: the one that is
// named, else a redis-server of its own as a child process, else one inside
// this process.
package provider

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// Names of the modes, and of the choice between them.
const (
	Auto     = "auto"
	External = "external"
	Child    = "child"
	Embedded = "embedded"
)

// Options say where to stand.
type Options struct {
	// URL of an external Redis; see Parse. Empty means one of our own.
	URL string
	// Dir holds the append-only file of a child; required for that mode.
	Dir string
	// Mode forces one; Auto, the default, takes the first that is there.
	Mode string
	// PoolSize bounds the connections of a client; 64.
	PoolSize int
	// Timeout bounds the wait for a reply where the caller's context does not
	// do so sooner; 3 s.
	Timeout time.Duration
	Log     *slog.Logger
}

// Provider is a Redis that answers.
type Provider struct {
	Name     string   // External, Child or Embedded
	Warnings []string // what an operator should put right

	describe string
	connect  func() redis.UniversalClient
	client   redis.UniversalClient
	stop     func(context.Context) error
	once     sync.Once
	stopErr  error
}

// Start takes the first mode that is possible here and returns when Redis answers.
func Start(ctx context.Context, opt Options) (*Provider, error) {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.PoolSize == 0 {
		opt.PoolSize = 64
	}
	if opt.Timeout == 0 {
		opt.Timeout = 3 * time.Second
	}
	name, binary, err := choose(opt)
	if err != nil {
		return nil, err
	}
	var r *Provider
	switch name {
	case External:
		r, err = startExternal(ctx, opt)
	case Child:
		r, err = startChild(ctx, opt, binary)
	default:
		r, err = startEmbedded(ctx, opt)
	}
	if err != nil {
		return nil, err
	}
	r.Name = name
	for _, w := range r.Warnings {
		opt.Log.Warn(w)
	}
	opt.Log.Info("redis is ready", "mode", r.Name, "where", r.describe)
	return r, nil
}

// choose picks the mode, and the program of a child.
func choose(opt Options) (name, binary string, err error) {
	binary = findServer()
	switch opt.Mode {
	case "", Auto:
		switch {
		case opt.URL != "":
			return External, "", nil
		case binary != "" && opt.Dir != "":
			return Child, binary, nil
		}
		return Embedded, "", nil
	case External:
		if opt.URL == "" {
			return "", "", errors.New("the external mode needs a URL, such as redis://localhost:6379/0")
		}
	case Child:
		if binary == "" {
			return "", "", errors.New("the child mode needs redis-server or valkey-server on PATH")
		}
		if opt.Dir == "" {
			return "", "", errors.New("the child mode needs a data folder")
		}
	case Embedded:
	default:
		return "", "", fmt.Errorf("mode %q is unknown; it is one of %s, %s, %s and %s", opt.Mode, Auto, External, Child, Embedded)
	}
	return opt.Mode, binary, nil
}

// findServer returns the path of a server program, or nothing.
func findServer() string {
	for _, name := range []string{"redis-server", "valkey-server"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// Describe says in words where Redis is, without secrets.
func (r *Provider) Describe() string { return r.describe }

// Client is shared by all of the process; Stop closes it.
func (r *Provider) Client() redis.UniversalClient { return r.client }

// Asynq makes further clients, for asynq's own tools, which close what they
// were given.
func (r *Provider) Asynq() asynq.RedisConnOpt { return connOpt{r.connect} }

type connOpt struct{ connect func() redis.UniversalClient }

// MakeRedisClient returns a redis.UniversalClient, as asynq expects.
func (c connOpt) MakeRedisClient() any { return c.connect() }

// Stop closes the client and ends a Redis of our own. It is safe twice.
func (r *Provider) Stop(ctx context.Context) error {
	r.once.Do(func() {
		r.stopErr = r.client.Close()
		if r.stop != nil {
			r.stopErr = errors.Join(r.stopErr, r.stop(ctx))
		}
	})
	return r.stopErr
}

// answer waits until Redis answers, for at most timeout.
func answer(ctx context.Context, client redis.UniversalClient, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var told error // the last that is not our own impatience
	for rest := 2 * time.Millisecond; ; rest = min(2*rest, 100*time.Millisecond) {
		err := client.Ping(ctx).Err()
		if err == nil || definite(err) {
			return err
		}
		if ctx.Err() == nil || told == nil {
			told = err
		}
		t := time.NewTimer(rest)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return told
		}
	}
}
