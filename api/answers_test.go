package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/nexus-continuum/nexus/api/book"
	"github.com/nexus-continuum/nexus/job"
)

func got[T any](b *bundle, a answer) (v T) {
	b.Helper()
	if a.status != http.StatusOK {
		b.Fatalf("%d %s", a.status, a.body)
	}
	b.must(json.Unmarshal(a.body, &v))
	return v
}

// revise sends a PATCH and waits for the end of its job.
func (b *bundle) revise(id, body string) map[string]any {
	b.Helper()
	a := b.do(http.MethodPatch, "/api/answers/"+id, []byte(body), "Content-Type", "application/json")
	if a.status != http.StatusAccepted || a.text(b, "kind") != "train" || a.header.Get("Location") == "" {
		b.Fatalf("PATCH: %d %s", a.status, a.body)
	}
	return b.ended(a.text(b, "id"))
}

func TestAnAnswerChangesForEveryPhrasing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.teach("support", "how do I reset my password", "Open Setings.")
	b.teach("support", "password forgotten", "Open Setings.")
	b.teach("support", "where is my invoice", "Under Billing.")
	b.teach("hr", "how do I reset my password", "Ask HR.")

	list := got[answerPage](b, b.get("/api/answers?topic=support&q=PASSWORD%20forg"))
	if len(list.Answers) != 1 || list.Answers[0].Phrasings != 2 || *list.Answers[0].Response != "Open Setings." || list.Answers[0].UpdatedAt == nil {
		t.Fatalf("found %+v", list.Answers)
	}
	id := list.Answers[0].ID
	b.revise(id, `{"response":"Open Settings."}`)
	for _, prompt := range []string{"how do I reset my password", "password forgotten"} {
		if a := b.post("/api/interact", fmt.Sprintf(`{"prompt":%q,"topic":"support"}`, prompt)); a.text(t, "response") != "Open Settings." {
			t.Errorf("%s: %s", prompt, a.body)
		}
	}
	found := got[book.Answer](b, b.get("/api/answers/"+id))
	if *found.Response != "Open Settings." || len(found.Lessons) != 2 {
		t.Errorf("now it is %+v", found)
	}
	// Any phrasing finds its answer.
	if other := got[book.Answer](b, b.get("/api/answers/"+found.Lessons[1].ID)); other.ID != found.ID {
		t.Errorf("the second phrasing finds %+v", other)
	}
	if l := got[book.Lesson](b, b.get("/api/lessons/"+found.Lessons[1].ID)); l.Prompt != "password forgotten" || *l.Response != "Open Settings." {
		t.Errorf("the lesson is %+v", l)
	}

	b.revise(id, `{"topic":"accounts"}`)
	moved := got[answerPage](b, b.get("/api/answers?topic=accounts")).Answers
	if len(moved) != 1 || len(moved[0].Lessons) != 2 {
		t.Fatalf("moved: %+v", moved)
	}
	if left := got[answerPage](b, b.get("/api/answers?topic=support")).Answers; len(left) != 1 || *left[0].Response != "Under Billing." {
		t.Errorf("left behind: %+v", left)
	}
	b.wantError(b.get("/api/answers/"+id), 404, job.CodeNotFound, "")
	b.revise(moved[0].ID, `{"response":null}`)
	if a := got[book.Answer](b, b.get("/api/answers/"+moved[0].ID)); a.Response != nil {
		t.Errorf("a taught refusal: %+v", a)
	}

	a := b.do(http.MethodDelete, "/api/answers/"+moved[0].ID, nil)
	if a.status != http.StatusAccepted || b.ended(a.text(t, "id"))["result"].(map[string]any)["lessons_removed"] != 2.0 {
		t.Errorf("DELETE: %d %s", a.status, a.body)
	}
	if rest := got[lessonPage](b, b.get("/api/lessons")).Lessons; len(rest) != 2 {
		t.Errorf("left: %+v", rest)
	}
}

func TestFaultyRevisions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.teach("support", "p", "r")
	id := got[answerPage](b, b.get("/api/answers")).Answers[0].ID
	patch := func(body string) answer {
		return b.do(http.MethodPatch, "/api/answers/"+id, []byte(body), "Content-Type", "application/json")
	}
	b.wantError(patch(`{}`), 400, job.CodeInvalid, "", "response", "topic")
	b.wantError(patch(`{"response":""}`), 400, job.CodeInvalid, "response")
	b.wantError(patch(`{"response":7}`), 400, job.CodeInvalid, "response", "string")
	b.wantError(patch(`{"topic":null}`), 400, job.CodeInvalid, "topic", "string")
	b.wantError(patch(`{"topic":" x"}`), 400, job.CodeInvalid, "topic")
	b.wantError(patch(`{"answer":"x"}`), 400, job.CodeUnknownField, "answer")
	b.wantError(b.get("/api/answers/0123"), 404, job.CodeNotFound, "", "/api/answers")
	b.wantError(b.get("/api/lessons/0123"), 404, job.CodeNotFound, "", "/api/lessons")
	b.wantError(b.get("/api/lessons?tpoic=x"), 400, job.CodeInvalid, "tpoic", "topic, q, cursor, limit")
	b.wantError(b.get("/api/answers?page=2"), 400, job.CodeInvalid, "page")
	b.wantError(b.get("/api/lessons?cursor=%21"), 400, job.CodeInvalid, "cursor")
	b.wantError(b.get("/api/lessons?q="+strings.Repeat("x", 1001)), 400, job.CodeInvalid, "q")
}

// A page neither skips nor repeats a lesson when others go meanwhile, that of
// the cursor too.
func TestPagesAreStable(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var body strings.Builder
	for i := range 60 {
		fmt.Fprintf(&body, `{"prompt":"question %02d","response":"answer %d"}`+"\n", i*37%60, i)
	}
	a := b.do("POST", "/api/lessons?topic=t", []byte(body.String()), "Content-Type", "application/x-ndjson")
	b.ended(a.text(t, "id"))
	var seen []string
	cursor := ""
	for {
		page := got[lessonPage](b, b.get("/api/lessons?limit=7&cursor="+cursor))
		for _, l := range page.Lessons {
			seen = append(seen, l.Prompt)
		}
		if page.Next == nil {
			break
		}
		cursor = *page.Next
		last := page.Lessons[len(page.Lessons)-1]
		b.ended(b.do(http.MethodDelete, "/api/lessons/"+last.ID, nil).text(t, "id"))
	}
	want := make([]string, 60)
	for i := range want {
		want[i] = fmt.Sprintf("question %02d", i)
	}
	if !slices.Equal(seen, want) {
		t.Errorf("seen %d: %q", len(seen), seen)
	}
}

func TestTopics(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.teach("a b/c", "p1", "r1")
	b.teach("a b/c", "p2", "r1")
	b.teach("a b/c", "p3", "r2")
	b.teach("other", "p1", "r1")
	list := got[topicList](b, b.get("/api/topics")).Topics
	if len(list) != 2 || list[0].Topic != "a b/c" || list[0].Answers != 2 || list[0].Lessons != 3 || list[0].SinglePhrasing != 1 {
		t.Errorf("topics %+v", list)
	}
	if one := got[book.Topic](b, b.get("/api/topics/a%20b%2Fc")); one.Lessons != 3 || one.Expected == nil || one.Expected.Answered != 0.8 || one.Collisions == nil {
		t.Errorf("topic %+v", one)
	}
	b.wantError(b.get("/api/topics/sport"), 404, job.CodeNotFound, "", "sport")
}
