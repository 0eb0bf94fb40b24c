package api

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/job"
)

// watcher reads GET /api/events.
type watcher struct {
	b      *bundle
	events *bufio.Scanner
	stop   context.CancelFunc
}

func (b *bundle) watch() *watcher {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url+"/api/events", http.NoBody)
	b.must(err)
	res, err := (&http.Client{Transport: b.client.Transport}).Do(req)
	b.must(err)
	b.Cleanup(func() { cancel(); res.Body.Close() })
	if res.StatusCode != http.StatusOK || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		b.Fatalf("the events: %d %v", res.StatusCode, res.Header)
	}
	s := bufio.NewScanner(res.Body)
	s.Buffer(nil, 4<<20)
	return &watcher{b: b, events: s, stop: cancel}
}

// until reads events of a name until one is as wanted.
func (w *watcher) until(name string, want func(map[string]any) bool) {
	w.b.Helper()
	event := ""
	for w.events.Scan() {
		if e, ok := strings.CutPrefix(w.events.Text(), "event: "); ok {
			event = e
		}
		data, ok := strings.CutPrefix(w.events.Text(), "data: ")
		if !ok || event != name {
			continue
		}
		var m map[string]any
		w.b.must(json.Unmarshal([]byte(data), &m))
		if want(m) {
			return
		}
	}
	w.b.Fatalf("the stream ended before the event came: %v", w.events.Err())
}

func TestEventsTellOfChanges(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.watch()
	w.until("status", func(m map[string]any) bool { return m["health"] != nil && m["model"] != nil })
	w.until("learning", func(m map[string]any) bool { return m["state"] == learningIdle })

	b.post("/api/control", `{"action":"pause"}`)
	w.until("status", func(m map[string]any) bool { return m["daemon"].(map[string]any)["paused"] == true })
	w.until("learning", func(m map[string]any) bool { return m["state"] == learningPaused })
	b.post("/api/control", `{"action":"resume"}`)

	release := b.worker.pause()
	b.post("/api/lessons", `{"topic":"support","lessons":[{"prompt":"How do I reset my password?","response":"Open Settings."}]}`)
	w.until("learning", func(m map[string]any) bool { return m["state"] == learningRuns && m["job_id"] != nil })
	release()
	w.until("status", func(m map[string]any) bool { return m["model"].(map[string]any)["lessons"] == 1.0 })
	w.until("learning", func(m map[string]any) bool { return m["state"] == learningIdle })
}

func TestEventsAreForReaders(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *Options) { o.Keys = keysOfEachScope() })
	for _, scope := range scopeNames {
		ctx, cancel := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url+"/api/events", http.NoBody)
		b.must(err)
		req.Header.Set("X-API-Key", scopeKey(scope))
		res, err := b.client.Do(req)
		b.must(err)
		if (res.StatusCode == http.StatusOK) != (scope == "read") || (res.StatusCode == http.StatusForbidden) == (scope == "read") {
			t.Errorf("the scope %s: %d", scope, res.StatusCode)
		}
		cancel()
		res.Body.Close()
	}
	b.wantError(b.get("/api/events"), http.StatusUnauthorized, job.CodeUnauthorized, "")
}

func TestAStopEndsTheEvents(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.watch()
	w.until("status", func(map[string]any) bool { return true })
	b.must(b.srv.Stop(t.Context()))
	for w.events.Scan() { //nolint:revive // to its end
	}
	if err := w.events.Err(); err != nil {
		t.Errorf("the stream was cut instead of ended: %v", err)
	}
}

// TestWatchersShareOneLook counts the looks at the cluster: they must not
// depend on how many watch.
func TestWatchersShareOneLook(t *testing.T) {
	t.Parallel()
	const watchers = 200
	var looks atomic.Int64
	var n atomic.Int64
	f := &feed{now: time.Now, look: func(context.Context) (status, learning, error) {
		looks.Add(1)
		return status{Daemon: daemon{Version: "test"}, Control: controlState{Version: n.Load()}}, learning{State: learningIdle}, nil
	}}
	var all sync.WaitGroup
	for range watchers {
		all.Go(func() {
			defer f.watch()()
			var seen [2]uint64
			for got := 0; got < 2; {
				news, more := f.since(&seen)
				for _, e := range news {
					if strings.HasPrefix(string(e), "event: status") {
						got++
					}
				}
				if got == 1 {
					n.Store(1) // something changes, and each sees it
				}
				if len(news) == 0 {
					<-more
				}
			}
		})
	}
	all.Wait()
	if l := looks.Load(); l >= watchers {
		t.Errorf("%d looks for %d watchers", l, watchers)
	}
	if f.cancel != nil || f.watchers != 0 {
		t.Error("it still looks although nobody watches")
	}
}

func TestWhatAlwaysMovesIsHeldBack(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	cpu := 0.0
	f := &feed{now: func() time.Time { return now }, look: func(context.Context) (status, learning, error) {
		cpu++
		return status{Resources: resources{CPUPercent: cpu}}, learning{}, nil
	}, changed: make(chan struct{})}
	number := func() uint64 { f.refresh(t.Context()); return f.frames[0].number }
	if a, b := number(), number(); a != 1 || b != 1 {
		t.Errorf("a new CPU figure alone makes an event: %d, %d", a, b)
	}
	now = now.Add(feedRest)
	if a := number(); a != 2 {
		t.Errorf("it does not come after %s either: %d", feedRest, a)
	}
}

func TestHistoryKeepsEachRange(t *testing.T) {
	t.Parallel()
	h := newHistory()
	at := time.Unix(1_000_000, 0)
	for i := range 9000 { // 25 hours, every 10 s
		h.note(at.Add(time.Duration(i)*historyBeat), [figureCount]float64{float64(i)})
	}
	for name, want := range map[string]int{"hour": 361, "day": 1441, "week": 150} {
		got, ok := h.read(name, at.Add(8999*historyBeat))
		rates := got.Figures["requests_per_second"]
		if !ok || len(got.At) != want || len(rates) != want {
			t.Errorf("%s: %d points, want %d", name, len(got.At), want)
			continue
		}
		if last := got.At[want-1]; last != at.Unix()+8999*10 {
			t.Errorf("%s ends at %d", name, last)
		}
		for i := range rates[1:] {
			if rates[i+1] <= rates[i] || got.At[i+1] <= got.At[i] {
				t.Fatalf("%s: point %d is out of order", name, i)
			}
		}
	}
	if day, _ := h.read("week", at.Add(8999*historyBeat)); day.Figures["requests_per_second"][0] != 29.5 { // mean of 0 to 59
		t.Errorf("the first ten minutes are %v", day.Figures["requests_per_second"][0])
	}
}

func TestHistoryOverHTTP(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.srv.note(b.srv.status.view(t.Context()))
	a := b.get("/api/history?range=day")
	if at, _ := a.json(t)["at"].([]any); a.status != http.StatusOK || len(at) != 1 {
		t.Errorf("%d %s", a.status, a.body)
	}
	b.wantError(b.get("/api/history?range=year"), http.StatusBadRequest, "invalid_request", "range", "hour, day or week")
	if a := b.get("/api/packs"); !strings.Contains(string(a.body), "general_knowledge") {
		t.Errorf("%s", a.body)
	}
}
