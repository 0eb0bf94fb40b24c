package api

import (
	goflag "flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/nexus-continuum/nexus/job"
)

var pictures = goflag.String("pictures", "", "folder of the docs: take the pictures of the README and the guide anew")

// TestPictures takes the pictures of the docs. Without -pictures they go to a
// folder that is deleted, so that what they show is tried all the same.
func TestPictures(t *testing.T) {
	t.Parallel()
	into := *pictures
	if into == "" {
		into = t.TempDir()
	}
	b := setup(t)
	b.worker.refuses = job.ReasonUnfamiliar
	p := openTab(t, b.url)
	if p == nil {
		return
	}
	b.must(os.MkdirAll(filepath.Join(into, "guide"), 0o755))
	take := func(name string) {
		p.holds("all is loaded", `!document.querySelector('.loading')`)
		png, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
		b.must(err)
		b.must(os.WriteFile(filepath.Join(into, name), png, 0o644)) //nolint:gosec // pictures are for everybody
	}
	p.as(1280, 860, "light")
	p.open("")
	p.says("#first", "Teach one answer")
	take("guide/first.png")

	for _, prompt := range []string{"How do I reset my password?", "I forgot my password", "my password does not work any more"} {
		b.teach("support", prompt, "Open Settings, then Security, then Reset password.")
	}
	b.teach("billing", "Where is my invoice?", "You find every invoice under Account, then Billing.")
	b.teach("billing", "How do I cancel my plan?", "Account, then Plan, then Cancel. You keep access until the period ends.")
	for i, prompt := range []string{"Do you ship to Canada?", "Is there a student discount?", "Which languages does the app speak?", "Can I pay by cheque?", "Where can I find the invoice of May?"} {
		for range 7 - i {
			b.ask(prompt)
		}
	}
	p.open("ask")
	ask := func(prompt, want string) {
		eval[any](p, `document.querySelector('#prompt').select()`)
		p.write("#prompt", prompt)
		p.click("#ask button.main")
		p.says("#answer", want)
	}
	ask("Who won the 1998 world cup?", "Refused")
	ask("How do I reset my password?", "Open Settings, then Security")
	take("dashboard.png")

	p.open("refusals")
	p.says("#group", "Do you ship to Canada?")
	take("guide/refusals.png")
	p.open("answers?q=password")
	p.says(".cards", "Open Settings")
	p.keys("j")
	p.says(".pane", "I forgot my password")
	take("guide/answers.png")
	p.open("import")
	p.write("#paste", "question;answer\nDo you open on Sunday?;No, from Monday to Saturday.\nWhere do I park?;Behind the house.\n")
	p.press("Preview")
	p.says("#preview", "Where do I park?")
	take("guide/import.png")
	p.as(390, 844, "dark")
	p.open("")
	p.says("#lessons", "5")
	take("guide/phone.png")
}
