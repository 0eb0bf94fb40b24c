package teacher

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/nexus-continuum/nexus/job"
)

// What a poisoned model writes is refused as in an upload: only the good lesson is left.
func TestAReplyThatMisleads(t *testing.T) {
	t.Parallel()
	got, err := read(`{"lessons":[
		{"answer":"\u001b[2Ja","questions":["one"]}, {"answer":"a\u0000","questions":["two"]}, {"answer":"\u202ea","questions":["three"]},
		{"answer":"good","questions":["q\u202e","\u2067q","a good question","\u0007"]}, {"answer":"` + strings.Repeat("x", job.MaxResponseChars+1) + `","questions":["four"]}]}`)
	if err != nil || len(got) != 1 || got[0].Prompt != "a good question" || got[0].Response != "good" {
		t.Errorf("%q, %v", got, err)
	}
}

// FuzzReply: whatever a model writes, only lessons that may be taught come of it.
func FuzzReply(f *testing.F) {
	for _, s := range []string{
		`{"lessons":[{"answer":"a","questions":["q","q2"]}]}`, "Sure!\n```json\n{\"lessons\":[]}\n```", "}{", `{"lessons":[{"answer":" ","questions":[" "]}]}`,
		`{"lessons":[{"answer":"a\u0000","questions":["\u202eq"]}]}`, `{"lessons":{"answer":1}}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := read(text)
		if err == nil && len(got) == 0 {
			t.Errorf("%q gives neither lessons nor an error", text)
		}
		for _, l := range got {
			if strings.TrimSpace(l.Prompt) == "" || strings.TrimSpace(l.Response) == "" || !utf8.ValidString(l.Prompt+l.Response) ||
				utf8.RuneCountInString(l.Prompt) > job.MaxPromptChars || utf8.RuneCountInString(l.Response) > job.MaxResponseChars || job.Misleading(l.Prompt) != "" || job.Misleading(l.Response) != "" {
				t.Errorf("%q gives %+v", text, l)
			}
		}
	})
}
