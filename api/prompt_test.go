package api

import (
	"strings"
	"testing"

	"github.com/nexus-continuum/nexus/job"
)

// Characters that mislead whoever reads a text later are refused, in prompts and
// in lessons; honest text of any script passes.
func TestCharactersThatMislead(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, bad := range []string{`\u0000`, `\u001b[31m`, `\u0007`, `\u009b`, `\u007f`, `\u202e`, `\u202a`, `\u2067`, `\u2069`, `\u2066\n\u2069`, `\ud800`, `\udc00x`, `\ud83d\u0041`} {
		b.wantError(b.post("/api/interact", `{"prompt":"a`+bad+`b"}`), 400, job.CodeInvalid, "prompt")
		b.wantError(b.post("/api/interact", `{"prompt":"x","topic":"a`+bad+`b"}`), 400, job.CodeInvalid, "topic")
		a := b.post("/api/lessons", `{"lessons":[{"prompt":"p","response":"a`+bad+`b"},{"prompt":"good","response":"r"}]}`)
		b.wantError(a, 422, job.CodeBadLesson, "")
		if !strings.Contains(string(a.body), `"line":1`) {
			t.Errorf("the fault has no line: %s", a.body)
		}
	}
	lesson := []byte(`{"prompt":"p","response":"r"}`)
	b.wantError(b.do("POST", "/api/lessons?topic=%CA", lesson, "Content-Type", "application/x-ndjson"), 400, job.CodeInvalid, "topic")
	b.wantStored(0)
	for _, good := range []string{`tab\tand\nline`, `שלום \u200fעולם`, `\u2068مرحبا\u2069`, `family \ud83d\udc68\u200d\ud83d\udc69`, `a\\ud800b`, `naïve 日本`} {
		if a := b.post("/api/interact", `{"prompt":"`+good+`"}`); a.status != 200 {
			t.Errorf("%s: %d %s", good, a.status, a.body)
		}
	}
}

// FuzzLoneSurrogate: what passes is decoded without a character put in its place.
func FuzzLoneSurrogate(f *testing.F) {
	for _, s := range []string{`"\ud800"`, `"\ud83d\ude00"`, `"\\ud800"`, `"\u12"`, `"`, `"\`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		var out string
		err := decodeValue("prompt", []byte(raw), &out)
		if err == nil && strings.ContainsRune(out, '\uFFFD') && !strings.Contains(strings.ToLower(raw), `\ufffd`) && !strings.ContainsRune(raw, '\uFFFD') {
			t.Errorf("%q became %q", raw, out)
		}
	})
}
