package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	rollingAsks  = 10_000
	rollingAPIs  = 3
	rollingEvery = 1500 * time.Millisecond
	// rollingDrain is what auto is under an orchestrator.
	rollingDrain = 3 * time.Second
)

// nginxConf balances over the APIs. nginx asks another server only where none has seen
// the request (proxy_next_upstream with a method that is not idempotent), and does not
// leave out a server for ten seconds because it restarted.
const nginxConf = `worker_processes 1;
daemon off;
pid %[1]s/nginx.pid;
error_log %[1]s/error.log warn;
events { worker_connections 1024; }
http {
  access_log off;
  client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  keepalive_requests 1000000;
  upstream nexus {
%[2]s    keepalive 64;
  }
  server {
    listen %[3]s;
    location / {
      proxy_pass http://nexus;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
    }
  }
}
`

// rolling asks through nginx while the APIs behind it are restarted in turn.
func rolling(ctx context.Context, o options) (rows []row, err error) {
	program, err := exec.LookPath("nginx")
	if err != nil {
		return nil, errors.New("needs nginx on PATH (apt-get install nginx-light)")
	}
	f, err := startFleet(ctx, o, 0, 2)
	defer f.stop()
	if err != nil {
		return nil, err
	}
	hosts := make([]string, rollingAPIs+1)
	for i := range hosts {
		if hosts[i], err = freeHost(ctx); err != nil {
			return nil, err
		}
	}
	api := func(i int) (*server, error) {
		env := slices.Concat(f.env, []string{"NEXUS_LISTEN=" + hosts[i], "NEXUS_DRAIN_DELAY=" + rollingDrain.String()})
		s, _, err := startRole(ctx, o.binary, "api", filepath.Join(f.dir, fmt.Sprintf("api%d-%d.log", i, time.Now().UnixMilli())), env)
		return s, err
	}
	var upstream strings.Builder
	for i := range rollingAPIs {
		s, err := api(i)
		if err != nil {
			return nil, err
		}
		f.apis = append(f.apis, s)
		fmt.Fprintf(&upstream, "    server %s max_fails=0;\n", hosts[i])
	}
	lessons := makeLessons(200)
	if err := f.apis[0].teach(ctx, lessons); err != nil {
		return nil, err
	}
	front := hosts[rollingAPIs]
	conf := filepath.Join(f.dir, "nginx.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, nginxConf, f.dir, &upstream, front), 0o600); err != nil {
		return nil, err
	}
	nginx := exec.CommandContext(ctx, program, "-c", conf, "-e", filepath.Join(f.dir, "error.log"))
	nginx.Stderr = os.Stderr
	if err := nginx.Start(); err != nil {
		return nil, err
	}
	defer func() { _ = nginx.Process.Signal(syscall.SIGTERM); _ = nginx.Wait() }()
	for range 500 {
		if c, err := (&net.Dialer{}).DialContext(ctx, "tcp", front); err == nil {
			_ = c.Close()
			break
		}
		time.Sleep(10 * time.Millisecond)
	}

	// So many callers that the restarts go through all APIs while they ask.
	var asked, failed atomic.Int64
	var callers sync.WaitGroup
	pace := time.NewTicker(time.Second / 400)
	defer pace.Stop()
	s := server{url: "http://" + front}
	for range 16 {
		callers.Go(func() {
			c, err := s.caller(ctx)
			for n := asked.Add(1); n <= rollingAsks && ctx.Err() == nil; n = asked.Add(1) {
				<-pace.C
				if err != nil {
					c, err = s.caller(ctx)
				}
				var status int
				if err == nil {
					status, err = c.ask(lessons[int(n)%len(lessons)].Prompt)
				}
				if err != nil || status != http.StatusOK {
					failed.Add(1)
					fmt.Fprintf(os.Stderr, "%s: status %d, %v\n", time.Now().Format(time.StampMilli), status, err)
				}
			}
		})
	}
	ended := make(chan struct{})
	go func() { callers.Wait(); close(ended) }()
	restarts, err := roll(ended, f.apis, api)
	<-ended
	if said, _ := os.ReadFile(filepath.Join(f.dir, "error.log")); failed.Load() > 0 {
		for line := range strings.Lines(string(said)) {
			// That a server is away for a moment is what is tried: another one is asked.
			if !strings.Contains(line, "Connection refused") {
				fmt.Fprint(os.Stderr, "nginx: ", line)
			}
		}
	}
	return []row{{
		fmt.Sprintf("%d interacts through nginx, %d restarts of %d APIs in turn, %s apart", rollingAsks, restarts, rollingAPIs, rollingEvery),
		fmt.Sprintf("%d failed", failed.Load()), "0",
	}}, err
}

// roll restarts one API after the other, until ended; while one drains, the next is
// told to stop.
func roll(ended <-chan struct{}, apis []*server, start func(i int) (*server, error)) (restarts int, err error) {
	var group sync.WaitGroup
	errs := make([]error, len(apis))
	busy := make([]sync.Mutex, len(apis))
	tick := time.NewTicker(rollingEvery)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			group.Wait()
			return restarts, errors.Join(errs...)
		case <-tick.C:
		}
		i := restarts % len(apis)
		restarts++
		group.Go(func() {
			busy[i].Lock()
			defer busy[i].Unlock()
			apis[i].stop()
			if s, err := start(i); err != nil {
				errs[i] = err
			} else {
				apis[i] = s
			}
		})
	}
}

// freeHost is an address of loopback that nobody listens at.
func freeHost(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
