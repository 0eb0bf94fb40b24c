package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/nexus-continuum/nexus/job"
)

// ask asks a prompt as a client does.
func (b *bundle) ask(prompt string, header ...string) answer {
	b.Helper()
	return b.post("/api/interact", `{"prompt":`+quote(prompt)+`}`, header...)
}

func TestTheDashboardInABrowser(t *testing.T) {
	t.Parallel()
	const key = "nexus_dashboard_0123456789"
	b := setup(t, func(o *Options) { o.Keys = []Key{{Name: "tester", Key: key, Scopes: ScopeAll}} })
	p := openTab(t, b.url)
	if p == nil {
		return
	}
	p.do("open the root, which leads to the dashboard", chromedp.Navigate(b.url+"/"))
	p.says("#health", "key needed")
	p.write("#key", "nexus_not_this_one_0123456789")
	p.click("#keyform button.main")
	p.says("#keyform", "not known here")
	p.fair("signing in")
	eval[any](p, `document.querySelector('#key').select()`)
	p.write("#key", key)
	p.click("#keyform button.main")
	p.says("#health", "healthy")
	p.says("#workers", "1")
	p.says("#title", "waiting for its first lesson")
	p.says("#first", "Teach one answer", "General knowledge", "Drop a file")

	p.press("Ask something")
	p.write("#prompt", "How do I reset my password?")
	p.keys("\r")
	p.says("#answer", "Refused", "nothing has been taught yet")

	p.write("#phrasings", "How do I reset my password?\nforgot my <b>password</b>")
	p.write("#response", "Open Settings, then Security.")
	p.write("#teachtopic", "support")
	p.click("#teach button.main")
	p.says("#taught", "2 lessons answer from now on")

	p.click("#ask button.main")
	p.says("#answer .answered", "Open Settings, then Security.", "confidence 0.970", "threshold 0.700", "depth 7", "1.000", "Answered")
	p.press("That is right")
	p.says("#answer", "Noted as right")
	if stored := b.get("/api/lessons?topic=support", "X-API-Key", key); !strings.Contains(string(stored.body), `forgot my`) {
		t.Errorf("lessons: %s", stored.body)
	}

	p.press("Overview")
	p.says("#title", "All is well: 2 lessons answer")
	p.says("#lessons", "2")
	p.click("#pause")
	p.says("#pause", "Resume learning")
	p.says("#learning", "Learning is paused")
	p.click("#pause")
	p.says("#pause", "Pause learning")

	p.press("Learning")
	p.press("General knowledge")
	p.says("#runs", "general knowledge")

	p.press("Sign out")
	p.says("#health", "key needed")
}

// pageNames are all pages, with what their title says.
var pageNames = map[string]string{
	"": "", "ask": "Ask and teach", "refusals": "Refusals", "answers": "Answers", "lessons": "Lessons", "topics": "Topics", "import": "Import and export",
	"learning": "Learning", "checkpoints": "Checkpoints", "risk": "Risk and coverage", "jobs": "Jobs", "workers": "Queues and workers", "audit": "Audit log", "access": "Sessions and keys",
}

func TestEveryPageIsFair(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := openTab(t, b.url)
	if p == nil {
		return
	}
	tour := func(what string, width, height int64, scheme string) {
		p.as(width, height, scheme)
		for page, title := range pageNames {
			p.open(page)
			p.says("#title", title)
			p.says("#health", "healthy")
			p.holds(page+" is loaded", `!document.querySelector('.loading')`)
			p.fair(what + " " + page)
			if strings.Contains(p.text("main"), "/api/") || strings.Contains(p.text("main"), "?on_error") {
				t.Errorf("%s %s shows API syntax: %q", what, page, p.text("main"))
			}
		}
	}
	tour("empty, desk, light", 1280, 960, "light")
	b.teach("support", "How do I reset my password?", "Open Settings, then Security.")
	b.teach("billing", "Where is my invoice?", "In the mail of the first of the month, "+strings.Repeat("and every month after it ", 20))
	for range 3 {
		b.ask("Who won the 1998 world cup?")
	}
	b.ask("Can I pay by cheque?")
	tour("phone, dark", 390, 844, "dark")
	tour("desk, dark", 1280, 960, "dark")
	tour("phone, light", 390, 844, "light")
}

func TestTheRefusalInboxByKeyboard(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := openTab(t, b.url)
	if p == nil {
		return
	}
	b.teach("billing", "Where is my invoice?", "It is in your mail.")
	for i, prompt := range []string{"Who won the 1998 world cup?", "Where can I find the invoice of May?", "sing me a song", "How do I reset my password?"} {
		for range 4 - i {
			b.ask(prompt)
		}
	}
	p.open("refusals")
	p.says("#left", "4 groups to settle")
	p.says("#group", "Who won the 1998 world cup?") // most asked first
	p.keys("?")
	p.says("dialog", "refuse always")
	p.keys("\u001b")
	p.holds("the help is closed", `!document.querySelector('dialog')`)
	p.keys("j")
	p.says("#group", "invoice of May")
	p.holds("the state of the view is in the address", `location.search.includes('at=')`)
	p.keys("k")
	p.says("#group", "world cup")

	p.keys("d") // dismiss, and take it back
	p.says("#left", "3 groups to settle")
	p.says(".toast", "Dismissed")
	p.keys("u")
	p.says("#left", "4 groups to settle")
	p.says("#group", "world cup")

	p.keys("r") // refuse always
	p.says("#group", "invoice of May")
	p.says(".candidates", "It is in your mail.")
	p.keys("1") // this is that answer
	p.says("#group", "sing me a song")
	p.keys("d")
	p.says("#group", "reset my password")
	p.keys("\r")
	p.write("#groupanswer", "Open Settings, then Security.")
	p.click("#teachnow")
	p.says("main", "Nothing to settle")
	// What waits to be undone is done when the page is left.
	p.do("leave the page", chromedp.Navigate("about:blank"))
	for prompt, want := range map[string]string{
		"Where can I find the invoice of May?": "It is in your mail.", "How do I reset my password?": "Open Settings, then Security.",
	} {
		b.until("the prompt is answered: "+prompt, func() bool { return b.ask(prompt).text(t, "response") == want })
	}
	b.until("the prompt is taught to be refused", func() bool {
		return strings.Contains(string(b.get("/api/lessons").body), `"prompt":"Who won the 1998 world cup?","response":null`)
	})
}

func TestJobsInTheDashboard(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := openTab(t, b.url)
	if p == nil {
		return
	}
	resume := b.worker.pause()
	defer resume()
	made := b.post("/api/jobs", `{"kind":"interact","prompt":"How do I reset my password?"}`).text(t, "id")
	p.open("jobs?kind=interact")
	p.says("#joblist", "Question")
	p.open("jobs?kind=train")
	p.says("main", "No job here")
	p.open("jobs?id=" + made)
	p.says("#job", "Made", "Not ended yet")
	p.fair("a running job")
	p.click("#cancel")
	p.says("#job", "canceled", "Canceled")
	if state := b.get("/api/jobs/"+made).text(t, "state"); state != string(job.StateCanceled) {
		t.Errorf("the job is %s after it was canceled on the page", state)
	}
	p.says("#events", "Canceled")
	p.keys("\u001b")
	p.holds("the job is closed", `!location.search.includes('id=')`)
}

func TestAnUnknownAddressSaysSo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if a := b.get("/dashboard/assets/gone.js"); a.status != http.StatusNotFound {
		t.Errorf("a file that is not there: %d", a.status)
	}
	p := openTab(t, b.url)
	if p == nil {
		return
	}
	p.open("nowhere")
	p.says("main", "There is no page at this address")
	p.press("Go to the overview")
	p.says("#title", "waiting for its first lesson")
}
