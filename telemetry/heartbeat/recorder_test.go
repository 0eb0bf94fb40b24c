package heartbeat

import (
	"encoding/json"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/job"
)

// clock is a hand-moved time source.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock {
	return &clock{at: time.Date(2026, 1, 10, 12, 0, 0, 0, time.UTC)}
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func refusal(reason string) *job.Answer {
	return &job.Answer{Reason: &reason, Confidence: 0.2, Flow: job.Flow{Depth: 20}, Timing: job.Timing{ComputeMS: 2}}
}

func answer(depth int) *job.Answer {
	return &job.Answer{Responded: true, Confidence: 0.9, Flow: job.Flow{Depth: depth, Converged: true}, Timing: job.Timing{ComputeMS: 1}}
}

// sum sends beats through JSON, as the wire does, and adds them up.
func sum(t *testing.T, beats ...Beat) Cluster {
	t.Helper()
	payloads := map[string][]byte{}
	for _, b := range beats {
		p, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		payloads[b.ID] = p
	}
	decoded, err := Decode(payloads)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Sum(decoded)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestPercentilesAreThoseOfTheWholeCluster(t *testing.T) {
	t.Parallel()
	clk := newClock()
	fast := New(Options{ID: "fast", Roles: []string{RoleAPI}, Now: clk.now})
	slow := New(Options{ID: "slow", Roles: []string{RoleAPI}, Now: clk.now})
	// 990 requests of 1 ms on one process, 10 of 1 s on the other: the mean of
	// their medians would be 500 ms.
	for range 990 {
		fast.Served(time.Millisecond)
	}
	for range 10 {
		slow.Served(time.Second)
	}
	c := sum(t, fast.Snapshot(), slow.Snapshot())
	if math.Abs(c.Latency.P50-1) > 0.02 || math.Abs(c.Latency.P95-1) > 0.02 {
		t.Errorf("p50 %v and p95 %v ms, want 1 ms", c.Latency.P50, c.Latency.P95)
	}
	if math.Abs(c.Latency.Max-1000) > 0.1 {
		t.Errorf("slowest %v ms, want 1000", c.Latency.Max)
	}
	if c.Total.Requests != 1000 || c.Latency.Count != 1000 {
		t.Errorf("%d requests, %d latencies, want 1000", c.Total.Requests, c.Latency.Count)
	}
}

func TestRatesOfRefusalSuccessAndConvergence(t *testing.T) {
	t.Parallel()
	clk := newClock()
	api := New(Options{ID: "api", Roles: []string{RoleAPI}, Now: clk.now})
	worker := New(Options{ID: "worker", Roles: []string{RoleWorker}, Now: clk.now})
	for range 8 {
		api.Served(time.Millisecond)
	}
	api.Accepted()
	api.Unserved(time.Second)
	for range 6 {
		worker.Answer(answer(10))
	}
	worker.Answer(refusal(job.ReasonUnfamiliar))
	worker.Answer(refusal(job.ReasonUntaught))
	c := sum(t, api.Snapshot(), worker.Snapshot())
	if c.SuccessRate != 0.9 || c.RefusalRate != 0.25 || c.ConvergenceRate != 0.75 {
		t.Errorf("success %v, refusal %v, convergence %v; want 0.9, 0.25, 0.75", c.SuccessRate, c.RefusalRate, c.ConvergenceRate)
	}
	if c.Total.Refusals[job.ReasonUnfamiliar] != 1 || c.Total.Refusals[job.ReasonUntaught] != 1 {
		t.Errorf("refusals by reason: %v", c.Total.Refusals)
	}
	if c.Depth.Average != 12.5 {
		t.Errorf("average depth %v, want 12.5", c.Depth.Average)
	}
}

func TestAnEmptyClusterHasNoNaN(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]Cluster{
		"nobody":     sum(t),
		"idle":       sum(t, New(Options{ID: "idle", Now: newClock().now}).Snapshot()),
		"not filled": {},
	} {
		if _, err := json.Marshal(c); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if c := sum(t); c.SuccessRate != 1 || c.RefusalRate != 0 || c.ConvergenceRate != 1 {
		t.Errorf("before the first request: %+v", c)
	}
}

func TestOldTrafficLeavesTheWindowButNotTheTotals(t *testing.T) {
	t.Parallel()
	clk := newClock()
	r := New(Options{ID: "a", Now: clk.now})
	r.Unserved(9 * time.Second)
	clk.advance(Window + time.Second)
	if c := sum(t, r.Snapshot()); c.Latency.P99 < 8900 || c.SuccessRate != 0 {
		t.Errorf("with nothing recent the life counts: p99 %v, success %v", c.Latency.P99, c.SuccessRate)
	}
	r.Served(time.Millisecond)
	c := sum(t, r.Snapshot())
	if c.Latency.P99 > 2 || c.SuccessRate != 1 {
		t.Errorf("the recent request alone counts: p99 %v, success %v", c.Latency.P99, c.SuccessRate)
	}
	if c.Total.Requests != 2 || c.Total.Failed != 1 {
		t.Errorf("totals %+v", c.Total)
	}
}

func TestRatePerSecond(t *testing.T) {
	t.Parallel()
	clk := newClock()
	r := New(Options{ID: "a", Now: clk.now})
	for range 20 {
		for range 5 {
			r.Served(time.Millisecond)
		}
		clk.advance(time.Second)
	}
	if got := sum(t, r.Snapshot()).RatePerSecond; got != 5 {
		t.Errorf("%v requests a second, want 5", got)
	}
	clk.advance(time.Minute)
	if got := sum(t, r.Snapshot()).RatePerSecond; got != 0 {
		t.Errorf("%v requests a second after a silent minute, want 0", got)
	}
}

func TestManyGoroutinesRecord(t *testing.T) {
	t.Parallel()
	r := New(Options{ID: "a"})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				r.Served(time.Millisecond)
				r.Answer(answer(3))
				r.Snapshot()
			}
		})
	}
	wg.Wait()
	if c := sum(t, r.Snapshot()); c.Total.Requests != 1600 || c.Total.Answered != 1600 {
		t.Errorf("counted %+v, want 1600 of each", c.Total)
	}
}

func TestADamagedBeatLeavesTheOthers(t *testing.T) {
	t.Parallel()
	good, err := json.Marshal(New(Options{ID: "good", Roles: []string{RoleWorker}}).Snapshot())
	if err != nil {
		t.Fatal(err)
	}
	beats, err := Decode(map[string][]byte{"good": good, "bad": []byte("{")})
	if err == nil || len(beats) != 1 || beats[0].ID != "good" {
		t.Errorf("beats %v, error %v", beats, err)
	}
	beats[0].Latency = Sketch("not a sketch")
	c, err := Sum(beats)
	if err == nil || len(c.Beats) != 1 || !c.Beats[0].Has(RoleWorker) {
		t.Errorf("sum %+v, error %v", c, err)
	}
}

func TestTheWorstModeAndBreakerShow(t *testing.T) {
	t.Parallel()
	clk := newClock()
	a := New(Options{ID: "a", Now: clk.now})
	a.Fill(func(b *Beat) {
		b.Mode, b.Breakers = ModeActive, map[string]Breaker{"redis": {State: "closed"}}
		b.Model = &Model{Checkpoint: "old", LoadedAt: job.At(clk.now())}
	})
	b := New(Options{ID: "b", Now: clk.now})
	b.Fill(func(b *Beat) {
		b.Mode, b.ModeReason = ModeThrottled, "memory 92 % of its limit"
		b.Breakers = map[string]Breaker{"redis": {State: "open", Failures: 5}}
		b.Model = &Model{Checkpoint: "new", LoadedAt: job.At(clk.now().Add(time.Second))}
	})
	c := sum(t, a.Snapshot(), b.Snapshot())
	if c.Mode != ModeThrottled || c.ModeReason == "" || c.Breakers["redis"].State != "open" || c.Model.Checkpoint != "new" {
		t.Errorf("mode %s (%s), breakers %v, model %+v", c.Mode, c.ModeReason, c.Breakers, c.Model)
	}
}

func BenchmarkAnswer(b *testing.B) {
	r := New(Options{ID: "a"})
	a := answer(9)
	b.ReportAllocs()
	for b.Loop() {
		r.Answer(a)
	}
}

func BenchmarkServed(b *testing.B) {
	r := New(Options{ID: "a"})
	b.ReportAllocs()
	for b.Loop() {
		r.Served(1700 * time.Microsecond)
	}
}

func BenchmarkSumOf50(b *testing.B) {
	payloads := map[string][]byte{}
	for i := range 50 {
		r := New(Options{})
		for n := range 2000 {
			r.Served(time.Duration(n*i) * time.Microsecond)
			r.Answer(answer(n%40 + 1))
		}
		payloads[r.ID()], _ = json.Marshal(r.Snapshot())
	}
	b.ReportMetric(float64(len(payloads[firstKey(payloads)])), "bytes/beat")
	for b.Loop() {
		beats, err := Decode(payloads)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := Sum(beats); err != nil {
			b.Fatal(err)
		}
	}
}

func firstKey(m map[string][]byte) string {
	for k := range m {
		return k
	}
	return ""
}
