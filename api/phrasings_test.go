package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nexus-continuum/nexus/job"
)

// scripted is a teacher that suggests what a test wants.
type scripted struct {
	says  []string
	fails atomic.Bool
	known atomic.Pointer[[]string]
}

func (*scripted) Name() string { return "tiny" }

func (s *scripted) Phrasings(_ context.Context, _ string, known []string) ([]string, error) {
	s.known.Store(&known)
	if s.fails.Load() {
		return nil, errors.New("its key sk-123 is wrong")
	}
	return s.says, nil
}

// The teacher suggests phrasings, a person chooses, and what was chosen answers.
func TestPhrasingsAreSuggestedAndAdded(t *testing.T) {
	t.Parallel()
	tiny := &scripted{says: []string{"forgot my password", "where is my INVOICE", "I cannot sign in"}}
	b := setup(t, func(o *Options) { o.Teacher = tiny })
	b.teach("support", "How do I reset my password?", "Open Settings.")
	b.teach("billing", "Where is my invoice?", "In your mail.")
	id := got[answerPage](b, b.get("/api/answers?topic=support")).Answers[0].ID
	a := b.post("/api/answers/"+id+"/suggest", "")
	found := got[phrasings](b, a)
	if a.status != http.StatusOK || found.Teacher != "tiny" || !slices.Equal(found.Phrasings, []string{"forgot my password", "I cannot sign in"}) {
		t.Errorf("%d %s; want two phrasings, without the question of another answer", a.status, a.body)
	}
	if known := tiny.known.Load(); known == nil || !slices.Equal(*known, []string{"How do I reset my password?"}) {
		t.Errorf("the teacher was told of %v", known)
	}
	if n := len(got[lessonPage](b, b.get("/api/lessons")).Lessons); n != 2 {
		t.Errorf("%d lessons after suggestions, want 2: a person decides", n)
	}
	b.wantError(b.post("/api/answers/nothing/suggest", ""), http.StatusNotFound, job.CodeNotFound, "", "no answer")
	tiny.fails.Store(true)
	b.wantError(b.post("/api/answers/"+id+"/suggest", ""), http.StatusServiceUnavailable, job.CodeUnavailable, "", "tiny", "NEXUS_TEACHER_API_KEY")
	tiny.fails.Store(false)

	p := openTab(t, b.url)
	if p == nil {
		return
	}
	p.open("topics")
	p.says("main", "the teacher can suggest them")
	p.open("answers?topic=support&id=" + id)
	p.click("#suggest")
	p.says("#suggested", "forgot my password", "I cannot sign in")
	p.fair("suggested phrasings")
	p.click(`#suggested li:nth-child(2) input`)
	p.press("Add 1 phrasing")
	p.says(".toast", "1 phrasing added")
	p.says(".pane", "forgot my password")
	if a := b.ask("forgot my password"); a.text(t, "response") != "Open Settings." {
		t.Errorf("%s", a.body)
	}
	if all := string(b.get("/api/lessons").body); strings.Contains(all, "sign in") {
		t.Errorf("what was left out was taught: %s", all)
	}
	p.click("#suggest")
	p.says("#suggested", "I cannot sign in")
	p.press("None of these")
	p.holds("they are gone", `!document.querySelector('#suggested')`)
}

func TestWithoutATeacherNothingIsSuggested(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.teach("support", "How do I reset my password?", "Open Settings.")
	id := got[answerPage](b, b.get("/api/answers")).Answers[0].ID
	b.wantError(b.post("/api/answers/"+id+"/suggest", ""), http.StatusConflict, job.CodeConflict, "", "NEXUS_TEACHER_URL")
	if a := b.get("/api/packs"); !strings.Contains(string(a.body), `"teacher":null`) {
		t.Errorf("%s", a.body)
	}
}
