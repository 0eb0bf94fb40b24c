package provider

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// childTimeout covers reading a large append-only file.
	childTimeout = time.Minute
	// lockPoll is how often a process that uses another process's server checks
	// whether it must now run its own.
	lockPoll  = 250 * time.Millisecond
	keptLines = 8 // of a server's output, to explain its end
	// Rest between the end of a server and the start of the next.
	minBackoff = 50 * time.Millisecond
	maxBackoff = 5 * time.Second
)

// child keeps one redis-server running on a data folder. Of several processes
// on the same folder one runs it and holds a file lock; the others connect to it,
// and one of them takes over when it ends. The server itself holds the lock too, so
// that no second one opens the same append-only file while it still writes.
type child struct {
	binary string
	dir    string
	socket string
	log    *slog.Logger

	quit chan struct{}
	done chan struct{}

	free func(folder string) (int64, error) // bytes left on its disk

	mu   sync.Mutex
	proc *os.Process // of our own child, while it runs
}

func startChild(ctx context.Context, opt Options, binary string) (*Provider, error) {
	dir, err := filepath.Abs(filepath.Join(opt.Dir, "redis"))
	if err != nil {
		return nil, fmt.Errorf("find data folder %s: %w", opt.Dir, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make data folder: %w", err)
	}
	socket, err := socketPath(dir)
	if err != nil {
		return nil, err
	}
	c := &child{
		binary: binary, dir: dir, socket: socket, log: opt.Log,
		quit: make(chan struct{}), done: make(chan struct{}), free: freeBytes,
	}
	first := make(chan error, 1)
	go func() { //nolint:contextcheck // what it runs lives longer than the start
		defer close(c.done)
		// The child gets its death signal when the thread that forked it ends,
		// so this goroutine keeps its thread to itself for as long as it runs.
		runtime.LockOSThread()
		c.supervise(first)
	}()
	t := Target{unix: true, opt: redis.UniversalOptions{Addrs: []string{socket}}}
	client := t.connect(opt)
	if err := c.ready(ctx, client, first); err != nil {
		_ = client.Close()
		return nil, errors.Join(fmt.Errorf("run %s on %s: %w", binary, dir, err), c.stop(ctx))
	}
	return &Provider{
		describe: fmt.Sprintf("%s as a child process, append-only file in %s", filepath.Base(binary), dir),
		connect:  func() redis.UniversalClient { return t.connect(opt) },
		client:   client,
		stop:     c.stop,
	}, nil
}

// ready waits until the server answers, or has failed at its first attempt.
func (c *child) ready(ctx context.Context, client redis.UniversalClient, first <-chan error) error {
	ctx, cancel := context.WithTimeout(ctx, childTimeout)
	defer cancel()
	answered := make(chan error, 1)
	go func() {
		err := c.waitForSocket(ctx)
		if err == nil {
			err = answer(ctx, client, childTimeout)
		}
		answered <- err
	}()
	select {
	case err := <-answered:
		return err
	case err := <-first:
		cancel()
		<-answered //nolint:errcheck // it was canceled; why is in err
		return err
	}
}

// waitForSocket waits for the socket: go-redis would log each try without one.
func (c *child) waitForSocket(ctx context.Context) error {
	t := time.NewTicker(time.Millisecond)
	defer t.Stop()
	for {
		if _, err := os.Stat(c.socket); err == nil {
			return nil
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return fmt.Errorf("it made no socket: %w", ctx.Err())
		}
	}
}

// supervise runs one server after another until quit. The error of the first one is sent
// to first, which has room for one error.
func (c *child) supervise(first chan<- error) {
	attached := false // to the server of another process
	for backoff := minBackoff; ; backoff = min(2*backoff, maxBackoff) {
		began := time.Now()
		lock, err := lockDir(c.dir)
		if errors.Is(err, errLocked) {
			if !attached {
				c.log.Info("the data folder has a redis-server of another process; using it", "dir", c.dir)
			}
			attached, backoff = true, minBackoff
			if !c.pause(lockPoll) {
				return
			}
			continue
		}
		attached = false
		if err == nil {
			err = c.run(lock)
			_ = lock.Close() // nothing was written
		}
		select {
		case <-c.quit:
			return
		default:
		}
		select {
		case first <- err: // once; later there is no room
		default:
		}
		if time.Since(began) > maxBackoff {
			backoff = minBackoff
		}
		c.log.Error("redis-server ended; starting it again", "error", err, "in", backoff)
		if !c.pause(backoff) {
			return
		}
	}
}

func (c *child) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-c.quit:
		return false
	}
}

// run starts a server and waits for its end.
func (c *child) run(lock *os.File) (err error) {
	// We hold the lock, so a socket that is left belongs to nobody.
	if err := os.Remove(c.socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the socket of a former server: %w", err)
	}
	cmd := exec.Command(c.binary, //nolint:noctx // stop ends it in an orderly way; a context would kill it
		"--port", "0", "--unixsocket", c.socket, "--unixsocketperm", "700",
		"--dir", c.dir, "--appendonly", "yes", "--appendfsync", "everysec", "--save", "",
		// How often a second it does its background work. A handful of clients gives it
		// little to do.
		"--hz", "2", "--maxmemory-policy", "noeviction", "--daemonize", "no", "--logfile", "",
		// By default the title shows the socket's path; with that in a folder called nexus,
		// `top -p $(pgrep -f nexus)` would get two processes.
		"--proc-title-template", "{title} child")
	cmd.SysProcAttr = procAttr()
	cmd.ExtraFiles = []*os.File{lock}
	out, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	// A grandchild that keeps the output open must not delay the end.
	cmd.WaitDelay = time.Second
	var logs sync.WaitGroup
	var last []string
	full := make(chan struct{}, 1)
	life, end := context.WithCancel(context.Background()) // of this server
	logs.Go(func() { last = c.logOutput(out, full) })
	logs.Go(func() {
		for {
			select {
			case <-full:
				c.runWithoutDisk(life)
			case <-life.Done():
				return
			}
		}
	})
	defer func() {
		_ = w.Close() // a pipe's writer never fails to close
		end()
		logs.Wait()
		if err != nil && len(last) > 0 {
			err = fmt.Errorf("%w; its last lines: %s", err, strings.Join(last, " / "))
		}
	}()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", c.binary, err)
	}
	c.mu.Lock()
	c.proc = cmd.Process
	c.mu.Unlock()
	select {
	case <-c.quit: // stop may have missed it
		_ = cmd.Process.Signal(syscall.SIGTERM)
	default:
	}
	err = cmd.Wait()
	c.mu.Lock()
	c.proc = nil
	c.mu.Unlock()
	return err
}

// logOutput logs the output of the server and returns its last lines. Most of it is
// routine, even the warnings. It matters only if the server ends or reports a full disk.
func (c *child) logOutput(r io.Reader, full chan<- struct{}) (last []string) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if cannotWrite(lines.Text()) {
			select {
			case full <- struct{}{}:
			default: // it is known already
			}
		}
		c.log.Debug("redis-server", "said", lines.Text())
		if last = append(last, lines.Text()); len(last) > keptLines {
			last = last[1:]
		}
	}
	_, _ = io.Copy(io.Discard, r) // a line too long for the scanner
	return last
}

// stop asks the server to shut down, which syncs its append-only file, and
// waits. When ctx ends first it is killed.
func (c *child) stop(ctx context.Context) error {
	close(c.quit)
	c.signal(syscall.SIGTERM)
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		c.signal(syscall.SIGKILL)
		<-c.done
		return fmt.Errorf("redis-server did not end in time: %w", ctx.Err())
	}
}

func (c *child) signal(s os.Signal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.proc != nil {
		_ = c.proc.Signal(s)
	}
}
