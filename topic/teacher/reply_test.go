package teacher

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/nexus-continuum/nexus/job"
)

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
				utf8.RuneCountInString(l.Prompt) > job.MaxPromptChars || utf8.RuneCountInString(l.Response) > job.MaxResponseChars {
				t.Errorf("%q gives %+v", text, l)
			}
		}
	})
}
