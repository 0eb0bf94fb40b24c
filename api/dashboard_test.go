package api

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/nexus-continuum/nexus/api/book"
	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/model"
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
	p.says("#answer", "Marked as right")
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
	"": "", "ask": "Ask and teach", "refusals": "Inbox", "answers": "Answers", "lessons": "Lessons", "topics": "Topics", "checks": "Test prompts", "import": "Import and export",
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
	var many []string // lists go on beyond their first part
	for i := range 60 {
		many = append(many, fmt.Sprintf(`{"prompt":"what is in room %d","response":"Desk %d."}`, i, i))
	}
	b.ended(b.post("/api/lessons", `{"topic":"rooms","lessons":[`+strings.Join(many, ",")+`]}`).text(t, "id"))
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
	p.says("#left", "4 groups to review")
	p.says("#group", "Who won the 1998 world cup?") // most asked first
	p.keys("?")
	p.says("dialog", "always refuse")
	p.keys("\u001b")
	p.holds("the help is closed", `!document.querySelector('dialog')`)
	p.keys("?\u001b") // as fast as keys can be pressed
	p.holds("the help is closed again", `!document.querySelector('dialog')`)
	p.keys("j")
	p.says("#group", "invoice of May")
	p.holds("the state of the view is in the address", `location.search.includes('at=')`)
	p.keys("k")
	p.says("#group", "world cup")

	p.keys("d") // dismiss, and take it back
	p.says("#left", "3 groups to review")
	p.says(".toast", "Dismissed")
	p.keys("u")
	p.says("#left", "4 groups to review")
	p.says("#group", "world cup")

	p.keys("r") // refuse always
	p.says("#group", "invoice of May")
	p.says(".candidates", "It is in your mail.")
	p.keys("1") // this is that answer
	p.says("#group", "sing me a song")
	p.keys("d\r") // the form is that of the next group
	p.says("#group", "reset my password")
	p.keys("Open Settings, then Security.")
	p.write("#grouptopic", "support")
	p.holds("the answer and the topic are where they were written", `document.querySelector('#groupanswer').value.trim() === 'Open Settings, then Security.' && document.querySelector('#grouptopic').value === 'support'`)
	p.click("#teachnow")
	p.says("main", "Nothing to review")
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

// A hundred groups, no more than three keys each, and every decision counts.
func TestAHundredRefusalsAreTriagedByKeyboard(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := openTab(t, b.url)
	if p == nil {
		return
	}
	b.teach("billing", "Where is my invoice?", "It is in your mail.")
	const all = 100
	for i := range all {
		word := func(n int) string { return strconv.FormatInt(int64((i+1)*n%1_679_616), 36) } // so that no two are alike
		b.ask(fmt.Sprintf([]string{"%s invoice %s %s", "%s poem %s %s", "%s weather %s %s"}[i%3], word(791_933), word(1_047_291), word(1_299_709)))
	}
	p.open("refusals")
	p.says("#left", "50 groups to review, and more")
	began, keys := time.Now(), 0
	press := func(key string) {
		keys++
		p.keys(key)
	}
	for range all {
		switch now := eval[string](p, `document.querySelector('#group').innerText`); {
		case strings.Contains(now, "invoice"):
			p.says(".candidates", "It is in your mail.")
			press("1")
		case strings.Contains(now, "poem"):
			press("r")
		default:
			press("d")
		}
	}
	p.says("main", "Nothing to review")
	if took := time.Since(began); keys > 3*all || took > 5*time.Minute {
		t.Errorf("%d keys, %s", keys, took)
	}
	p.do("leave the page", chromedp.Navigate("about:blank"))
	b.until("every decision is done", func() bool {
		lessons := got[lessonPage](b, b.get("/api/lessons?limit=500")).Lessons
		taught, refused := 0, 0
		for _, l := range lessons {
			if l.Response == nil {
				refused++
			} else if *l.Response == "It is in your mail." {
				taught++
			}
		}
		return taught == 1+34 && refused == 33 && len(got[refusalPage](b, b.get("/api/refusals")).Refusals) == 0
	})
}

func TestWrongAndUnsureAnswersInTheInbox(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := openTab(t, b.url)
	if p == nil {
		return
	}
	b.teach("shop", "when do you open", "At nine.")
	b.teach("shop", "when do you close", "At five.")
	b.ask("perhaps when do you open")
	id := b.ask("when do you close").text(t, "interaction_id")
	b.post("/api/interactions/"+id+"/feedback", `{"correct":false}`)

	p.open("refusals?kind=wrong")
	p.says("#group", "when do you close")
	p.says("#given", "At five.", "was marked wrong")
	p.fair("a wrong answer")
	p.keys("\r")
	p.write("#groupanswer", "At six.")
	p.click("#teachnow")
	p.says("main", "No wrong answers to review")
	p.keys("u")
	p.says("#group", "when do you close")
	p.keys("\r")
	p.write("#groupanswer", "At seven.")
	p.click("#teachnow")
	p.press("Low confidence")
	p.holds("the kind is in the address", `location.search.includes('kind=unsure')`)
	p.says("#group", "perhaps when do you open")
	p.says("#given", "At nine.", "0.720")
	p.fair("an unsure answer")
	p.keys("y")
	p.says("main", "No uncertain answers")
	p.do("leave the page", chromedp.Navigate("about:blank"))
	b.until("the right answer is given", func() bool { return b.ask("when do you close").text(t, "response") == "At seven." })
	b.until("it is sure now", func() bool { return b.ask("perhaps when do you open").text(t, "confidence") == "0.97" })
	if wrong, unsure := b.reviewed("wrong"), b.reviewed("unsure"); len(wrong)+len(unsure) > 0 {
		t.Errorf("left: %+v %+v", wrong, unsure)
	}
}

func TestSuggestionsAreAcceptedTogether(t *testing.T) {
	t.Parallel()
	known, err := model.New(model.Config{Size: "small"})
	if err != nil {
		t.Fatal(err)
	}
	known, _ = known.Memorise([]model.Lesson{
		{ID: model.LessonID("shop", "how do I pay by bank transfer"), Topic: "shop", Prompt: "how do I pay by bank transfer", Response: "Under Payments."},
		{ID: model.LessonID("shop", "where is the nearest shop"), Topic: "shop", Prompt: "where is the nearest shop", Response: "In the high street."},
		{ID: model.LessonID("shop", "how long does a bank transfer take"), Topic: "shop", Prompt: "how long does a bank transfer take", Response: "Two days."},
	})
	b := setup(t, func(o *Options) { o.Known = func(context.Context) (book.Source, error) { return known, nil } })
	for _, prompt := range []string{"my bank wants an IBAN for a transfer", "bank transfer from abroad", "is there a fee for bank transfers", "sing me a song"} {
		b.ask(prompt)
	}
	list := got[suggestionList](b, b.get("/api/suggestions")).Suggestions
	if len(list) != 1 || len(list[0].Groups) < 2 || list[0].Topic != "shop" || strings.Contains(fmt.Sprint(list), "sing") {
		t.Fatalf("suggested: %+v", list)
	}
	prompt, response := list[0].Groups[0].Prompt, list[0].Response
	p := openTab(t, b.url)
	if p == nil {
		return
	}
	p.open("refusals?kind=suggested")
	p.says("#suggestions", response, prompt)
	p.fair("suggestions")
	p.press("Accept all")
	p.says("main", "No suggestion")
	p.do("leave the page", chromedp.Navigate("about:blank"))
	b.until("it is a phrasing", func() bool { return b.ask(prompt).text(t, "response") == response })
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
	p.says("#job", "Created", "Not finished yet")
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

func TestACanceledTrainingIsTriedAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	resume := b.worker.pause()
	id := b.post("/api/lessons", `{"topic":"shop","lessons":[{"prompt":"when do you open","response":"At nine."}]}`, "Prefer", "respond-async").text(t, "id")
	b.wantError(b.post("/api/jobs/"+id+"/retry", ""), 409, job.CodeConflict, "", "only a failed or canceled one")
	b.do(http.MethodDelete, "/api/jobs/"+id, nil)
	b.until("it is canceled", func() bool { return b.get("/api/jobs/"+id).text(t, "state") == string(job.StateCanceled) })
	asked := b.post("/api/jobs", `{"kind":"interact","prompt":"when do you open"}`).text(t, "id")
	b.do(http.MethodDelete, "/api/jobs/"+asked, nil)
	b.until("it is canceled", func() bool { return b.get("/api/jobs/"+asked).text(t, "state") == string(job.StateCanceled) })
	b.wantError(b.post("/api/jobs/"+asked+"/retry", ""), 409, job.CodeConflict, "", "not kept")
	resume()
	if p := openTab(t, b.url); p != nil {
		p.open("jobs?id=" + id)
		p.click("#retry")
		p.says(".toast", "Retried as a new job")
		p.holds("the new job is shown", `!location.search.includes('`+id+`')`)
		p.says("#job", "Succeeded")
	} else {
		b.ended(b.post("/api/jobs/"+id+"/retry", "").text(t, "id"))
	}
	if a := b.ask("when do you open"); a.text(t, "response") != "At nine." {
		t.Errorf("after the retry: %s", a.body)
	}
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

// What was decided last is done too when the tab is closed before its time to undo is over.
func TestAClosedTabLosesNoDecision(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := openTab(t, b.url)
	if p == nil {
		return
	}
	b.teach("shop", "when do you close", "At five.")
	id := b.ask("when do you close").text(t, "interaction_id")
	b.post("/api/interactions/"+id+"/feedback", `{"correct":false}`)
	b.teach("old", "where is the fax", "In the cellar.")
	b.teach("old", "what is the telex number", "There is none.")
	p.open("lessons?topic=old")
	for _, prompt := range []string{"where is the fax", "what is the telex number"} {
		p.do("select it", chromedp.Click(`[aria-label="Select `+prompt+`"]`))
	}
	p.press("Delete")
	p.says(".toast", "Deleted 2 lessons")
	p.click(`a[href="/dashboard/refusals"]`)
	p.press("Marked wrong")
	p.says("#group", "when do you close")
	p.keys("\r")
	p.keys("At six.")
	p.click("#teachnow")
	p.says("main", "No wrong answers to review")
	p.do("close the tab", chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, page.Close, cdp.Empty{})
		return err
	}))
	b.until("the right answer is given", func() bool { return b.ask("when do you close").text(t, "response") == "At six." })
	b.until("it is reviewed", func() bool { return len(b.reviewed("wrong")) == 0 })
	b.until("both lessons are gone", func() bool { return len(got[lessonPage](b, b.get("/api/lessons?topic=old")).Lessons) == 0 })
}
