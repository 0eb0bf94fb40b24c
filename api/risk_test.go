package api

import (
	"net/http"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"github.com/nexus-continuum/nexus/job"
)

// The bound on wrong answers can be seen, weighed, set, and given back to the settings.
func TestTheTargetIsSet(t *testing.T) {
	t.Parallel()
	b := setup(t)
	m := b.get("/api/risk").json(t)
	if m["target_error"] != 0.05 || m["set"] != false || m["prompts"] != 120.0 || len(m["choices"].([]any)) != len(targets) || len(m["reliability"].([]any)) != 10 {
		t.Errorf("at first: %v", m)
	}
	if a := b.post("/api/control", `{"action": "set_target", "target_error": 0.02}`); a.status != http.StatusOK || a.text(t, "status") != "target_set" {
		t.Fatalf("set: %d %s", a.status, a.body)
	}
	m = b.get("/api/risk").json(t)
	if m["target_error"] != 0.02 || m["set"] != true || m["threshold"] != 0.92 {
		t.Errorf("after it was set: %v", m)
	}
	if got := b.get("/api/status").json(t)["control"].(map[string]any)["target_error"]; got != 0.02 {
		t.Errorf("the status says %v", got)
	}
	b.wantError(b.post("/api/control", `{"action": "set_target", "target_error": 0.9}`), http.StatusBadRequest, job.CodeInvalid, "target_error", "0.001", "0.5")
	b.wantError(b.post("/api/control", `{"action": "set_target"}`), http.StatusBadRequest, job.CodeInvalid, "target_error")
	b.wantError(b.post("/api/control", `{"action": "pause", "target_error": 0.1}`), http.StatusBadRequest, job.CodeInvalid, "target_error")
	b.post("/api/control", `{"action": "set_target", "target_error": null}`)
	if m = b.get("/api/risk").json(t); m["target_error"] != 0.05 || m["set"] != false {
		t.Errorf("given back: %v", m)
	}
}

// The threshold is moved along the curve, with the mouse and by keyboard, and only
// setting it changes anything.
func TestTheThresholdInTheDashboard(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := openTab(t, b.url)
	if p == nil {
		return
	}
	target := func() any { return b.get("/api/risk").json(t)["target_error"] }
	p.open("risk")
	p.says("#tradeoff", "Threshold 0.800", "70", "answered wrong")
	p.says("#reliability", "120 held-out questions", "Confidence")
	p.says("main", "The threshold over time")
	p.holds("nothing is chosen yet", `document.querySelector('#settarget').disabled`)
	p.fair("risk and coverage")

	eval[any](p, `document.querySelector('#handle').focus()`)
	p.keys(kb.ArrowLeft)
	p.says("#chosen", "at most 4.5", "wrong")
	p.holds("a slider tells what is chosen", `document.querySelector('#handle').getAttribute('aria-valuetext').startsWith('Threshold 0.820')`)
	p.keys(kb.Home)
	p.says("#chosen", "at most 0.1")
	// Drag from wherever the point is to three quarters of the questions.
	eval[any](p, `(() => {
		const s = document.querySelector('.tradeoff'), b = s.getBoundingClientRect();
		const at = (share) => b.left + (52 + share * (640 - 52 - 16)) / 640 * b.width;
		s.setPointerCapture = () => {};
		const send = (type, share) => s.dispatchEvent(new PointerEvent(type, { bubbles: true, pointerId: 1, clientX: at(share), clientY: b.top + 90 }));
		send('pointerdown', 0.52); send('pointermove', 0.6); send('pointermove', 0.78); send('pointerup', 0.78);
	})()`)
	p.says("#chosen", "Threshold 0.720", "at most 7.0")
	if got := target(); got != 0.05 {
		t.Errorf("moving the point set the target to %v", got)
	}
	p.click("#settarget")
	p.says(".toast", "At most 7.0", "wrong from now on")
	p.says("#chosen", "Threshold 0.720")
	if got := target(); got != 0.07 {
		t.Errorf("set to %v", got)
	}
	p.keys("u")
	b.until("the undo gives it back to the settings", func() bool { return target() == 0.05 })
	p.says("#chosen", "Threshold 0.800")
}
