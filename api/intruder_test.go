package api

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// A person signs in once for the queue monitor, the dashboard and the docs.
func TestOneSignInForAllPagesInABrowser(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *Options) { o.Keys = keysOfEachScope() })
	p := openTab(t, b.url)
	if p == nil {
		return
	}
	p.do("open the queue monitor", chromedp.Navigate(b.url+"/monitoring/queues/batch"))
	p.says("#title", "Sign in")
	p.write("#key", rootKey)
	p.click("#keyform button.main")
	p.holds("we are back in the queue monitor", `location.pathname === '/monitoring/queues/batch'`)
	p.says("#root", "batch", "Pending")
	elsewhere := `performance.getEntriesByType('resource').map((e) => e.name).filter((n) => !n.startsWith(location.origin) && !n.startsWith('data:'))`
	if out := eval[[]string](p, elsewhere); len(out) > 0 {
		t.Errorf("the queue monitor loads %q", out)
	}
	if seen := eval[string](p, `document.cookie`); strings.Contains(seen, sessionPrefix) || !strings.Contains(seen, "XSRF-TOKEN=") {
		t.Errorf("scripts see the cookies %q", seen)
	}
	// Its own button sends the token.
	p.do("open the list of queues", chromedp.Navigate(b.url+"/monitoring"))
	p.says("#root", "batch")
	p.holds("a queue has a button that pauses", `(() => {
		const row = [...document.querySelectorAll('tr')].find((r) => r.innerText.trim().startsWith('batch'));
		row?.lastElementChild.dispatchEvent(new MouseEvent('mouseover', { bubbles: true }));
		const pause = row?.querySelector('button[aria-label="Pause"], [aria-label="Pause"] button, button[title="Pause"], [title="Pause"] button, [title="Pause"]');
		pause?.click();
		return pause != null;
	})()`)
	b.until("the queue is paused", func() bool {
		return strings.Contains(string(b.get("/api/status", "X-API-Key", rootKey).body), `"batch":{"pending":0,"active":0,"delayed":0,"max":`) &&
			strings.Contains(string(b.get("/monitoring/api/queues/batch", "X-API-Key", rootKey).body), `"paused":true`)
	})

	p.open("access")
	p.says("#sessions", "root", "this one", "Chrome")
	p.says("#keys", "only-read", "control")
	p.fair("sessions and keys")
	p.open("audit")
	p.says("#audit", "Signed in", "Paused a queue", "root", "127.0.0.1")
	p.fair("the audit log")
	p.says(".account", "Signed in as root")
	p.click("#signout")
	p.says("#title", "Sign in")
	p.do("open the queue monitor again", chromedp.Navigate(b.url+"/monitoring"))
	p.says("#title", "Sign in")

	// Without control the monitor only shows.
	p.write("#key", scopeKey("read"))
	p.click("#keyform button.main")
	p.says("#root", "batch")
	p.holds("there is no button to delete or resume", `![...document.querySelectorAll('button')].some((b) => /Pause|Resume|Delete/.test(b.outerHTML))`)

	// A link cannot lead on to another site.
	for _, next := range []string{"https://evil.example/", "//evil.example/", `/\evil.example/`, "javascript:alert(1)"} {
		p.do("follow a bad link", chromedp.Navigate(b.url+"/dashboard/login?next="+url.QueryEscape(next)))
		p.holds("we are still here", fmt.Sprintf(`location.origin === %s && !location.pathname.endsWith('/login')`, quote(b.url)))
	}
}

// Pages of others, in the browser of a person who is signed in: one of another
// site, and one of another port of this host, to which a browser does send the
// cookie.
func TestPagesOfOthersInABrowser(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *Options) { o.Keys = keysOfEachScope() })
	ctx := openBrowser(t, false)
	if ctx == nil {
		return
	}
	p := &tab{T: t, ctx: ctx, url: b.url}
	var sent string
	witness := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent += r.Header.Get("Cookie")
		fmt.Fprint(w, `<!doctype html><title>evil</title><body>win a prize`)
	}))
	t.Cleanup(witness.Close)
	p.open("")
	p.says("#title", "Sign in")
	p.write("#key", rootKey)
	p.click("#keyform button.main")
	p.says("#health", "healthy")
	neighbour := witness.URL                                              // the same site, another port
	stranger := strings.Replace(witness.URL, "127.0.0.1", "localhost", 1) // another site
	for _, from := range []string{neighbour, stranger} {
		p.do("open the page of others", chromedp.Navigate(from))
		got := eval[string](p, fmt.Sprintf(`(async () => {
			const to = %s, said = [];
			const csrf = /XSRF-TOKEN=([^;]*)/.exec(document.cookie)?.[1] ?? 'none';
			const tries = [
				['/api/control', { method: 'POST', mode: 'no-cors', body: '{"action":"pause"}', headers: { 'Content-Type': 'text/plain' } }],
				['/api/control', { method: 'POST', body: '{"action":"pause"}', headers: { 'Content-Type': 'application/json', 'X-CSRF-Token': csrf } }],
				['/monitoring/api/queues/batch:pause', { method: 'POST', mode: 'no-cors' }],
				['/api/session', { method: 'DELETE' }],
				['/api/status', { method: 'GET' }],
			];
			for (const [path, o] of tries) {
				try {
					const r = await fetch(to + path, { credentials: 'include', ...o });
					said.push(r.type === 'opaque' ? 'opaque' : path + ' ' + r.status);
				} catch { said.push('blocked'); }
			}
			return said.join(', ');
		})()`, quote(b.url)))
		if strings.NewReplacer("opaque", "", "blocked", "", ", ", "").Replace(got) != "" {
			t.Errorf("a page of %s reads answers: %s", from, got)
		}
		eval[any](p, fmt.Sprintf(`(() => {
			const f = document.createElement('form');
			f.method = 'POST'; f.action = %s; f.enctype = 'text/plain';
			const i = document.createElement('input'); i.name = '{"action":"pause","x":"'; i.value = '"}';
			f.append(i); document.body.append(f); f.submit(); return null;
		})()`, quote(b.url+"/api/control")))
		p.holds("the form was refused", `document.body.innerText.includes('"code":"forbidden"') || document.body.innerText.includes('"code":"unauthorized"')`)
	}
	if a := b.get("/api/status", "X-API-Key", rootKey); strings.Contains(string(a.body), `"paused":true`) {
		t.Errorf("a page of others paused something: %s", a.body)
	}
	if strings.Contains(sent, sessionPrefix) {
		t.Log("as expected, the browser sends the cookie to other ports of this host")
	}
	p.open("")
	p.says("#health", "healthy") // still signed in
	p.says(".account", "Signed in as root")
}

// A site that lets its own name lead to this machine (DNS rebinding).
func TestRebindingInABrowser(t *testing.T) {
	t.Parallel()
	open := setup(t) // no key is needed
	ctx := openBrowser(t, false, chromedp.Flag("host-resolver-rules", "MAP evil.example 127.0.0.1"))
	if ctx == nil {
		return
	}
	// The name leads to their server first, for a page, and then to ours.
	ours, err := url.Parse(open.url)
	open.must(err)
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(ours); r.Out.Host = r.In.Host }}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/prize" {
			fmt.Fprint(w, `<!doctype html><title>evil</title><body>win a prize`)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	evil := strings.Replace(front.URL, "127.0.0.1", "evil.example", 1)
	p := &tab{T: t, ctx: ctx, url: evil}
	p.do("open their page", chromedp.Navigate(evil+"/prize"))
	got := eval[[]int](p, `(async () => {
		const all = [];
		for (const [path, o] of [['/api/status', {}], ['/monitoring/api/queues', {}], ['/api/control', { method: 'POST', body: '{"action":"pause"}', headers: { 'Content-Type': 'application/json' } }]]) {
			try { all.push((await fetch(path, o)).status); } catch { all.push(0); }
		}
		return all;
	})()`)
	for _, status := range got {
		if status != http.StatusForbidden {
			t.Errorf("a rebound name is answered: %v", got)
		}
	}
	if a := open.get("/api/status"); strings.Contains(string(a.body), `"paused":true`) {
		t.Error("a rebound name paused something")
	}
	p.open("")
	p.holds("the dashboard is refused too", `document.body.innerText.includes('NEXUS_ALLOWED_HOSTS')`)
}
