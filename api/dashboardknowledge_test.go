package api

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

func TestAnswersAndLessonsInTheDashboard(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := openTab(t, b.url)
	if p == nil {
		return
	}
	b.teach("support", "How do I reset my password?", "Open Setings.")
	b.teach("support", "forgot my password", "Open Setings.")
	b.teach("billing", "Where is my invoice?", "In your mail.")

	p.open("answers")
	p.says(".cards", "Open Setings.", "2 phrasings", "add more")
	p.write("#search", "invoice")
	p.holds("the search narrows the list", `document.querySelectorAll('.cards li').length === 1 && location.search.includes('q=invoice')`)
	p.open("answers?q=password")
	p.says(".cards", "Open Setings.")
	p.keys("j")
	p.says(".pane", "forgot my password")
	p.fair("an answer")
	eval[any](p, `document.querySelector('#answertext').select()`)
	p.write("#answertext", "Open Settings.")
	p.click("#saveanswer")
	p.says(".toast", "Changed for 2 phrasings")
	for _, prompt := range []string{"How do I reset my password?", "forgot my password"} {
		b.until("each phrasing gives the new answer", func() bool { return b.ask(prompt).text(t, "response") == "Open Settings." })
	}
	p.says(".cards", "Open Settings.")
	p.keys("u") // and back
	b.until("the change is undone", func() bool { return b.ask("forgot my password").text(t, "response") == "Open Setings." })

	eval[any](p, `document.querySelector("#history summary").click()`) // a message may lie over it
	p.says("#history", "Changed, 2 phrasings", "Open Settings.", "Taught, 1 phrasing")
	p.fair("a history")
	eval[any](p, `[...document.querySelectorAll('#history li')].find((e) => e.innerText.includes('Open Settings.')).querySelector('button').click()`)
	p.says(".toast", "Restored")
	b.until("the answer is as it was", func() bool { return b.ask("forgot my password").text(t, "response") == "Open Settings." })
	p.says(".cards", "Open Settings.")

	p.open("lessons?topic=billing")
	p.says("#lessontable", "Where is my invoice?")
	p.click("#lessontable tbody input[type=checkbox]")
	p.says(".selection", "1 lesson selected")
	p.fair("a selected lesson")
	p.write("#moveto", "accounts")
	p.press("Move")
	p.says(".toast", "Moved 1 lesson to accounts")
	b.until("the lesson is in its new topic only", func() bool {
		all := string(b.get("/api/lessons").body)
		return strings.Contains(all, `"accounts"`) && !strings.Contains(all, `"billing"`)
	})

	p.open("lessons?topic=accounts")
	p.press("Delete")
	p.says("main", "Nothing matches")
	p.says(".toast", "Deleted")
	p.keys("u")
	p.says("#lessontable", "Where is my invoice?")
	p.press("Delete")
	p.do("leave the page", chromedp.Navigate("about:blank"))
	b.until("the lesson is unlearned", func() bool { return !strings.Contains(string(b.get("/api/lessons").body), "invoice") })
}

func TestChecksInTheDashboard(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := openTab(t, b.url)
	if p == nil {
		return
	}
	b.teach("shop", "when do you open", "At nine.")
	p.open("checks")
	p.says("main", "No run yet", "No test prompt yet")
	p.write("#checkprompt", "when do you open")
	p.write("#checkexpected", "At nine.")
	p.press("Add the test")
	p.says("#changes", "1 of 1 test passed")
	p.write("#checkprompt", "sing me a song")
	p.click("#checkrefuse")
	p.press("Add the test")
	p.says("#checktable", "sing me a song", "a refusal")
	b.teach("shop", "when do you open", "At ten.")
	p.click("#runchecks")
	p.says("#changes", "1 of 2 tests passed", "2 of 2 before", "1 test changed", "At ten.", "broken")
	p.says("#forgetting", "any topic", "50")
	p.fair("what changed")
	eval[any](p, `document.querySelectorAll('#runs button')[1].click()`)
	p.says("#changes", "2 of 2 tests passed", "sing me a song")
	p.holds("the run is in the address", `location.search.includes('run=')`)
	p.press("Delete")
	p.says(".toast", "Deleted the test")
	p.do("leave the page", chromedp.Navigate("about:blank"))
	b.until("the test is deleted", func() bool { return len(got[checkList](b, b.get("/api/checks")).Checks) == 1 })
}

func TestImportAndExportInTheDashboard(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := openTab(t, b.url)
	if p == nil {
		return
	}
	file := filepath.Join(t.TempDir(), "faq.csv")
	b.must(os.WriteFile(file, []byte("Anliegen;Auskunft;Bereich\nWo ist meine Rechnung?;In der Post.;Konto\nWie kündige ich?;Unter Konto.;Konto\nLeer?;;Konto\n"), 0o600))
	p.open("import")
	p.do("choose a file", chromedp.SetUploadFiles("#file", []string{file}))
	p.says("#import", "No column is known as the question") // and offers the columns
	if strings.Contains(p.text("main"), "?prompt=") {
		t.Errorf("it shows API syntax: %q", p.text("main"))
	}
	choose := func(id, column string) {
		eval[any](p, `(() => { const s = document.querySelector('`+id+`'); s.value = '`+column+`'; s.dispatchEvent(new Event('change', { bubbles: true })); })()`)
	}
	choose("#column-prompt", "Anliegen")
	p.holds("the choice is kept", `document.querySelector('#column-prompt').value === 'Anliegen'`)
	choose("#column-response", "Auskunft")
	p.says("#preview", "Read as CSV", "semicolon", "Wie kündige ich?", "Line 4")
	choose("#column-topic", "Bereich")
	p.says("#preview", "Konto")
	p.fair("a preview")
	if a := b.get("/api/lessons"); strings.Contains(string(a.body), "Rechnung") {
		t.Errorf("the preview taught something: %s", a.body)
	}
	p.says("#teachfile", "Teach 2 good lines and skip 1 faulty line")
	p.click("#teachfile")
	p.says("#imported", "It answers from now on")
	if a := b.ask("Wo ist meine Rechnung?"); a.text(t, "response") != "In der Post." || a.text(t, "topic") != "Konto" {
		t.Errorf("%s", a.body)
	}

	p.press("Import something else")
	p.write("#paste", "question,answer\nIs it open on Sunday?,No.\n")
	p.press("Preview")
	p.says("#preview", "Is it open on Sunday?")
	p.press("Teach 1 lesson")
	p.says("#imported", "It answers from now on")

	eval[any](p, `(() => { window.saved = null; URL.createObjectURL = (blob) => { blob.text().then((t) => { window.saved = t; }); return 'data:,'; }; })()`)
	p.press("Spreadsheet")
	p.holds("the export holds everything", `window.saved !== null && window.saved.includes('Wie kündige ich?') && window.saved.includes('Is it open on Sunday?')`)
	p.open("audit")
	p.says("#audit", "Previewed an import", "Taught lessons") // a preview taught nothing
}

func TestQueuesInTheDashboard(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := openTab(t, b.url)
	if p == nil {
		return
	}
	p.open("workers")
	p.says("#queuetable", "Questions in the background", "open")
	p.says("#workertable", "0 of 8")
	b.post("/api/queues/batch/pause", "")
	p.says("#queuetable", "paused", "Resume")
	p.press("Overview")
	p.says("#issues", "Queue batch is paused")
	p.click("#issues summary")
	p.says("#issues", "Resume the queue", "Nothing in it is lost")
	p.fair("an issue with its remedy")
	p.press("Open the page")
	p.press("Resume")
	p.says(".toast", "Queue resumed")
	b.until("the health is well again", func() bool { return strings.Contains(string(b.get("/api/status").body), `"healthy":true`) })
}
