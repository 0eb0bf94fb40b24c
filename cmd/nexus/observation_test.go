package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/worker/governor"
)

// system is a whole nexus in this process.
type system struct {
	b      *testing.B
	url    string
	client *http.Client
	stop   func()
}

// startSystem runs nexus serve with a log file, as it runs in production.
func startSystem(b *testing.B, unobserved bool, env ...string) *system {
	b.Helper()
	dir := b.TempDir()
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		b.Fatal(err)
	}
	out := &transcript{grown: make(chan struct{})}
	m := Main{Stdout: out, Stderr: log, unobserved: unobserved, Environ: append([]string{
		"PATH=" + os.Getenv("PATH"), "NEXUS_DATA_DIR=" + dir, "NEXUS_LISTEN=127.0.0.1:0", "NEXUS_RATE_LIMIT_ENABLED=false",
	}, env...)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if code := m.Run(ctx, []string{"serve"}); code != exitOK {
			b.Errorf("exit status %d", code)
		}
	}()
	s := &system{b: b, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: callers}}}
	s.stop = func() {
		s.client.CloseIdleConnections()
		cancel()
		<-done
		log.Close()
	}
	if s.url, err = out.await(readyLine, done, time.Minute); err != nil {
		b.Fatalf("no address: %v", err)
	}
	if _, err := out.await(regexp.MustCompile(`(ready after)`), done, time.Minute); err != nil {
		b.Fatal(err)
	}
	s.post("/api/lessons", `{"lessons":[{"prompt":"How do I reset my password?","response":"Open Settings."}]}`)
	return s
}

func (s *system) post(path, body string) bool {
	res, err := s.client.Post(s.url+path, "application/json", strings.NewReader(body))
	if err != nil {
		return false
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return err == nil && res.StatusCode < 300
}

func (s *system) get(path string) {
	if res, err := s.client.Get(s.url + path); err == nil {
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
	}
}

const (
	callers = 16
	round   = 2 * time.Second
)

// rate is what a round gave.
type rate struct {
	perSecond float64
	cpu       float64 // seconds of this process, callers and both systems, for each interact
}

// load asks for a round. An observed system is also scraped, and its status
// asked for, each second: more often than Prometheus and as often as a dashboard.
func (s *system) load(observed bool) rate {
	s.b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), round)
	defer cancel()
	var answered, failed atomic.Int64
	var wg sync.WaitGroup
	began := time.Now()
	used, _ := governor.CPUTime()
	for i := range callers {
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				if s.post("/api/interact", fmt.Sprintf(`{"prompt":"how do I reset my password %d"}`, (i+n)%50)) {
					answered.Add(1)
				} else {
					failed.Add(1)
				}
			}
		})
	}
	if observed {
		wg.Go(func() {
			tick := time.NewTicker(time.Second)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
					s.get("/api/metrics")
					s.get("/api/status")
				}
			}
		})
	}
	wg.Wait()
	if n := failed.Load(); n > 0 {
		s.b.Errorf("%d interacts failed", n)
	}
	spent, _ := governor.CPUTime()
	n := max(1, float64(answered.Load()))
	return rate{perSecond: n / time.Since(began).Seconds(), cpu: (spent - used).Seconds() / n}
}

// BenchmarkObservation tells what all observation costs: counters, sketches,
// histograms, request lines, heartbeats, readings of the machine, scrapes. Both
// systems run in one process and take turns, so that what else the machine does
// befalls both.
func BenchmarkObservation(b *testing.B) {
	on, off := startSystem(b, false), startSystem(b, true)
	defer off.stop()
	defer on.stop()
	on.load(true) // warm up
	off.load(false)
	var slower, dearer, observed, bare []float64
	for b.Loop() {
		// On, off, off, on: a steady drift of the machine falls out.
		a, c, d, e := on.load(true), off.load(false), off.load(false), on.load(true)
		observed, bare = append(observed, a.perSecond, e.perSecond), append(bare, c.perSecond, d.perSecond)
		slower = append(slower, 1-(a.perSecond+e.perSecond)/(c.perSecond+d.perSecond))
		dearer = append(dearer, (a.cpu+e.cpu)/(c.cpu+d.cpu)-1)
	}
	b.ReportMetric(median(observed), "interacts/s-on")
	b.ReportMetric(median(bare), "interacts/s-off")
	b.ReportMetric(100*median(slower), "%fewer")
	// On a machine that does other things too, processor time tells more.
	b.ReportMetric(100*median(dearer), "%CPU-more")
}

func median(v []float64) float64 {
	v = slices.Clone(v)
	slices.Sort(v)
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}
