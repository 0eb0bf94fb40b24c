package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// hotSwaps is how many swaps TestHotSwaps makes; `make swaps` makes 1 000.
var hotSwaps = flag.Int("hotswaps", 12, "swaps of the model under traffic")

var heapLine = regexp.MustCompile(`(?m)^# HeapAlloc = (\d+)$`)

// liveHeap is what the process holds after a collection, in bytes.
func liveHeap(t *testing.T, pprof string) float64 {
	t.Helper()
	var least float64
	for range 3 { // what finalizers free, the next collection takes
		_, text := fetch(t, pprof+"heap?gc=1&debug=1")
		m := heapLine.FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("no heap size in %.300s", text)
		}
		n, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		if least == 0 || n < least {
			least = n
		}
	}
	return least
}

// TestHotSwaps promotes two checkpoints in turn under traffic: no request fails,
// and swaps leave nothing in memory, which the same time without swaps is the
// control for.
func TestHotSwaps(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir(), []string{"serve"}, "NEXUS_PPROF_LISTEN=127.0.0.1:0", "LOG_LEVEL=WARN")
	pprof, err := p.out.await(regexp.MustCompile(`(?m)^\s*pprof\s+(http\S+)$`), p.done)
	if err != nil {
		t.Fatal(err)
	}
	lessons := drillLessons("valve", 200)
	p.finished(p.teach("stores", lessons...).ID)
	p.finished(p.teach("stores", drillLessons("pump", 4)...).ID)
	var list struct {
		Checkpoints []struct {
			ID      string
			Lessons int
		}
	}
	p.call("GET", "/api/checkpoints", nil, &list)
	var ids []string
	for _, want := range []int{200, 204} {
		for _, c := range list.Checkpoints { // newest first
			if c.Lessons == want {
				ids = append(ids, c.ID)
				break
			}
		}
	}
	if len(ids) != 2 {
		t.Fatalf("checkpoints %+v, want one with 200 and one with 204 lessons", list)
	}
	p.call("POST", "/api/control", map[string]string{"action": "pause"}, nil)

	stop := make(chan struct{})
	var traffic sync.WaitGroup
	asked, starved, seen := 0, 0, map[string]int{}
	var mu sync.Mutex
	for w := range 2 {
		traffic.Go(func() {
			for i := w; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				l := lessons[i%len(lessons)]
				body, _ := json.Marshal(map[string]string{"prompt": l.Prompt})
				res, err := http.Post(p.url+"/api/interact", "application/json", bytes.NewReader(body))
				if err != nil {
					t.Errorf("under traffic: %v", err)
					return
				}
				var a struct {
					Responded  bool
					Response   string
					Checkpoint string
					Detail     string
				}
				err = json.NewDecoder(res.Body).Decode(&a)
				res.Body.Close()
				if res.StatusCode == http.StatusServiceUnavailable && strings.HasPrefix(a.Detail, "the queue cannot be reached") {
					mu.Lock()
					starved++ // Redis was not given the CPU for a second: others use this machine
					mu.Unlock()
					continue
				}
				if err != nil || res.StatusCode != http.StatusOK || !a.Responded || a.Response != l.Response {
					t.Errorf("under traffic: %q: status %d, %+v, %v", l.Prompt, res.StatusCode, a, err)
					return
				}
				mu.Lock()
				asked++
				seen[a.Checkpoint]++
				mu.Unlock()
			}
		})
	}
	swap := func(i int) {
		id := ids[i%2]
		mu.Lock()
		clear(seen)
		mu.Unlock()
		if code, _ := p.call("POST", "/api/checkpoints/"+id+"/promote", nil, nil); code != http.StatusOK {
			t.Fatalf("promote %s: status %d", id, code)
		}
		p.eventually("the promoted checkpoint answers", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return seen[id] > 0 || t.Failed()
		})
	}
	for i := range 6 {
		swap(i)
	}
	// A model that was swapped out is kept for its trial of a minute, so each
	// measure is taken just after two swaps.
	var heap []float64
	measure := func() {
		swap(0)
		swap(1)
		heap = append(heap, liveHeap(t, pprof))
	}
	half := max(*hotSwaps/2, 1)
	swaps := func() {
		for i := range half {
			swap(i)
		}
		measure()
	}
	// Swaps, twice as long without any, and swaps: what grows with time, with
	// prompts or towards a bound cancels out, what a swap leaves does not.
	measure()
	began := time.Now()
	swaps()
	took := time.Since(began)
	<-time.After(2 * took)
	measure()
	swaps()
	close(stop)
	traffic.Wait()
	swapped, rested := heap[1]-heap[0]+heap[3]-heap[2], heap[2]-heap[1]
	share := func(bytes float64) float64 { return 100 * bytes / heap[0] }
	t.Logf("%d swaps, %s each half, %d requests in all, %d turned away by a queue without CPU; live heap %.2f MB; %+.2f %% in the time with swaps, %+.2f %% in the same time without",
		2*half, took.Round(time.Millisecond), asked, starved, heap[0]/1e6, share(swapped), share(rested))
	if starved > 2+asked/1000 {
		t.Errorf("%d of %d requests were turned away", starved, asked+starved)
	}
	if share(swapped-rested) > 2 {
		t.Errorf("%d swaps left %.2f MB in the live heap of %.1f MB: %.0f", 2*half, (swapped-rested)/1e6, heap[0]/1e6, heap)
	}
	if log := p.out.String(); strings.Contains(log, "level=ERROR") {
		t.Errorf("errors were logged:\n%s", faults(log))
	}
}
