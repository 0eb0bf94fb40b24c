package api

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/nexus-continuum/nexus/api/book"
	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/storage"
)

// changeTo sends a change of what is known and waits for the end of its job.
func (b *bundle) changeTo(method, path, body string) {
	b.Helper()
	a := b.do(method, path, []byte(body), "Content-Type", "application/json")
	if a.status != http.StatusAccepted {
		b.Fatalf("%s %s: %d %s", method, path, a.status, a.body)
	}
	b.ended(a.text(b, "id"))
}

func (b *bundle) history(id string) []book.Change {
	b.Helper()
	return got[book.History](b, b.get("/api/answers/"+id+"/history")).Changes
}

func (b *bundle) restore(id, change string) {
	b.Helper()
	body, err := json.Marshal(map[string]string{"change": change})
	b.must(err)
	b.changeTo(http.MethodPost, "/api/answers/"+id+"/restore", string(body))
}

func TestTheHistoryOfAnAnswerAndUndo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.teach("support", "How do I reset my password?", "Open Settings.")
	b.teach("support", "forgot my password", "Open Settings.")
	b.teach("billing", "Where is my invoice?", "In your mail.") // no part of it
	id := got[answerPage](b, b.get("/api/answers?topic=support")).Answers[0].ID
	b.revise(id, `{"response":"Open Setings."}`)
	b.revise(id, `{"topic":"accounts"}`)
	moved := got[answerPage](b, b.get("/api/answers?topic=accounts")).Answers[0].ID

	changes := b.history(moved)
	var what []string
	for _, c := range changes {
		what = append(what, c.What)
	}
	if len(what) != 4 || what[0] != book.Moved || what[1] != book.Revised || what[2] != book.Taught || what[3] != book.Taught {
		t.Fatalf("history: %v", what)
	}
	// The same where the datasets were put together, for a process that reads them anew.
	learned, err := b.datasets.IDs(t.Context())
	b.must(err)
	done, err := b.datasets.Compact(t.Context(), storage.Compaction{Learned: learned, Least: 1})
	b.must(err)
	was, err := book.New(b.worker.known, storage.NewDatasets(b.store, storage.DatasetOptions{})).History(t.Context(), moved)
	b.must(err)
	if done.Datasets < 4 || len(was.Changes) != 4 || was.Changes[1].ID != changes[1].ID || *was.Changes[1].Response != "Open Setings." {
		t.Errorf("after %d datasets were put together the history is %+v", done.Datasets, was.Changes)
	}
	if c := changes[1]; c.Response == nil || *c.Response != "Open Setings." || c.Topic != "support" || c.Phrasings != 2 || c.At == nil {
		t.Errorf("the typo: %+v", c)
	}
	// Back to before the typo: the text and the topic of then, for every phrasing.
	b.restore(moved, changes[2].ID)
	back := got[answerPage](b, b.get("/api/answers?topic=support")).Answers
	if len(back) != 1 || *back[0].Response != "Open Settings." || back[0].Phrasings != 2 {
		t.Fatalf("after undo: %+v", back)
	}
	if left := got[answerPage](b, b.get("/api/answers?topic=accounts")).Answers; len(left) != 0 {
		t.Errorf("left behind: %+v", left)
	}

	// A deleted answer still has its history, by the id of any phrasing, and comes
	// back whole.
	other := back[0].Lessons[1].ID
	b.ended(b.do(http.MethodDelete, "/api/answers/"+back[0].ID, nil).text(t, "id"))
	b.wantError(b.get("/api/answers/"+other), 404, job.CodeNotFound, "")
	gone := b.history(other)
	if gone[0].What != book.Unlearned || gone[0].Phrasings != 2 || gone[0].Response != nil {
		t.Errorf("the deletion: %+v", gone[0])
	}
	b.wantError(b.post("/api/answers/"+other+"/restore", `{"change":"`+gone[0].ID+`"}`), 409, job.CodeConflict, "change", "earlier")
	b.restore(other, gone[1].ID)
	if a := got[book.Answer](b, b.get("/api/answers/"+other)); *a.Response != "Open Settings." || a.Phrasings != 2 {
		t.Errorf("after undoing the deletion: %+v", a)
	}
	b.wantError(b.post("/api/answers/"+other+"/restore", `{"change":"0"}`), 404, job.CodeNotFound, "change")
	b.wantError(b.post("/api/answers/"+other+"/restore", `{}`), 400, job.CodeInvalid, "change")
	b.wantError(b.get("/api/answers/0123/history"), 404, job.CodeNotFound, "")
}

func TestLessonsAndAnswersAreReplaced(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.teach("support", "How do I rest my password?", "Open Settings.")
	b.teach("support", "forgot my password", "Open Settings.")
	lesson := func(q string) book.Lesson {
		t.Helper()
		found := got[lessonPage](b, b.get("/api/lessons?q="+q)).Lessons
		if len(found) != 1 {
			t.Fatalf("%s finds %+v", q, found)
		}
		return found[0]
	}
	b.changeTo(http.MethodPatch, "/api/lessons/"+lesson("rest").ID, `{"prompt":"How do I reset my password?"}`)
	if l := lesson("reset"); *l.Response != "Open Settings." || l.Topic != "support" {
		t.Errorf("in other words: %+v", l)
	}
	if rest := got[lessonPage](b, b.get("/api/lessons?q=rest")).Lessons; len(rest) != 0 {
		t.Errorf("the old wording is still there: %+v", rest)
	}
	// Only this phrasing gets another response.
	b.changeTo(http.MethodPatch, "/api/lessons/"+lesson("forgot").ID, `{"response":"Ask the desk.","topic":"desk"}`)
	if l := lesson("forgot"); *l.Response != "Ask the desk." || l.Topic != "desk" || *lesson("reset").Response != "Open Settings." {
		t.Errorf("%+v", l)
	}
	b.changeTo(http.MethodPut, "/api/lessons/"+lesson("forgot").ID, `{"prompt":"lost my password","response":null}`)
	if l := lesson("lost"); l.Response != nil || l.Topic != "" {
		t.Errorf("replaced: %+v", l)
	}
	b.wantError(b.do("PUT", "/api/lessons/"+lesson("lost").ID, []byte(`{"prompt":"x"}`), "Content-Type", "application/json"), 400, job.CodeInvalid, "response")
	b.wantError(b.do("PATCH", "/api/lessons/"+lesson("lost").ID, []byte(`{}`), "Content-Type", "application/json"), 400, job.CodeInvalid, "")
	b.wantError(b.do("PATCH", "/api/lessons/0123", []byte(`{"topic":"x"}`), "Content-Type", "application/json"), 404, job.CodeNotFound, "")

	id := got[answerPage](b, b.get("/api/answers?topic=support")).Answers[0].ID
	b.changeTo(http.MethodPut, "/api/answers/"+id, `{"response":"Open Settings, then Security.","topic":"support","prompts":["How do I reset my password?","password reset"]}`)
	b.changeTo(http.MethodPut, "/api/answers/"+id, `{"response":"Open Settings, then Security.","topic":"support","prompts":["password reset","new password"]}`)
	a := got[answerPage](b, b.get("/api/answers?topic=support")).Answers
	if len(a) != 1 || a[0].Phrasings != 2 || a[0].Lessons[0].Prompt != "password reset" || a[0].Lessons[1].Prompt != "new password" {
		t.Errorf("replaced: %+v", a)
	}
	put := func(body string) answer {
		return b.do("PUT", "/api/answers/"+a[0].ID, []byte(body), "Content-Type", "application/json")
	}
	b.wantError(put(`{"response":"x"}`), 400, job.CodeInvalid, "prompts", "PATCH")
	b.wantError(put(`{"prompts":["x"]}`), 400, job.CodeInvalid, "response")
	b.wantError(put(`{"response":"x","prompts":[]}`), 400, job.CodeInvalid, "prompts", "DELETE")
}
