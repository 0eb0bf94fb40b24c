package api

import (
	"bytes"
	"encoding/json"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	"github.com/nexus-continuum/nexus/api/book"
	"github.com/nexus-continuum/nexus/job"
)

func TestAnImportIsShownAndThenTaught(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.teach("", "Do I need an account?", "No.")
	b.teach("", "How do I pay?", "In cash.")
	file := []byte("\ufeffQuestion;Answer;Notes\r\nDo I need an account?;No.;x\r\nHow do I pay?;\"By card; or cash.\";y\r\nHow do I pay?;\"By card; or cash.\";z\r\n" +
		"Where are you?;In Rome.;\r\nWhere are you?;In Paris.;\r\nWhere are you?;In Rome.;\r\nNothing;;\r\n")
	p := got[preview](b, b.do("POST", "/api/import?dry_run=true&filename=faq.csv", file, "Content-Type", "text/csv"))
	if p.Format != "csv" || *p.Encoding != "utf-8" || *p.Delimiter != ";" || p.Columns.Prompt != "Question" || p.Columns.Response != "Answer" || p.Columns.Topic != nil {
		t.Errorf("understood: %+v %+v", p, p.Columns)
	}
	if p.Lessons != 6 || p.New != 2 || p.Known != 1 || p.Duplicates != 1 || len(p.Sample) != 6 || p.FaultsTotal != 1 || p.Faults[0].Line != 8 {
		t.Errorf("counted: %+v", p)
	}
	if p.ContradictionsTotal != 2 || len(p.Contradictions) != 2 || *p.Contradictions[0].Responses[0] != "In cash." || len(p.Contradictions[1].Responses) != 2 || *p.Contradictions[1].Responses[1] != "In Rome." {
		t.Errorf("contradictions: %+v", p.Contradictions)
	}
	b.wantStored(2)
	b.wantError(b.do("POST", "/api/import", file, "Content-Type", "text/csv"), 422, job.CodeBadLesson, "", "line 8", "on_error=skip")
	a := b.do("POST", "/api/import?on_error=skip&topic=faq", file)
	if a.status != http.StatusAccepted {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if r := b.ended(a.text(t, "id"))["result"].(map[string]any); r["lessons_taken"] != 6.0 {
		t.Errorf("taken: %v", r)
	}
	if a := b.post("/api/interact", `{"prompt":"How do I pay?","topic":"faq"}`); a.text(t, "response") != "By card; or cash." {
		t.Errorf("asked: %s", a.body)
	}
}

func TestAFormBringsAFile(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	b.must(form.WriteField("note", "hello"))
	w, err := form.CreateFormFile("file", "faq.md")
	b.must(err)
	_, err = w.Write([]byte("## How do I pay?\nBy card.\n"))
	b.must(err)
	b.must(form.Close())
	a := b.do("POST", "/api/import", body.Bytes(), "Content-Type", form.FormDataContentType())
	if a.status != http.StatusAccepted || b.ended(a.text(t, "id"))["result"].(map[string]any)["lessons_taken"] != 1.0 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	empty := "--x\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhello\r\n--x--\r\n"
	b.wantError(b.do("POST", "/api/import", []byte(empty), "Content-Type", "multipart/form-data; boundary=x"), 400, job.CodeInvalid, "file", "-F file=@")
}

func TestFaultyImports(t *testing.T) {
	t.Parallel()
	b := setup(t)
	send := func(query, body string) answer {
		return b.do("POST", "/api/import?"+query, []byte(body), "Content-Type", "application/octet-stream")
	}
	b.wantError(send("", "%PDF-1.7"), 415, job.CodeUnsupportedType, "", "PDF", "XLSX", "Rasa")
	b.wantError(send("", "foo;bar\n1;2\n"), 422, job.CodeBadFile, "", `"foo", "bar"`, "?prompt=<column>")
	b.wantError(send("prompt=baz", "foo;bar\n1;2\n"), 422, job.CodeBadFile, "prompt", "baz")
	b.wantError(send("dry_run=maybe", "q,a\nx,y\n"), 400, job.CodeInvalid, "dry_run", "true or false")
	b.wantError(send("column=x", "q,a\nx,y\n"), 400, job.CodeInvalid, "column", "filename")
	b.wantError(send("encoding=klingon", "q,a\nx,y\n"), 400, job.CodeInvalid, "encoding")
	b.wantError(b.do("POST", "/api/import", []byte("q,a\nx,y\n"), "Content-Encoding", "br"), 415, job.CodeUnsupportedType, "", "br")
	b.wantStored(0)
	if p := got[preview](b, send("dry_run=true&header=false", "How?,So.\n")); p.Lessons != 1 || p.Sample[0].Prompt != "How?" {
		t.Errorf("without a header: %+v", p)
	}
}

// Field case F51: what Excel and others write is taken by POST /api/lessons.
func TestDialectsOfLessons(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for name, tc := range map[string]struct{ kind, body string }{
		"semicolons":        {"text/csv", "prompt;response\nhow;so\n"},
		"tabs":              {"text/tab-separated-values", "prompt\tresponse\nhow\tso\n"},
		"sep=":              {"text/csv", "sep=;\nprompt;response\nhow;so\n"},
		"other names":       {"text/csv", "Question,Answer,Class\nhow,so,x\n"},
		"a further column":  {"text/csv", "id,prompt,response\n7,how,so\n"},
		"old Mac":           {"text/csv", "prompt,response\rhow,so\r"},
		"UTF-16":            {"text/csv", "\xff\xfep\x00r\x00o\x00m\x00p\x00t\x00,\x00r\x00e\x00s\x00p\x00o\x00n\x00s\x00e\x00\n\x00h\x00o\x00w\x00,\x00s\x00o\x00"},
		"Windows-1252":      {"text/csv; charset=windows-1252", "prompt,response\nhow,so\nou,\xc0 Paris\n"},
		"jsonl":             {"application/jsonl", `{"prompt":"how","response":"so"}` + "\n\n" + `{"prompt":"x","response":"y"}`},
		"JSON with a mark":  {"application/json", "\ufeff" + `{"lessons":[{"prompt":"how","response":"so"}]}`},
		"NDJSON with blank": {"application/x-ndjson", `{"prompt":"how","response":"so"}` + "\n\n" + `{"prompt":"x","response":"y"}` + "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			b.T = t
			a := b.do("POST", "/api/lessons", []byte(tc.body), "Content-Type", tc.kind)
			if a.status != http.StatusAccepted {
				t.Fatalf("%d %s", a.status, a.body)
			}
			b.ended(a.text(t, "id"))
			if a := b.post("/api/interact", `{"prompt":"how"}`); a.text(t, "response") != "so" {
				t.Errorf("asked: %s", a.body)
			}
		})
	}
	b.T = t
	a := b.do("POST", "/api/lessons", []byte("prompt,response\nhow,so\nx,\xe9\n"), "Content-Type", "text/csv")
	b.wantError(a, 422, job.CodeBadLesson, "", "line 3", "windows-1252")
}

func TestAnExportIsTakenAgain(t *testing.T) {
	t.Parallel()
	from := setup(t)
	lessons := `{"prompt":"a \"quote\", and; more","response":"line one\nline two","topic":"x"}
{"prompt":"emoji 🙂 é","response":"<b>&</b> =1+1"}
{"prompt":"may I smoke","response":null,"topic":"x"}
{"prompt":"=HYPERLINK(\"http://evil.example\",\"x\")","response":"@SUM(1)|cmd","topic":"-y"}
{"prompt":"how cold was it","response":"-5"}
`
	from.ended(from.do("POST", "/api/lessons", []byte(lessons), "Content-Type", "application/x-ndjson").text(t, "id"))
	want := got[lessonPage](from, from.get("/api/lessons")).Lessons
	for _, format := range []string{"ndjson", "csv", "json"} {
		t.Run(format, func(t *testing.T) {
			from.T = t
			file := from.get("/api/export?format=" + format)
			if file.status != http.StatusOK || !strings.Contains(file.header.Get("Content-Disposition"), "."+format) {
				t.Fatalf("%d %v", file.status, file.header)
			}
			if format == "csv" && (!bytes.Contains(file.body, []byte("\"'=HYPERLINK")) || !bytes.Contains(file.body, []byte("'@SUM(1)|cmd,'-y")) || !bytes.Contains(file.body, []byte("it,-5,"))) {
				t.Errorf("a spreadsheet program would run a formula: %s", file.body)
			}
			for _, path := range []string{"/api/lessons", "/api/import"} {
				to := setup(t)
				a := to.do("POST", path, file.body, "Content-Type", strings.Replace(file.header.Get("Content-Type"), "; charset=utf-8", "", 1))
				if a.status != http.StatusAccepted {
					t.Fatalf("%s: %d %s\n%s", path, a.status, a.body, file.body)
				}
				to.ended(a.text(t, "id"))
				if back := got[lessonPage](to, to.get("/api/lessons")).Lessons; !same(want, back) {
					t.Errorf("%s: %+v, want %+v", path, back, want)
				}
			}
		})
	}
	from.T = t
	if one := from.get("/api/export?topic=x").body; bytes.Count(one, []byte("\n")) != 2 {
		t.Errorf("one topic: %s", one)
	}
	if none := from.get("/api/export?format=json&topic=none").body; !json.Valid(none) || !strings.Contains(string(none), "[]") {
		t.Errorf("nothing: %s", none)
	}
	from.wantError(from.get("/api/export?format=xml"), 400, job.CodeInvalid, "format", "ndjson, csv or json")
}

func same(a, b []book.Lesson) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}
