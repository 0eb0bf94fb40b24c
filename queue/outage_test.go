package queue

import (
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/queue/provider"
)

// server is a Redis that a test can take away and bring back.
type server interface {
	url() string
	down()
	up()
}

// eachServer runs a test on an external Redis of each kind.
func eachServer(t *testing.T, test func(t *bundle, s server)) {
	t.Helper()
	t.Parallel()
	kinds := map[string]func(*testing.T) server{"embedded": newWirecut}
	if path, err := exec.LookPath("redis-server"); err == nil {
		kinds["process"] = func(t *testing.T) server { return newProcess(t, path) }
	}
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := kind(t)
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			t.Cleanup(cancel)
			r, err := provider.Start(ctx, provider.Options{URL: s.url()})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = r.Stop(context.Background()) })
			test(newBundle(ctx, t, r, Options{Timeout: 900 * time.Millisecond}), s)
		})
	}
}

// wirecut is an embedded Redis behind a line that can be cut: connections end
// and new ones are refused.
type wirecut struct {
	t    *testing.T
	to   string
	addr string

	mu    sync.Mutex
	ln    net.Listener
	conns map[net.Conn]struct{}
	wg    sync.WaitGroup
}

func newWirecut(t *testing.T) server {
	w := &wirecut{t: t, to: miniredis.RunT(t).Addr(), addr: "127.0.0.1:0", conns: map[net.Conn]struct{}{}}
	t.Cleanup(w.down)
	w.up()
	return w
}

func (w *wirecut) url() string { return "redis://" + w.addr }

func (w *wirecut) up() {
	ln, err := net.Listen("tcp", w.addr)
	if err != nil {
		w.t.Fatal(err)
	}
	w.addr = ln.Addr().String()
	w.mu.Lock()
	w.ln = ln
	w.mu.Unlock()
	w.wg.Go(func() {
		for {
			near, err := ln.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", w.to)
			if err != nil || !w.add(near, far) {
				_ = near.Close()
				continue
			}
			w.wg.Go(func() { _, _ = io.Copy(near, far); _ = near.Close(); _ = far.Close() })
			w.wg.Go(func() { _, _ = io.Copy(far, near); _ = near.Close(); _ = far.Close() })
		}
	})
}

func (w *wirecut) add(conns ...net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range conns {
		if w.ln == nil {
			_ = c.Close()
			continue
		}
		w.conns[c] = struct{}{}
	}
	return w.ln != nil
}

func (w *wirecut) down() {
	w.mu.Lock()
	if w.ln != nil {
		_ = w.ln.Close()
		w.ln = nil
	}
	for c := range w.conns {
		_ = c.Close()
	}
	clear(w.conns)
	w.mu.Unlock()
	w.wg.Wait()
}

type process struct {
	t         *testing.T
	path, dir string
	socket    string
	cmd       *exec.Cmd
}

func newProcess(t *testing.T, path string) server {
	dir, err := os.MkdirTemp("", "nx") // t.TempDir's is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, path: path, dir: dir, socket: filepath.Join(dir, "s")}
	t.Cleanup(func() {
		p.down()
		_ = os.RemoveAll(dir)
	})
	p.up()
	return p
}

func (p *process) url() string { return "unix://" + p.socket }

// down kills it as a power cut would.
func (p *process) down() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	p.cmd = nil
}

func (p *process) up() {
	_ = os.Remove(p.socket)
	p.cmd = exec.Command(p.path, "--port", "0", "--unixsocket", p.socket, "--dir", p.dir,
		"--appendonly", "yes", "--appendfsync", "always", "--save", "")
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	limit := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		c, err := net.Dial("unix", p.socket)
		if err == nil {
			_ = c.Close()
			return
		}
		if time.Now().After(limit) {
			p.t.Fatal("redis-server does not come up")
		}
	}
}

// Without Redis every caller is told so within a second, and when it is back
// everything goes on: asks, waiting jobs, subscriptions, wakes.
func TestRedisGoneAndBack(t *testing.T) {
	eachServer(t, func(t *bundle, s server) {
		t.serve(t.q, job.LaneInteractive, 2, echo)
		hold := newGate()
		t.serve(t.q, job.LaneBatch, 1, hold.handle)
		news := t.q.Subscribe(t.ctx, "checkpoint")
		ask := func() error {
			_, _, err := t.q.Ask(t.ctx, interact("x"), 10*time.Second)
			return err
		}
		if err := ask(); err != nil {
			t.Fatal(err)
		}
		running := t.submit(interact("running")).ID
		<-hold.started
		waiting := t.submit(interact("waiting")).ID

		s.down()
		for name, call := range map[string]func() error{
			"ask":    ask,
			"submit": func() error { _, err := t.q.Submit(t.ctx, interact("x")); return err },
			"job":    func() error { _, err := t.q.Job(t.ctx, running); return err },
			"cancel": func() error { _, err := t.q.Cancel(t.ctx, running); return err },
			"lanes":  func() error { _, err := t.q.Lanes(t.ctx); return err },
			"ping":   func() error { return t.q.Ping(t.ctx) },
		} {
			began := time.Now()
			err := call()
			if took := time.Since(began); took > 1200*time.Millisecond {
				t.Errorf("%s took %v", name, took)
			}
			wantCode(t.T, err, job.CodeUnavailable)
			if job.AsError(err).RetryAfter <= 0 {
				t.Errorf("%s does not say when to come again", name)
			}
		}
		hold.let <- job.Answer{Response: "done meanwhile"}
		s.up()

		t.until("asks are answered again", func() bool { return ask() == nil })
		if got := answerOf(t.T, t.untilState(running, job.StateSucceeded)).Response; got != "done meanwhile" {
			t.Errorf("response is %q", got)
		}
		<-hold.started
		hold.let <- job.Answer{Response: "after"}
		t.untilState(waiting, job.StateSucceeded)
		t.until("messages arrive again", func() bool {
			if err := t.q.Publish(t.ctx, "checkpoint", "c1"); err != nil {
				return false
			}
			select {
			case <-news:
				return true
			case <-time.After(50 * time.Millisecond):
				return false
			}
		})
	})
}

// A caller that waits while Redis dies, and does not come back, is told so.
func TestRedisGoneWhileACallerWaits(t *testing.T) {
	eachServer(t, func(t *bundle, s server) {
		told := make(chan error, 1)
		go func() {
			_, _, err := t.q.Ask(t.ctx, interact("x"), 50*time.Second)
			told <- err
		}()
		t.until("it waits", func() bool { return t.lane(job.LaneInteractive).Pending == 1 })
		s.down()
		select {
		case err := <-told:
			wantCode(t.T, err, job.CodeUnavailable)
		case <-time.After(10 * time.Second):
			t.Error("nobody told it")
		}
	})
}

// Servers may start before Redis does.
func TestServerStartsBeforeRedis(t *testing.T) {
	eachServer(t, func(t *bundle, s server) {
		s.down()
		t.serve(t.q, job.LaneInteractive, 1, echo)
		s.up()
		t.until("asks are answered", func() bool {
			_, _, err := t.q.Ask(t.ctx, interact("x"), time.Second)
			return err == nil
		})
	})
}
