package api

import "testing"

// A run shows its loss, what it changed on held-out questions, and why its weights were
// not taken.
func TestRunsInTheDashboard(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := openTab(t, b.url)
	if p == nil {
		return
	}
	for range 2 {
		a := b.post("/api/control", `{"action": "train_start"}`)
		b.ended(a.text(t, "job_id"))
	}
	p.open("learning")
	p.says("#loss", "Over 40 steps", "Not promoted: accuracy fell from 91.0 % to 84.0 %")
	p.holds("the loss is drawn", `document.querySelector('#loss canvas') !== null`)
	p.says("main", "After each run")
	p.says("#runs", "91", "84", "Not promoted")
	p.fair("runs")
}
