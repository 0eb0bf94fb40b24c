package api

import (
	"encoding/json"
	"strings"
	"testing"
)

// A draft is taught, found, given dates and published without a line of code.
func TestDraftsInTheDashboard(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := openTab(t, b.url)
	if p == nil {
		return
	}
	state := func() (a struct {
		State string  `json:"state"`
		From  *string `json:"valid_from"`
	},
	) {
		var page struct{ Answers []json.RawMessage }
		b.must(json.Unmarshal(b.get("/api/answers?q=Easter").body, &page))
		if len(page.Answers) > 0 {
			b.must(json.Unmarshal(page.Answers[0], &a))
		}
		return a
	}
	b.teach("shop", "Where are you?", "Main Street 1")
	p.open("ask")
	p.write("#phrasings", "Are you open at Easter?")
	p.write("#response", "Yes, until noon.")
	p.write("#teachtopic", "shop")
	p.click("#asdraft")
	p.press("Teach")
	p.says("#taught", "Kept as a draft")
	b.until("it is a draft", func() bool { return state().State == "draft" })

	p.open("lessons")
	p.says("#lessontable", "Are you open at Easter?", "draft, not given")
	p.open("answers?show=draft")
	p.says(".cards", "Yes, until noon.", "draft")
	p.holds("only drafts are listed", `document.querySelectorAll('.cards li').length === 1`)
	p.keys("j")
	p.says("#given", "draft, not given")
	p.fair("a draft")
	eval[any](p, `(() => { const e = document.querySelector('#validfrom'); e.value = '2091-04-01T08:00'; e.dispatchEvent(new Event('input', { bubbles: true })); })()`)
	p.click("#savewhen")
	p.says(".toast", "Dates saved")
	p.holds("the date is kept", `document.querySelector('#savewhen').disabled && document.querySelector('#validfrom').value.startsWith('2091')`)
	p.click("#publish")
	p.says(".toast", "Published")
	p.says("#given", "given from", "2091")
	if a := state(); a.State != "scheduled" || a.From == nil || !strings.HasPrefix(*a.From, "2091-0") {
		t.Errorf("after publishing: %+v", a)
	}
	p.keys("u")
	b.until("the undo makes it a draft again", func() bool { return state().State == "draft" })
	p.says("#given", "draft, not given")
}
