package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browser opens a tab in the Chromium of this machine; nil without one. What
// the page's console complains of fails the test: a breach of the page's policy
// shows there. Requests that the server refused are not complaints: the page
// says so in words, which is what tests look at.
func browser(t *testing.T) context.Context {
	t.Helper()
	return openBrowser(t, true)
}

// openBrowser is browser with flags of Chromium; the console of pages of others
// may complain.
func openBrowser(t *testing.T, ours bool, flags ...chromedp.ExecAllocatorOption) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Log("no chromium on PATH: the dashboard is not tried in a browser here")
		return nil
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.WindowSize(1280, 960), chromedp.UserDataDir(t.TempDir()))
	opts = append(opts, flags...)
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), opts...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(func() {
		// Waits until the browser has ended, so that its folder can go.
		if err := chromedp.Cancel(ctx); err != nil {
			t.Logf("end the browser: %v", err)
		}
		cancel()
	})
	var mu sync.Mutex
	var said []string
	err = chromedp.Listen(ctx, func(ev any) {
		mu.Lock()
		defer mu.Unlock()
		switch e := ev.(type) {
		case *runtime.EventExceptionThrown:
			said = append(said, e.ExceptionDetails.Text)
		case *log.EventEntryAdded:
			if e.Entry.Level == log.EntryLevelError && e.Entry.Source != log.EntrySourceNetwork {
				said = append(said, e.Entry.Text)
			}
		}
	})
	if err != nil {
		t.Fatalf("start the browser: %v", err)
	}
	t.Cleanup(func() {
		mu.Lock()
		defer mu.Unlock()
		for _, s := range said {
			if !ours {
				continue
			}
			t.Errorf("the browser's console says: %s", s)
		}
	})
	return ctx
}

// tab is a page of the dashboard in a browser, and a person before it.
type tab struct {
	*testing.T
	ctx context.Context
	url string
}

// openTab opens the dashboard of the server at url; nil without a browser.
func openTab(t *testing.T, url string) *tab {
	t.Helper()
	ctx := browser(t)
	if ctx == nil {
		return nil
	}
	return &tab{T: t, ctx: ctx, url: url}
}

func (p *tab) do(what string, actions ...chromedp.Action[chromedp.Void]) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 60*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		p.Fatalf("%s: %v; the page says %q", what, err, p.text("#app"))
	}
}

// open goes to a page of the dashboard by its address.
func (p *tab) open(page string) {
	p.Helper()
	p.do("open "+page, chromedp.Navigate(p.url+"/dashboard/"+page))
}

// says waits until the element says all words.
func (p *tab) says(sel string, words ...string) {
	p.Helper()
	for _, w := range words {
		p.holds(fmt.Sprintf("%s says %q", sel, w), fmt.Sprintf(`[...document.querySelectorAll(%s)].some((e) => e.innerText.includes(%s))`, quote(sel), quote(w)))
	}
}

// holds waits until an expression is true.
func (p *tab) holds(what, expression string) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 60*time.Second)
	defer cancel()
	_, err := chromedp.Run(ctx, chromedp.Poll[bool](expression, chromedp.WithPollingTimeout(40*time.Second)))
	for err != nil && ctx.Err() == nil && (strings.Contains(err.Error(), "context") || strings.Contains(err.Error(), "navigated")) { // the page is being left for another
		_, err = chromedp.Run(ctx, chromedp.Poll[bool](expression, chromedp.WithPollingTimeout(40*time.Second)))
	}
	if err != nil {
		p.Fatalf("wait until %s: %v; the page says %q; it loaded %s", what, err, p.text("#app"),
			eval[string](p, `JSON.stringify(performance.getEntriesByType('resource').map((e) => [e.name.replace(/^https?:..[^/]+/, ''), Math.round(e.startTime), Math.round(e.duration), e.responseStatus]))`))
	}
}

func (p *tab) click(sel string) {
	p.Helper()
	p.do("click "+sel, chromedp.Click(sel))
}

// press presses the button that has this text.
func (p *tab) press(text string) {
	p.Helper()
	p.holds("there is a button "+text, fmt.Sprintf(`(() => {
		const b = [...document.querySelectorAll('button, a')].find((b) => b.innerText.trim().startsWith(%s));
		b?.click();
		return b !== undefined;
	})()`, quote(text)))
}

func (p *tab) write(sel, text string) {
	p.Helper()
	p.do("write into "+sel, chromedp.SendKeys(sel, text))
}

// keys presses keys, wherever the focus is.
func (p *tab) keys(keys string) {
	p.Helper()
	p.do("press "+keys, chromedp.KeyEvent(keys))
}

func (p *tab) text(sel string) string {
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[string](`document.querySelector(`+quote(sel)+`)?.innerText ?? ''`))
	if err != nil {
		return err.Error()
	}
	return v
}

func eval[T any](p *tab, expression string) T {
	p.Helper()
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.Fatalf("evaluate %s: %v", expression, err)
	}
	return v
}

// as makes the page a phone or a desk, light or dark.
func (p *tab) as(width, height int64, scheme string) {
	p.Helper()
	p.do("emulate", chromedp.EmulateViewport(width, height), chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}},
		})
		return err
	}))
}

// fair checks that everybody can use the page: no serious finding of axe-core,
// and nothing beside the edge.
func (p *tab) fair(what string) {
	p.Helper()
	axe, err := os.ReadFile("testdata/axe.min.js")
	if err != nil {
		p.Fatal(err)
	}
	eval[any](p, `if (!window.axe) {`+string(axe)+"\n}; null")
	found := eval[[]string](p, `axe.run(document, { resultTypes: ['violations'] }).then((r) => r.violations
		.filter((v) => v.impact === 'serious' || v.impact === 'critical')
		.map((v) => v.id + ': ' + v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160) + ' ' + (n.failureSummary ?? '')).join(' | ')))`)
	for _, f := range found {
		p.Errorf("%s: axe-core finds %s", what, f)
	}
	if over := eval[int](p, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); over > 0 {
		p.Errorf("%s: the page is %d px wider than the window", what, over)
	}
}

func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string is always JSON
	}
	return string(b)
}

// between stands between a browser and the server, and makes what seldom happens.
type between struct {
	t    *testing.T
	to   *url.URL
	addr string

	mu      sync.Mutex
	srv     *httptest.Server
	answers map[string]int // by path: the status to answer with
	held    map[string]chan struct{}
}

func newBetween(t *testing.T, to string) *between {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	w := &between{t: t, to: u, addr: "127.0.0.1:0", answers: map[string]int{}, held: map[string]chan struct{}{}}
	w.back()
	t.Cleanup(w.cut)
	return w
}

func (w *between) url() string { return "http://" + w.addr }

// back lets the browser through again, at the same address.
func (w *between) back() {
	w.t.Helper()
	l, err := net.Listen("tcp", w.addr)
	if err != nil {
		w.t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(w.to); r.Out.Host = r.In.Host }, FlushInterval: -1,
		Transport: &http.Transport{DisableKeepAlives: true}, ErrorLog: nil,
		ErrorHandler: func(rw http.ResponseWriter, _ *http.Request, _ error) { rw.WriteHeader(http.StatusBadGateway) },
	}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		status, held := w.answers[r.URL.Path], w.held[r.URL.Path]
		w.mu.Unlock()
		if held != nil {
			select {
			case <-held:
			case <-r.Context().Done():
				return
			}
		}
		if status != 0 {
			rw.Header().Set("Content-Type", "application/json")
			rw.WriteHeader(status)
			fmt.Fprintf(rw, `{"detail":"made by the test; see GET /api/status","code":"internal","request_id":"1"}`)
			return
		}
		proxy.ServeHTTP(rw, r)
	}))
	srv.Listener.Close()
	srv.Listener = l
	srv.Start()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.addr, w.srv = l.Addr().String(), srv
}

// cut ends every connection and takes no new one.
func (w *between) cut() {
	w.mu.Lock()
	srv := w.srv
	w.srv = nil
	w.mu.Unlock()
	if srv == nil {
		return
	}
	srv.Listener.Close()
	srv.CloseClientConnections()
	srv.Close()
}

// answer makes a path answer with a status; 0 is the server's own answer.
func (w *between) answer(path string, status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answers[path] = status
}

// hold keeps requests of a path waiting until the returned function is called.
func (w *between) hold(path string) (release func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	held := make(chan struct{})
	w.held[path] = held
	return sync.OnceFunc(func() {
		w.mu.Lock()
		delete(w.held, path)
		w.mu.Unlock()
		close(held)
	})
}
