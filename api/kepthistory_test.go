package api

import (
	"net/http"
	"testing"
	"time"
)

// Charts go on after a restart, and two API processes store each step once.
func TestTheHistoryOutlivesARestart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, second := newHistory(), newHistory()
	kept := b.srv.keptPast
	now := time.Now().Truncate(10 * time.Minute)
	const beats = 400 // more than an hour
	for i := range beats {
		at := now.Add(time.Duration(i-beats) * historyBeat)
		kept.save(t.Context(), first.note(at, [figureCount]float64{float64(i + 1)}))
		kept.save(t.Context(), second.note(at.Add(time.Second), [figureCount]float64{float64(i + 1)}))
	}
	again := newHistory()
	again.note(now, [figureCount]float64{1000}) // noted before Redis could be reached
	if !kept.load(t.Context(), again) {
		t.Fatal("the stored history could not be read")
	}
	for name, want := range map[string]int{"hour": 360, "day": 66, "week": 7} {
		got, _ := again.read(name, now)
		rates := got.Figures["requests_per_second"]
		if len(rates) < want || len(rates) > want+1 || rates[len(rates)-1] != 1000 {
			t.Errorf("%s: %d points after the restart, want %d; they end with %v", name, len(rates), want, rates[max(0, len(rates)-2):])
			continue
		}
		for i := range rates[1:] {
			if rates[i+1] <= rates[i] || got.At[i+1] <= got.At[i] {
				t.Fatalf("%s: point %d of %v is out of order", name, i, rates)
			}
		}
	}
	if got, _ := again.read("hour", now.Add(2*time.Hour)); len(got.At) != 0 {
		t.Errorf("two hours later, the last hour has %d points", len(got.At))
	}
	if got, _ := again.read("day", now.Add(2*time.Hour)); len(got.At) < 60 {
		t.Errorf("two hours later, the last day has %d points", len(got.At))
	}

	// Over HTTP, with a server that has just started on the same Redis.
	b.srv.past = newHistory()
	if !kept.load(t.Context(), b.srv.past) {
		t.Fatal("the stored history could not be read")
	}
	a := b.get("/api/history?range=day")
	if at, _ := a.json(t)["at"].([]any); a.status != http.StatusOK || len(at) < 60 {
		t.Errorf("%d %.200s", a.status, a.body)
	}
}
