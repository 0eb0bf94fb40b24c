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
// and memory does not grow.
func TestHotSwaps(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir(), []string{"serve"}, "NEXUS_PPROF_LISTEN=127.0.0.1:0", "LOG_LEVEL=WARN")
	pprof, err := p.out.await(regexp.MustCompile(`(?m)^\s*pprof\s+(http\S+)$`), p.done, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	lessons := drillLessons("valve", 200)
	p.finished(p.teach("stores", lessons...).ID, 3*time.Minute)
	p.finished(p.teach("stores", drillLessons("pump", 4)...).ID, 3*time.Minute)
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
	asked, seen := 0, map[string]int{}
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
				}
				err = json.NewDecoder(res.Body).Decode(&a)
				res.Body.Close()
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
		p.eventually(30*time.Second, "the promoted checkpoint answers", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return seen[id] > 0 || t.Failed()
		})
	}
	const warm = 6
	for i := range warm {
		swap(i)
	}
	before, began := liveHeap(t, pprof), time.Now()
	for i := range *hotSwaps {
		swap(warm + i)
	}
	took := time.Since(began)
	after := liveHeap(t, pprof)
	close(stop)
	traffic.Wait()
	t.Logf("%d swaps in %s, %d requests, live heap %.1f MB before and %.1f MB after (%+.2f %%)",
		*hotSwaps, took.Round(time.Millisecond), asked, before/1e6, after/1e6, 100*(after/before-1))
	if after > 1.02*before {
		t.Errorf("the live heap grew from %.1f to %.1f MB over %d swaps", before/1e6, after/1e6, *hotSwaps)
	}
	if log := p.out.String(); strings.Contains(log, "level=ERROR") {
		t.Errorf("errors were logged:\n%s", faults(log))
	}
}
