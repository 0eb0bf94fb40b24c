package main

import (
	"net/http"
	"testing"
	"time"
)

// Drafts and answers outside their time are not given, by a worker in a process of
// its own; they are from the very moment, without a restart or a train job.
func TestAnswersAreGivenInTheirTime(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	env := []string{"NEXUS_REDIS_URL=" + startRedis(t)}
	worker := launch(t, dir, []string{"worker"}, env...)
	p := start(t, dir, []string{"api"}, env...)
	p.finished(p.teach("shop", lesson{"On which street is the shop?", "Main Street 1"}, lesson{"Which cards do you take?", "All of them."},
		lesson{"Is there a car park?", "Behind the house."}, lesson{"Can I return a jacket?", "Within a month."}, lesson{"Who owns the company?", "Its staff."},
		lesson{"What sizes of boots are there?", "From 35 to 48."}, lesson{"Do you deliver to Norway?", "Not yet."}, lesson{"How long is the guarantee?", "Two years."}).ID)

	moment := time.Now().Add(3 * time.Second)
	var j task
	code, _ := p.call("POST", "/api/lessons", map[string]any{"topic": "shop", "lessons": []map[string]any{
		{"prompt": "How much is the autumn discount?", "response": "Ten percent.", "valid_from": moment},
		{"prompt": "Do you repair bicycles?", "response": "Yes, we do.", "valid_until": moment},
		{"prompt": "When does the office reopen after the holidays?", "response": "On Monday.", "draft": true},
	}}, &j)
	if code != http.StatusAccepted {
		t.Fatalf("teach: %d %s", code, j.Detail)
	}
	p.finished(j.ID)
	const draft = "When does the office reopen after the holidays?"
	given := func(prompt, response string) bool {
		p.t.Helper()
		a := p.ask(prompt)
		if a.Responded && a.Response != response {
			t.Fatalf("%q: %+v", prompt, a)
		}
		return a.Responded
	}
	if given(draft, "On Monday.") {
		t.Fatal("a draft was given")
	}
	if !given("On which street is the shop?", "Main Street 1") {
		t.Fatal("what is no draft is not given")
	}
	if !given("Do you repair bicycles?", "Yes, we do.") && time.Now().Before(moment) {
		t.Fatal("an answer is not given before its end")
	}
	p.eventually("the answer is given from its time on", func() bool {
		yes := given("How much is the autumn discount?", "Ten percent.")
		if yes && time.Now().Before(moment) {
			t.Fatalf("given at %s, valid from %s", time.Now(), moment)
		}
		return yes
	})
	p.eventually("the answer is not given any more", func() bool { return !given("Do you repair bicycles?", "Yes, we do.") })

	var page struct{ Answers []struct{ ID, State string } }
	p.call("GET", "/api/answers?state=draft", nil, &page)
	if len(page.Answers) != 1 {
		t.Fatalf("drafts: %+v", page)
	}
	worker.kill() // what another process serves is as much a draft
	launch(t, dir, []string{"worker"}, env...)
	p.eventually("the new worker answers", func() bool { return given("On which street is the shop?", "Main Street 1") })
	if given(draft, "On Monday.") {
		t.Fatal("a draft was given after a restart")
	}
	if code, _ := p.call("PATCH", "/api/answers/"+page.Answers[0].ID, map[string]any{"draft": false}, nil); code != http.StatusOK {
		t.Fatalf("publish: %d", code)
	}
	p.eventually("the published answer is given", func() bool { return given(draft, "On Monday.") })
}
