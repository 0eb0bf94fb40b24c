package main

import (
	"slices"
	"testing"
)

// contradiction is what a job says of a prompt that was taught two responses.
type contradiction struct {
	LessonID string `json:"lesson_id"`
	Prompt   string `json:"prompt"`
	Older    string `json:"older"`
	Newer    string `json:"newer"`
}

// contradictions are those that a finished job lists, by their responses.
func (p *process) contradictions(id string) (pairs [][2]string) {
	p.t.Helper()
	p.finished(id)
	var j struct {
		Result struct {
			Taken          int             `json:"lessons_taken"`
			Contradictions []contradiction `json:"contradictions"`
		} `json:"result"`
	}
	p.call("GET", "/api/jobs/"+id, nil, &j)
	for _, c := range j.Result.Contradictions {
		if c.LessonID == "" || c.Prompt == "" {
			p.t.Errorf("job %s: contradiction %+v, want the lesson and its prompt", id, c)
		}
		pairs = append(pairs, [2]string{c.Older, c.Newer})
	}
	return pairs
}

// A prompt that is taught a second response has the newer one from then on,
// whether it comes with another job or later in the same, and the job tells
// which response gave way.
func TestTheNewerResponseWinsAndTheJobTells(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir(), []string{"serve"})
	const prompt = "When are you open?"
	check := func(when, want string, got [][2]string, pairs ...[2]string) {
		t.Helper()
		if a := p.ask(prompt); !a.Responded || a.Response != want {
			t.Errorf("%s: answered %+v, want %q", when, a, want)
		}
		if !slices.Equal(got, pairs) {
			t.Errorf("%s: contradictions %q, want %q", when, got, pairs)
		}
	}

	got := p.contradictions(p.teach("shop", lesson{prompt, "9 to 17."}, lesson{"Where are you?", "In the Market Street."}).ID)
	check("first taught", "9 to 17.", got)

	got = p.contradictions(p.teach("shop", lesson{"when are you OPEN", "8 to 20."}).ID)
	check("taught by a second job", "8 to 20.", got, [2]string{"9 to 17.", "8 to 20."})

	got = p.contradictions(p.teach("shop", lesson{"when are you OPEN", "8 to 20."}).ID)
	check("taught again as it is", "8 to 20.", got)

	got = p.contradictions(p.teach("shop",
		lesson{prompt, "All day."}, lesson{"Who are you?", "A shop."}, lesson{"When are you open", "At night."}).ID)
	check("taught twice by one job", "At night.", got, [2]string{"8 to 20.", "All day."}, [2]string{"All day.", "At night."})

	var list struct {
		Lessons []lesson `json:"lessons"`
	}
	p.call("GET", "/api/lessons?topic=shop", nil, &list)
	responses := make([]string, 0, len(list.Lessons))
	for _, l := range list.Lessons {
		responses = append(responses, l.Response)
	}
	slices.Sort(responses)
	if want := []string{"A shop.", "At night.", "In the Market Street."}; !slices.Equal(responses, want) {
		t.Errorf("lessons kept: %q, want %q", responses, want)
	}
}
