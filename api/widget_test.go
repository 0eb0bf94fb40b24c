package api

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/chromedp/chromedp"
)

// The chat stands on a page of another origin, and asks with a key that may only ask.
func TestTheWidgetInABrowser(t *testing.T) {
	t.Parallel()
	const key, teacher = "nexus_widget_0123456789abcdef", "nexus_teacher_0123456789abcdef"
	var server string
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `<!doctype html><html lang="en"><title>Shop</title><main id="app"><h1>A shop</h1></main>
			<script src="%s/widget.js" data-key="%s" data-topic="shop" data-title="Help" data-greeting="How can we help?" defer></script></html>`, server, key)
	}))
	t.Cleanup(page.Close)
	b := setup(t, func(o *Options) {
		o.CORSOrigins = []string{page.URL}
		o.Keys = []Key{{Name: "widget", Key: key, Scopes: ScopeAsk}, {Name: "teacher", Key: teacher, Scopes: ScopeAll}}
	})
	server = b.url
	a := b.post("/api/lessons", `{"topic":"shop","lessons":[{"prompt":"when do you open","response":"At <b>nine</b>."}]}`, "X-API-Key", teacher, "Prefer", "wait=30")
	if a.status != http.StatusAccepted {
		t.Fatalf("%d %s", a.status, a.body)
	}
	p := openTab(t, page.URL)
	if p == nil {
		return
	}
	chat := `[...document.querySelectorAll('body > div')].map((e) => e.shadowRoot).find(Boolean)`
	says := func(text string) {
		t.Helper()
		p.holds("the chat says "+text, `(`+chat+`)?.querySelector('[role=log]').innerText.includes(`+quote(text)+`)`)
	}
	p.do("open the shop", chromedp.Navigate(page.URL))
	p.holds("there is a button", `(`+chat+`)?.querySelector(':host > button, button:not([hidden])')?.innerText === 'Help'`)
	eval[any](p, `[...(`+chat+`).querySelectorAll('button')].find((b) => b.innerText === 'Help').click()`)
	says("How can we help?")
	p.holds("one may type at once", `(`+chat+`).activeElement?.tagName === 'INPUT'`)
	p.keys("when do you open")
	p.keys("\r")
	says("At <b>nine</b>.") // as text: what was taught is no markup
	p.fair("the chat")
	p.keys("sing me a song")
	p.keys("\r")
	says("I do not know that.")
	p.keys("\u001b")
	p.holds("it is closed, and the button has the focus", `(`+chat+`).querySelector('section').hidden && (`+chat+`).activeElement?.innerText === 'Help'`)
}
