package api

import (
	"net/http"
	"testing"

	"github.com/nexus-continuum/nexus/api/book"
	"github.com/nexus-continuum/nexus/job"
)

func (b *bundle) reviewed(kind string) []reviewGroup {
	b.Helper()
	return got[reviewPage](b, b.get("/api/reviews?kind="+kind)).Reviews
}

func TestAnswersThatWereCalledWrongWaitForReview(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.teach("shop", "when do you open", "At nine.")
	b.teach("shop", "when do you close", "At five.")
	wrong := func(prompt string) string {
		t.Helper()
		id := b.ask(prompt).text(t, "interaction_id")
		if a := b.post("/api/interactions/"+id+"/feedback", `{"correct":false}`); a.status != http.StatusOK {
			t.Fatalf("%d %s", a.status, a.body)
		}
		return id
	}
	wrong("when do you open")
	wrong("when do you open")
	wrong("when do you close")
	list := b.reviewed("wrong")
	if len(list) != 2 || list[0].Count != 2 || list[0].Response != "At nine." || list[0].Confidence != 0.97 || list[0].Topic != "shop" {
		t.Fatalf("listed: %+v", list)
	}
	// Another answer settles it; so does who says that it was right after all.
	b.teach("shop", "when do you open", "At ten.")
	list = b.reviewed("wrong")
	if len(list) != 1 || list[0].Prompt != "when do you close" {
		t.Fatalf("after the right answer was taught: %+v", list)
	}
	b.post("/api/interactions/"+list[0].Interactions[0]+"/feedback", `{"correct":true}`)
	if list = b.reviewed("wrong"); len(list) != 0 {
		t.Errorf("it was right after all: %+v", list)
	}
	// And back: the last word counts.
	wrong("when do you close")
	if list = b.reviewed("wrong"); len(list) != 1 {
		t.Fatalf("wrong again: %+v", list)
	}
	id := list[0].ID
	if a := b.do(http.MethodDelete, "/api/reviews/"+id+"?kind=wrong", nil); a.status != http.StatusOK {
		t.Errorf("%d %s", a.status, a.body)
	}
	b.wantError(b.do(http.MethodDelete, "/api/reviews/"+id+"?kind=wrong", nil), 404, job.CodeNotFound, "", "/api/reviews")
	b.wantError(b.get("/api/reviews"), 400, job.CodeInvalid, "kind", "unsure")
	b.wantError(b.get("/api/reviews?kind=odd"), 400, job.CodeInvalid, "kind")
}

func TestAnswersGivenWithLittleConfidenceWaitForReview(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.teach("shop", "when do you open", "At nine.")
	b.ask("when do you open") // sure
	b.ask("perhaps when do you open")
	b.ask("perhaps when do you open")
	list := b.reviewed("unsure")
	if len(list) != 1 || list[0].Prompt != "perhaps when do you open" || list[0].Count != 2 || list[0].Response != "At nine." || list[0].Confidence != 0.72 || list[0].Threshold != 0.7 {
		t.Fatalf("listed: %+v", list)
	}
	b.teach("shop", "perhaps when do you open", "At nine.") // now it is sure
	if list = b.reviewed("unsure"); len(list) != 0 {
		t.Errorf("after it was taught: %+v", list)
	}
	if list = b.reviewed("wrong"); len(list) != 0 {
		t.Errorf("nobody called it wrong: %+v", list)
	}
	b.wantError(b.get("/api/suggestions?min=0"), 400, job.CodeInvalid, "min")
	if list := got[suggestionList](b, b.get("/api/suggestions")).Suggestions; len(list) != 0 {
		t.Errorf("suggested: %+v", list)
	}
}

func TestAnswersTellHowOftenTheyWereGiven(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.teach("shop", "when do you open", "At nine.")
	b.teach("shop", "opening hours", "At nine.")
	b.teach("shop", "when do you close", "At five.")
	for range 3 {
		b.ask("when do you open")
	}
	b.ask("opening hours")
	answers := func(query string) []book.Answer {
		t.Helper()
		return got[answerPage](b, b.get("/api/answers"+query)).Answers
	}
	b.until("what was given is counted", func() bool { return answers("?q=nine")[0].Hits == 4 })
	open := answers("?q=nine")[0]
	if open.LastHitAt == nil {
		t.Errorf("given: %+v", open)
	}
	if a := got[book.Answer](b, b.get("/api/answers/"+open.Lessons[1].ID)); a.Hits != 4 {
		t.Errorf("given: %+v", a)
	}
	if never := answers("?show=never_hit"); len(never) != 1 || *never[0].Response != "At five." || never[0].Hits != 0 || never[0].LastHitAt != nil {
		t.Errorf("never given: %+v", never)
	}
	if single := answers("?show=single_phrasing"); len(single) != 1 || *single[0].Response != "At five." {
		t.Errorf("with one phrasing: %+v", single)
	}
	if list := got[topicList](b, b.get("/api/topics")).Topics; list[0].NeverHit != 1 {
		t.Errorf("topics: %+v", list)
	}
	b.wantError(b.get("/api/answers?show=odd"), 400, job.CodeInvalid, "show", "never_hit")
}
