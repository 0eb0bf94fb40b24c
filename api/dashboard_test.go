package api

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browser opens a tab in the Chromium of this machine; nil without one. What
// the page's console complains of fails the test: a breach of the page's policy
// shows there.
func browser(t *testing.T) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Log("no chromium on PATH: the dashboard is not tried in a browser here")
		return nil
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.WindowSize(1280, 1500), chromedp.UserDataDir(t.TempDir()))
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
			// That a request was refused for want of a key is what the page is told.
			if e.Entry.Level == log.EntryLevelError && !strings.Contains(e.Entry.Text, "401") {
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
			t.Errorf("the browser's console says: %s", s)
		}
	})
	return ctx
}

// says waits until an element's text contains words.
func says(id, words string) chromedp.Action[chromedp.Void] {
	poll := chromedp.Poll[bool](`document.getElementById("`+id+`").innerText.includes("`+words+`") `, chromedp.WithPollingTimeout(20*time.Second))
	return func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		if _, err := poll(ctx, t); err != nil {
			return chromedp.Void{}, fmt.Errorf("wait until #%s says %q: %w", id, words, err)
		}
		return chromedp.Void{}, nil
	}
}

// read keeps the text of an element.
func read(id string, into *string) chromedp.Action[chromedp.Void] {
	text := chromedp.Text("#" + id)
	return func(ctx context.Context, t *chromedp.Target) (_ chromedp.Void, err error) {
		*into, err = text(ctx, t)
		return chromedp.Void{}, err
	}
}

func TestTheDashboardInABrowser(t *testing.T) {
	t.Parallel()
	const key = "nexus_dashboard"
	b := setup(t, func(o *Options) { o.Keys = []Key{{Name: "tester", Key: key}} })
	ctx := browser(t)
	if ctx == nil {
		return
	}
	var answered, refused, waiting string
	err := chromedp.Do(ctx,
		chromedp.Navigate(b.url+"/"), // leads to the dashboard
		says("health", "key needed"),
		chromedp.WaitVisible("#keyform"),
		chromedp.SendKeys("#key", key),
		chromedp.Click("#keyform button[type=submit]"),
		says("health", "healthy"),
		says("workers", "1"),

		chromedp.SendKeys("#prompt", "How do I reset my password?"),
		chromedp.Click("#ask button.main"),
		says("answer", "nothing has been taught yet"),
		read("answer", &refused),

		chromedp.SendKeys("#phrasings", "How do I reset my password?\nforgot my <b>password</b>"),
		chromedp.SendKeys("#response", "Open Settings, then Security."),
		chromedp.SendKeys("#teachtopic", "support"),
		chromedp.Click("#teach button.main"),
		says("taught", "2 lessons answer from now on"),

		chromedp.Click("#ask button.main"),
		says("answer", "Open Settings, then Security."),
		read("answer", &answered),
		says("lessons", "2"),

		chromedp.Click("#pause"),
		says("mode", "learning paused"),
		chromedp.Click("#pause"),
		says("pause", "Pause learning"),

		chromedp.Click("#train"),
		chromedp.SendKeys("#traintopic", "general_knowledge"),
		chromedp.Click("#trainform button.main"),
		says("jobs", "general_knowledge"),
		read("waiting", &waiting),
	)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"confidence 0.970", "threshold 0.700", "depth 7", "1.000"} {
		if !strings.Contains(answered, want) {
			t.Errorf("the answer shows %q without %q", answered, want)
		}
	}
	if !strings.Contains(refused, "Refused") || strings.TrimSpace(waiting) == "" {
		t.Errorf("the refusal shows %q, waiting %q", refused, waiting)
	}
	if stored := b.get("/api/lessons?topic=support", "X-API-Key", key); !strings.Contains(string(stored.body), `forgot my`) {
		t.Errorf("lessons: %s", stored.body)
	}
}

func TestTheDocsInABrowser(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := browser(t)
	if ctx == nil {
		return
	}
	var heading string
	if err := chromedp.Do(ctx, chromedp.Navigate(b.url+"/docs"), read("post-api-interact", &heading)); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(heading, "/api/interact") {
		t.Errorf("heading %q", heading)
	}
}
