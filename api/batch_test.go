package api

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/nexus-continuum/nexus/job"
)

func (b *bundle) batch(body string, header ...string) (answer, []batchLine) {
	b.Helper()
	a := b.do(http.MethodPost, "/api/jobs:batch", []byte(body), append([]string{"Content-Type", "application/x-ndjson"}, header...)...)
	var out []batchLine
	if a.status != http.StatusOK {
		return a, nil
	}
	lines := bufio.NewScanner(bytes.NewReader(a.body))
	for lines.Scan() {
		var l batchLine
		b.must(json.Unmarshal(lines.Bytes(), &l))
		out = append(out, l)
	}
	return a, out
}

// Thousands of jobs come in one request, and each is a job like any other.
func TestBatch(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.teach("support", "prompt 7", "answer 7")
	var body strings.Builder
	const n = 2000
	for i := range n {
		fmt.Fprintf(&body, `{"kind":"interact","prompt":"prompt %d"}`+"\n", i)
	}
	_, lines := b.batch(body.String())
	if len(lines) != n {
		t.Fatalf("%d lines came back", len(lines))
	}
	seen := map[string]bool{}
	for i, l := range lines {
		if l.Line != i+1 || l.Error != nil || seen[l.ID] || i > 0 && l.ID <= lines[i-1].ID {
			t.Fatalf("line %d is %+v", i+1, l)
		}
		if _, err := job.IDTime(l.ID); err != nil {
			t.Fatal(err)
		}
		seen[l.ID] = true
	}
	m := b.ended(lines[7].ID)
	if result, _ := m["result"].(map[string]any); m["state"] != "succeeded" || result["response"] != "answer 7" {
		t.Errorf("job is %v", m)
	}
	b.ended(lines[n-1].ID)
}

// A line that is no job is told in its place; the others are taken.
func TestBatchWithFaults(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, lines := b.batch(`{"prompt":"a"}` + "\n\n" + `{"prompt":""}` + "\n" + `{"prompt":"b","x":1}` + "\n" + `{` + "\n" + `{"kind":"train"}` + "\n" + `{"prompt":"c"}`)
	want := []struct {
		line int
		code string
	}{{1, ""}, {3, job.CodePromptEmpty}, {4, job.CodeUnknownField}, {5, job.CodeBadJSON}, {6, job.CodeInvalid}, {7, ""}}
	if len(lines) != len(want) {
		t.Fatalf("lines are %+v", lines)
	}
	for i, w := range want {
		l := lines[i]
		if l.Line != w.line || (l.Error == nil) != (w.code == "") || l.Error != nil && (l.Error.Code != w.code || l.ID != "") {
			t.Errorf("line %+v (%+v), want %+v", l, l.Error, w)
		}
	}
	b.ended(lines[5].ID)
	a, _ := b.batch("\n")
	b.wantError(a, http.StatusBadRequest, "bad_json", "", "one job a line")
	a = b.post("/api/jobs:batch", `{"prompt":"x"}`)
	b.wantError(a, http.StatusUnsupportedMediaType, "unsupported_media_type", "")
}

// A repeat with the same key makes no second jobs; another body is refused.
func TestBatchIsIdempotent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	body := `{"prompt":"a"}` + "\n" + `{"prompt":"b"}`
	_, first := b.batch(body, "Idempotency-Key", "k")
	a, again := b.batch(body, "Idempotency-Key", "k")
	if fmt.Sprint(first) != fmt.Sprint(again) || a.header.Get(headerReplayed) != "true" {
		t.Errorf("first %v, again %v", first, again)
	}
	jobs, _ := b.get("/api/jobs?kind=interact").json(t)["jobs"].([]any)
	if len(jobs) != 2 {
		t.Errorf("%d jobs were made", len(jobs))
	}
	a, _ = b.batch(`{"prompt":"c"}`, "Idempotency-Key", "k")
	b.wantError(a, http.StatusUnprocessableEntity, "idempotency_key_reused", "Idempotency-Key")
}
