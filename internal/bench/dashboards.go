package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"sync"
	"time"

	"github.com/chromedp/chromedp"
)

const (
	openDashboards = 200
	askedASecond   = 20
	paints         = 21
)

// dashboards measures what open dashboards cost the server, at rest and while it is
// asked, and how soon a browser without a cache shows the first page.
func dashboards(ctx context.Context, o options) (rows []row, err error) {
	dir, err := os.MkdirTemp("", "nexus-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	s, _, err := startServer(ctx, o.binary, dir)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	lessons := makeLessons(200)
	if err := s.teach(ctx, lessons); err != nil {
		return nil, err
	}

	// Alone and watched in turns: what else the machine does changes slowly.
	var alone, watched, askedAlone, askedWatched float64
	const rounds = 3
	for range rounds {
		for _, of := range []struct {
			watch         bool
			rest, working *float64
		}{{false, &alone, &askedAlone}, {true, &watched, &askedWatched}} {
			leave := func() {}
			if of.watch {
				if leave, err = s.watch(ctx, openDashboards); err != nil {
					return rows, err
				}
			}
			rest, err := s.idle(o.load)
			if err == nil {
				*of.rest += rest / rounds
				err = s.paced(ctx, lessons, func() error {
					working, err := s.idle(o.load)
					*of.working += working / rounds
					return err
				})
			}
			leave()
			if err != nil {
				return rows, err
			}
		}
	}
	rows = append(rows,
		row{fmt.Sprintf("%d open dashboards, at rest", openDashboards), fmt.Sprintf("%.2f %% of a core, %.2f %% without them", 100*watched, 100*alone), "≤ 5 %"},
		row{fmt.Sprintf("the same, asked %d prompts a second", askedASecond), fmt.Sprintf("%.2f %% of a core, %.2f %% without them", 100*askedWatched, 100*askedAlone), ""})

	first, err := s.firstPaints(ctx)
	if err != nil {
		return rows, err
	}
	return append(rows, row{
		fmt.Sprintf("first paint, Chromium without a cache, median of %d", len(first)),
		fmt.Sprintf("%.0f ms; slowest %.0f ms", first[len(first)/2], first[len(first)-1]), "≤ 300 ms",
	}), nil
}

// watch opens event streams as n dashboards do, each from its own loopback address, since
// one caller may have only a few.
func (s *server) watch(ctx context.Context, n int) (leave func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	var open sync.WaitGroup
	leave = func() { cancel(); open.Wait() }
	for i := range n {
		from := &net.TCPAddr{IP: net.IPv4(127, 0, 1+byte(i/200), 1+byte(i%200))}
		t := &http.Transport{DialContext: (&net.Dialer{LocalAddr: from}).DialContext}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/api/events", nil)
		if err != nil {
			leave()
			return nil, err
		}
		res, err := t.RoundTrip(req)
		if err != nil || res.StatusCode != http.StatusOK {
			leave()
			return nil, fmt.Errorf("open dashboard %d: %w %v", i+1, err, res)
		}
		open.Go(func() {
			defer t.CloseIdleConnections()
			defer res.Body.Close()
			_, _ = io.Copy(io.Discard, res.Body)
		})
	}
	return leave, nil
}

// paced asks prompts at a steady rate while do runs.
func (s *server) paced(ctx context.Context, lessons []lesson, do func() error) error {
	c, err := s.caller(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	stop, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		pace := time.NewTicker(time.Second / askedASecond)
		defer pace.Stop()
		for i := 0; ; i++ {
			select {
			case <-pace.C:
				if _, err := c.ask(lessons[i%len(lessons)].Prompt); err != nil {
					ended <- err
					return
				}
			case <-stop:
				ended <- nil
				return
			}
		}
	}()
	err = do()
	close(stop)
	return errors.Join(err, <-ended)
}

// firstPaints opens the dashboard in a browser, each time in a profile of its own, and
// returns the milliseconds until something was drawn, in order.
func (s *server) firstPaints(ctx context.Context) ([]float64, error) {
	path, err := exec.LookPath("chromium")
	if err != nil {
		return nil, errors.New("needs chromium on PATH")
	}
	ctx, cancel := chromedp.NewExecAllocator(ctx, append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU)...)
	defer cancel()
	ctx, cancel = chromedp.NewContext(ctx)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		return nil, fmt.Errorf("start chromium: %w", err)
	}
	var out []float64
	for range paints {
		tab, leave := chromedp.NewContext(ctx, chromedp.WithNewBrowserContext())
		if err := chromedp.Do(tab, chromedp.Navigate(s.url+"/dashboard")); err != nil {
			leave()
			return nil, fmt.Errorf("open the dashboard: %w", err)
		}
		at, err := chromedp.Run(tab, chromedp.Poll[float64](`document.querySelector('#title') && (performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0)`, chromedp.WithPollingTimeout(20*time.Second)))
		leave()
		if err != nil {
			return nil, fmt.Errorf("wait for the first paint: %w", err)
		}
		out = append(out, at)
	}
	slices.Sort(out)
	return out, nil
}
