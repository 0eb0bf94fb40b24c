// Package redistest runs real redis-server processes for tests, in every form
// in which a fleet may have them: single, with TLS, with Sentinels, as a Cluster.
package redistest

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// timeout is how long anything here may take to come about.
const timeout = 30 * time.Second

// Server is one redis-server process, ended with the test.
type Server struct {
	Addr string // 127.0.0.1:port
	Dir  string

	t    testing.TB
	args []string
	env  func(*redis.Options) // what a client needs beyond the address

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{}
	out  bytes.Buffer
}

// Start runs a server on a port of its own and waits until it answers. Further
// arguments are options of redis-server.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	s := &Server{t: t, Dir: t.TempDir()}
	s.launch(func() []string {
		s.Addr = freeAddr(t)
		return append([]string{"--bind", "127.0.0.1", "--port", port(s.Addr)}, args...)
	})
	return s
}

// launch starts the process, once more with other ports if one was taken by then.
func (s *Server) launch(args func() []string) {
	s.t.Helper()
	s.t.Cleanup(s.Kill)
	for range 5 {
		s.args = args()
		s.run()
		if s.answers() {
			return
		}
		s.Kill()
	}
	s.t.Fatalf("redis-server %v does not answer:\n%s", s.args, s.out.String())
}

func (s *Server) run() {
	s.t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		s.t.Skip("needs redis-server on PATH; .ci/run installs it")
	}
	cmd := exec.CommandContext(context.Background(), path, append(s.args, "--dir", s.Dir, "--save", "", "--daemonize", "no")...)
	s.out.Reset()
	cmd.Stdout, cmd.Stderr = &s.out, &s.out
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	s.mu.Lock()
	s.cmd, s.done = cmd, done
	s.mu.Unlock()
}

// answers waits until the server says something, or has ended.
func (s *Server) answers() bool {
	c := s.Client()
	defer closing(c)
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := c.Ping(ctx).Err()
		// Any answer of the server itself will do, such as a wish for a password.
		if _, answered := err.(redis.Error); err == nil || answered { //nolint:errorlint // as it came
			return true
		}
		select {
		case <-tick.C:
		case <-s.done:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// Client makes a client of this one server; the caller closes it.
func (s *Server) Client() *redis.Client {
	o := &redis.Options{
		Addr: s.Addr, MaxRetries: -1, Protocol: 2, DisableIdentity: true, ContextTimeoutEnabled: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	if s.env != nil {
		s.env(o)
	}
	return redis.NewClient(o)
}

// Kill ends the process as a crash would. It may be started anew.
func (s *Server) Kill() {
	s.mu.Lock()
	cmd, done := s.cmd, s.done
	s.mu.Unlock()
	if cmd == nil {
		return
	}
	_ = cmd.Process.Kill()
	<-done
}

// until polls, for what other processes do gives no signal here.
func until(t testing.TB, what string, ok func(ctx context.Context) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok(ctx) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("never happened: %s", what)
		}
	}
}

func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer closing(l)
	return l.Addr().String()
}

func port(addr string) string {
	_, p, _ := net.SplitHostPort(addr)
	return p
}

// write makes a file in a folder and returns its path.
func write(t testing.TB, dir, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// closing closes what was only used to look.
func closing(c io.Closer) { _ = c.Close() }
