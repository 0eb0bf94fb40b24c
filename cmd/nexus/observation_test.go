package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	goruntime "runtime"
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
	if s.url, err = out.await(readyLine, done); err != nil {
		b.Fatalf("no address: %v", err)
	}
	if _, err := out.await(regexp.MustCompile(`(ready after)`), done); err != nil {
		b.Fatal(err)
	}
	return s
}

// Words of lessons and prompts.
var (
	verbs  = strings.Fields("reset change lock find renew cancel share print move export delete restore")
	things = strings.Fields("password address number name colour date limit owner title size")
	wholes = strings.Fields("account card order folder phone printer invoice calendar project mailbox server camera lamp ticket contract drive")
)

func pick(n int) (verb, thing, whole string) {
	return verbs[n%len(verbs)], things[n/len(verbs)%len(things)], wholes[n/len(verbs)/len(things)%len(wholes)]
}

// teach teaches so many lessons, each with an answer of its own; they are kept in
// memory, and no gradient steps are taken while others measure.
func (s *system) teach(lessons int) {
	s.b.Helper()
	if !s.post("/api/control", `{"action":"train_stop"}`) {
		s.b.Fatal("gradient steps could not be stopped")
	}
	var body strings.Builder
	for i := range lessons {
		verb, thing, whole := pick(i)
		fmt.Fprintf(&body, `{"prompt":"How do I %s the %s of my %s?","response":"Answer %d.","topic":"help"}`+"\n", verb, thing, whole, i)
	}
	req, err := http.NewRequestWithContext(s.b.Context(), http.MethodPost, s.url+"/api/lessons", strings.NewReader(body.String()))
	if err != nil {
		s.b.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	req.Header.Set("Prefer", "wait=60") // until they answer
	res, err := s.client.Do(req)
	if err != nil {
		s.b.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, res.Body)
	res.Body.Close()
	if res.StatusCode >= 300 {
		s.b.Fatalf("lessons: status %d", res.StatusCode)
	}
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
	// Rounds are short, so that what else the machine does befalls neighbours
	// alike, and many.
	round = 100 * time.Millisecond
)

// rate is what a round gave.
type rate struct {
	perSecond float64
	cpu       float64 // seconds of this process, callers and both systems, for each interact
}

// load asks for a round; meanwhile the paths of watched are read, once each.
func (s *system) load(watched ...string) rate {
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
				verb, thing, whole := pick(131*i + 17*n)
				if s.post("/api/interact", fmt.Sprintf(`{"prompt":"can I %s the %s of a %s"}`, verb, thing, whole)) {
					answered.Add(1)
				} else {
					failed.Add(1)
				}
			}
		})
	}
	wg.Go(func() {
		for _, path := range watched {
			s.get(path)
		}
	})
	wg.Wait()
	if n := failed.Load(); n > 0 {
		s.b.Errorf("%d interacts failed", n)
	}
	spent, _ := governor.CPUTime()
	n := max(1, float64(answered.Load()))
	return rate{perSecond: n / time.Since(began).Seconds(), cpu: (spent - used).Seconds() / n}
}

// rest is the share of the machine that this process takes while nobody asks.
func (s *system) rest() float64 {
	s.b.Helper()
	const during = 4 * time.Second
	began := time.Now()
	used, _ := governor.CPUTime()
	select {
	case <-s.b.Context().Done():
	case <-time.After(during):
	}
	spent, _ := governor.CPUTime()
	return (spent - used).Seconds() / time.Since(began).Seconds() / float64(goruntime.NumCPU())
}

// BenchmarkObservation tells what all observation costs: counters, sketches,
// histograms, request lines, heartbeats, readings of the machine, scrapes and an
// open dashboard. Both systems run in one process and take turns. Each figure
// comes with half the width of its 95 % confidence interval. Prompts cost the
// least where one lesson is known.
func BenchmarkObservation(b *testing.B) {
	for _, lessons := range []int{1, len(verbs) * len(things) * len(wholes)} {
		b.Run(fmt.Sprintf("lessons=%d", lessons), func(b *testing.B) { benchmarkObservation(b, lessons) })
	}
}

func benchmarkObservation(b *testing.B, lessons int) {
	b.Helper()
	off := startSystem(b, true)
	defer off.stop()
	off.teach(lessons)
	resting := off.rest()
	on := startSystem(b, false)
	defer on.stop()
	on.teach(lessons)
	// What is done without callers is done in the rounds of both, so it is not in
	// the difference between them.
	background := on.rest() - 2*resting
	for range 4 { // warm up
		on.load("/api/metrics", "/api/status")
		off.load()
	}
	var slower, dearer, observed, bare []float64
	for i := 0; b.Loop(); i++ {
		// On, off, off, on: a steady drift of the machine falls out.
		a, c, d, e := on.load(watched(2*i)...), off.load(), off.load(), on.load(watched(2*i+1)...)
		observed, bare = append(observed, a.perSecond, e.perSecond), append(bare, c.perSecond, d.perSecond)
		slower = append(slower, 1-(a.perSecond+e.perSecond)/(c.perSecond+d.perSecond))
		dearer = append(dearer, (a.cpu+e.cpu)/(c.cpu+d.cpu)-1)
	}
	mean, _ := confidence(observed)
	b.ReportMetric(mean, "interacts/s-on")
	mean, _ = confidence(bare)
	b.ReportMetric(mean, "interacts/s-off")
	mean, half := confidence(slower)
	b.ReportMetric(100*mean, "%fewer")
	b.ReportMetric(100*half, "%fewer±")
	// On a machine that does other things too, processor time tells more.
	mean, half = confidence(dearer)
	b.ReportMetric(100*mean, "%CPU-more")
	b.ReportMetric(100*half, "%CPU-more±")
	b.ReportMetric(100*background, "%background")
}

// watched is what is read of an observed system in its n-th round: metrics as
// often as deploy/prometheus scrapes them, the status as often as the dashboard asks.
func watched(n int) (paths []string) {
	if n%int(15*time.Second/round) == 0 {
		paths = append(paths, "/api/metrics")
	}
	if n%int(2*time.Second/round) == 0 {
		paths = append(paths, "/api/status")
	}
	return paths
}

// confidence is the mean of v without the tenth at each end, since a round in
// which the machine was taken away says nothing, and half the width of the 95 %
// confidence interval around it (Tukey and McLaughlin, 1963); 0 where v is too
// short to tell.
func confidence(v []float64) (mean, half float64) {
	v = slices.Sorted(slices.Values(v))
	n, cut := len(v), len(v)/10
	kept := v[cut : n-cut]
	for _, x := range kept {
		mean += x / float64(len(kept))
	}
	if n < 2 {
		return mean, 0
	}
	// What was cut counts as the least and the greatest of what was kept.
	around, square := 0.0, 0.0
	for _, x := range v {
		around += min(max(x, kept[0]), kept[len(kept)-1]) / float64(n)
	}
	for _, x := range v {
		d := min(max(x, kept[0]), kept[len(kept)-1]) - around
		square += d * d / float64(n-1)
	}
	return mean, 1.96 * math.Sqrt(square/float64(n)) * float64(n) / float64(len(kept))
}
