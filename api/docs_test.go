package api

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// Who has signed in tries requests in the reference, changes too, without giving a
// key again.
func TestTheReferenceWithASessionInABrowser(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *Options) { o.Keys = keysOfEachScope() })
	p := openTab(t, b.url)
	if p == nil {
		return
	}
	p.do("open the reference", chromedp.Navigate(b.url+"/docs"))
	p.says("body", "Ask a prompt and wait for the answer", "Test Request")
	p.holds("a link leads to the sign-in page", `(() => { const a = document.querySelector('a[href*="/dashboard/login"]'); a?.click(); return a !== null; })()`)
	p.says("#title", "Sign in")
	p.write("#key", rootKey)
	p.click("#keyform button.main")
	p.holds("we are back in the reference", `location.pathname === '/docs'`)
	p.says("body", "Ask a prompt and wait for the answer", "Test Request")
	p.pressStart("Test Request", "Request Body")
	p.pressStart("Send", "200 OK")
	p.says("body", "I do not know that.")
	b.until("the log says who asked", func() bool {
		for line := range strings.Lines(b.log.String()) {
			if strings.Contains(line, `"/api/interact"`) && strings.Contains(line, `"client":"key:root"`) {
				return true
			}
		}
		return false
	})
}

// pressStart presses the button whose text begins so, and waits for words.
func (p *tab) pressStart(button, then string) {
	p.Helper()
	p.holds("there is "+button, `(() => { const b = [...document.querySelectorAll('button')].find((b) => b.innerText.trim().startsWith(`+quote(button)+`)); b?.click(); return b !== undefined; })()`)
	p.says("body", then)
}

// The reference comes from this server alone, shows every operation with samples,
// and sends a request that the reader makes.
func TestTheReferenceInABrowser(t *testing.T) {
	t.Parallel()
	b := setup(t)
	script := b.get("/docs/assets/scalar.js")
	packed := b.get("/docs/assets/scalar.js", "Accept-Encoding", "gzip")
	if script.status != http.StatusOK || !bytes.Equal(script.body, packed.body) || packed.header.Get("Content-Encoding") != "gzip" {
		t.Fatalf("the script: %d, %d bytes; compressed %d bytes, %v", script.status, len(script.body), len(packed.body), packed.header)
	}
	if a := b.get("/docs/assets/scalar.js", "If-None-Match", packed.header.Get("Etag")); a.status != http.StatusNotModified {
		t.Errorf("a script that the browser has: %d", a.status)
	}
	if a := b.get("/docs/assets/other.js"); a.status != http.StatusNotFound {
		t.Errorf("a script that is not there: %d", a.status)
	}
	p := openTab(t, b.url)
	if p == nil {
		return
	}
	p.do("open the reference", chromedp.Navigate(b.url+"/docs"))
	p.says("main, #reference, body", "Ask a prompt and wait for the answer", "/api/interact", "curl")
	elsewhere := eval[[]string](p, `performance.getEntriesByType('resource').map((e) => e.name).filter((n) => !n.startsWith(location.origin) && !n.startsWith('data:') && !n.startsWith('blob:'))`)
	if len(elsewhere) > 0 {
		t.Errorf("it loads %q", elsewhere)
	}
	p.says("body", "Test Request", "Python", "Node.js")
	p.pressStart("Test Request", "Request Body")
	p.pressStart("Send", "200 OK")
	p.says("body", "I do not know that.") // which is what the server answered
	if w := eval[string](p, `document.body.innerText`); strings.Contains(w, "Ask AI") {
		t.Error("it offers a service elsewhere")
	}
	p.as(390, 844, "dark")
	p.do("on a phone", chromedp.Navigate(b.url+"/docs"))
	p.says("body", "Ask a prompt and wait for the answer")
	if over := eval[int](p, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); over > 0 {
		t.Errorf("on a phone it is %d px too wide", over)
	}
}
