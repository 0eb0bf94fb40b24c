package api

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

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
	press := func(button, then string) {
		p.holds("there is "+button, `(() => { const b = [...document.querySelectorAll('button')].find((b) => b.innerText.trim().startsWith(`+quote(button)+`)); b?.click(); return b !== undefined; })()`)
		p.says("body", then)
	}
	press("Test Request", "Request Body")
	press("Send", "200 OK")
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
