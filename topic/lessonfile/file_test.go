package lessonfile_test

import (
	"archive/zip"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/xuri/excelize/v2"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/topic/lessonfile"
)

// told writes what a file teaches: "prompt → response" or, with a topic,
// "[topic] prompt → response".
func told(t *testing.T, body []byte, opt lessonfile.Options) (*lessonfile.File, []string, []*job.Fault) {
	t.Helper()
	f, err := lessonfile.Open(bytes.NewReader(body), int64(len(body)), opt)
	if err != nil {
		t.Fatalf("%s: %v", opt.Name, err)
	}
	defer f.Close()
	var out []string
	var faults []*job.Fault
	for {
		l, fault, err := f.Next()
		switch {
		case errors.Is(err, io.EOF):
			return f, out, faults
		case err != nil:
			t.Fatalf("%s: %v", opt.Name, err)
		case fault != nil:
			faults = append(faults, fault)
		default:
			s := l.Prompt + " → refuse"
			if l.Response != nil {
				s = l.Prompt + " → " + *l.Response
			}
			if l.Topic != "" {
				s = "[" + l.Topic + "] " + s
			}
			out = append(out, s)
		}
	}
}

func zipped(t *testing.T, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		w, err := z.Create(files[i])
		if err == nil {
			_, err = io.WriteString(w, files[i+1])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func sheet(t *testing.T, rows ...[]any) []byte {
	t.Helper()
	return merged(t, nil, rows...)
}

// merged is a sheet with merged cells, such as "A1:A2".
func merged(t *testing.T, cells []string, rows ...[]any) []byte {
	t.Helper()
	f := excelize.NewFile()
	defer f.Close()
	for i, r := range rows {
		if err := f.SetSheetRow("Sheet1", fmt.Sprintf("A%d", i+1), &r); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range cells {
		from, to, _ := strings.Cut(c, ":")
		if err := f.MergeCell("Sheet1", from, to); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if err := f.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func encoded(t *testing.T, s string, to string) []byte {
	t.Helper()
	var b []byte
	var err error
	switch to {
	case "utf-16":
		b, err = unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder().Bytes([]byte(s))
	case "utf-16be bare":
		b, err = unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM).NewEncoder().Bytes([]byte(s))
	case "windows-1252":
		b, err = charmap.Windows1252.NewEncoder().Bytes([]byte(s))
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const rasaNLU = `version: "3.1"
nlu:
- intent: ask_hours
  examples: |
    - when are you open
    - opening hours in [Berlin](city)
- intent: faq/password
  examples: |
    - how do I reset my password
`

const rasaDomain = `version: "3.1"
responses:
  utter_ask_hours:
  - text: "Nine to five."
  utter_faq/password:
  - text: |
      Open Settings.
      Then Security.
`

func TestFormats(t *testing.T) {
	t.Parallel()
	two := []string{"How do I pay? → By card, or cash.", "Où? → À Paris"}
	for name, tc := range map[string]struct {
		body   []byte
		opt    lessonfile.Options
		format string
		want   []string
	}{
		"comma":      {[]byte("prompt,response\nHow do I pay?,\"By card, or cash.\"\nOù?,À Paris\n"), lessonfile.Options{}, "csv", two},
		"semicolon":  {[]byte("Question;Answer\r\nHow do I pay?;By card, or cash.\r\nOù?;À Paris\r\n"), lessonfile.Options{}, "csv", two},
		"tab":        {[]byte("Question\tAnswer\nHow do I pay?\tBy card, or cash.\nOù?\tÀ Paris\n"), lessonfile.Options{}, "tsv", two},
		"bar":        {[]byte("question | answer\nHow do I pay?|By card, or cash.\nOù?|À Paris\n"), lessonfile.Options{}, "csv", two},
		"sep=":       {[]byte("sep=;\nQuestion;Answer\nHow do I pay?;By card, or cash.\nOù?;À Paris\n"), lessonfile.Options{}, "csv", two},
		"old Mac":    {[]byte("Question;Answer\rHow do I pay?;By card, or cash.\rOù?;À Paris\r"), lessonfile.Options{}, "csv", two},
		"UTF-8 mark": {[]byte("\ufeffAntwort;Frage\nBy card, or cash.;How do I pay?\nÀ Paris;Où?\n"), lessonfile.Options{}, "csv", two},
		"UTF-16":     {encoded(t, "Question;Answer\r\nHow do I pay?;By card, or cash.\r\nOù?;À Paris\r\n", "utf-16"), lessonfile.Options{}, "csv", two},
		"UTF-16 without a mark": {
			encoded(t, "Question;Answer\r\nHow do I pay?;By card, or cash.\r\nOù?;À Paris\r\n", "utf-16be bare"), lessonfile.Options{}, "csv", two,
		},
		"Windows-1252": {encoded(t, "Question;Answer\r\nHow do I pay?;By card, or cash.\r\nOù?;À Paris\r\n", "windows-1252"), lessonfile.Options{}, "csv", two},
		"chosen columns": {
			[]byte("id,text1,text2\n1,How do I pay?,\"By card, or cash.\"\n2,Où?,À Paris\n"), lessonfile.Options{Prompt: "TEXT1", Response: "3"}, "csv", two,
		},
		"no header": {[]byte("How do I pay?,\"By card, or cash.\"\nOù?,À Paris\n"), lessonfile.Options{NoHeader: true}, "csv", two},
		"quoted line ends": {
			[]byte("question,answer\n\"How do\nI pay?\",\"By \"\"card\"\".\r\nOr cash.\"\n,,\n"),
			lessonfile.Options{},
			"csv",
			[]string{"How do\nI pay? → By \"card\".\nOr cash."},
		},
		"a bank's FAQ": {
			[]byte("Question,Answer,Class\nDo I need an account?,No.,accounts\nHow?,\"So, so.\",loans\n"),
			lessonfile.Options{},
			"csv",
			[]string{"[accounts] Do I need an account? → No.", "[loans] How? → So, so."},
		},
		"utterance and intent": {
			[]byte("utterance,intent\nwake me up,alarm\n"), lessonfile.Options{}, "csv", []string{"wake me up → alarm"},
		},
		"refusals and a topic for all": {
			[]byte("prompt,response,refusal\nmay I smoke,,true\nhow,so,\n"),
			lessonfile.Options{Topic: "house"},
			"csv",
			[]string{"[house] may I smoke → refuse", "[house] how → so"},
		},
		"XLSX": {
			sheet(t, []any{"FAQ of 2026"}, []any{"No", "Question", "Answer"}, []any{1, "How do I pay?", "By card, or cash."}, []any{2, "Où?", "À Paris"}),
			lessonfile.Options{},
			"xlsx", two,
		},
		"no header, two columns": {[]byte("How do I pay?,\"By card, or cash.\"\nOù?,À Paris\n"), lessonfile.Options{}, "csv", two},
		"no header, chosen columns": {
			[]byte("\"By card, or cash.\",How do I pay?\nÀ Paris,Où?\n"), lessonfile.Options{Prompt: "2", Response: "1"}, "csv", two,
		},
		"articles of a help centre": {
			[]byte("\"Id\",\"Title\",\"Body\",\"Draft\"\n\"1\",\"How do I pay?\",\"<p>By <b>card</b>,\n or cash.</p>\",\"false\"\n\"2\",\"Où?\",\"À Paris\",\"\"\n"),
			lessonfile.Options{},
			"csv", two,
		},
		"guarded formulas": {
			[]byte("question,answer\n'=A1 what?,'-2 rows\n'tis so?,'\n'+43 1 23,-5\n"),
			lessonfile.Options{},
			"csv",
			[]string{"=A1 what? → -2 rows", "'tis so? → '", "'+43 1 23 → -5"},
		},
		"XLSX with merged cells": {
			merged(t, []string{"A3:A4", "C3:C4", "D3:F3"}, []any{"FAQ"}, []any{"Topic", "Question", "Answer"},
				[]any{"house", "How?", "So."}, []any{"", "And how else?"}, []any{}, []any{"", "Where?", "Here."}),
			lessonfile.Options{},
			"xlsx",
			[]string{"[house] How? → So.", "[house] And how else? → So.", "Where? → Here."},
		},
		"JSON list":   {[]byte(`[{"question":"How do I pay?","answer":"By card, or cash.","id":7},{"answer":"À Paris","question":"Où?"}]`), lessonfile.Options{}, "json", two},
		"JSON pairs":  {[]byte(`[["How do I pay?","By card, or cash."],["Où?","À Paris"]]`), lessonfile.Options{}, "json", two},
		"JSON object": {[]byte(`{"version":1,"data":{"tags":["x"],"faqs":[{"q":"How do I pay?","a":"By card, or cash."},{"q":"Où?","a":"À Paris"}]}}`), lessonfile.Options{}, "json", two},
		"JSON map":    {[]byte("{\n\"How do I pay?\": \"By card, or cash.\",\n\"Où?\": \"À Paris\"\n}"), lessonfile.Options{}, "json", two},
		"our own JSON": {
			[]byte(`{"topic":"shop","lessons":[{"prompt":"may I smoke","response":null},{"prompt":"how","response":"so","topic":"other"}]}`),
			lessonfile.Options{},
			"json",
			[]string{"[shop] may I smoke → refuse", "[other] how → so"},
		},
		"intents": {
			[]byte(`{"intents":[{"tag":"hi","patterns":["Hello","Hi"],"responses":["Good day","Hey"]}]}`),
			lessonfile.Options{},
			"json",
			[]string{"Hello → Good day", "Hi → Good day"},
		},
		"NDJSON": {
			[]byte("\ufeff{\"prompt\":\"How do I pay?\",\"response\":\"By card, or cash.\",\"source\":\"web\"}\r\n\r\n{\"prompt\":\"Où?\",\"response\":\"À Paris\"}\r\n"),
			lessonfile.Options{},
			"ndjson", two,
		},
		"chat": {
			[]byte(`{"messages":[{"role":"system","content":"be nice"},{"role":"user","content":"How do I pay?"},{"role":"assistant","content":"By card, or cash."},{"role":"user","content":[{"type":"text","text":"Où?"}]},{"role":"assistant","content":"À Paris"}]}` + "\n"),
			lessonfile.Options{},
			"openai-chat", two,
		},
		"chat with a tool": {
			[]byte(`{"messages":[{"role":"user","content":"How do I pay?"},{"role":"assistant","content":null,"tool_calls":[{"id":"x"}]},{"role":"tool","content":"3"},{"role":"assistant","content":"By card, or cash."},{"role":"user","content":"Où?"},{"role":"assistant","content":"À Paris"},{"role":"assistant","content":"More?"}]}` + "\n"),
			lessonfile.Options{},
			"openai-chat", two,
		},
		"Rasa in one file": {
			[]byte(rasaNLU + strings.TrimPrefix(rasaDomain, "version: \"3.1\"\n")),
			lessonfile.Options{Name: "nlu.yml"},
			"rasa",
			[]string{"when are you open → Nine to five.", "opening hours in Berlin → Nine to five.", "how do I reset my password → Open Settings.\nThen Security.\n"},
		},
		"Rasa in a zip": {
			zipped(t, "data/nlu.yml", rasaNLU, "domain.yml", rasaDomain),
			lessonfile.Options{},
			"rasa",
			[]string{"when are you open → Nine to five.", "opening hours in Berlin → Nine to five.", "how do I reset my password → Open Settings.\nThen Security.\n"},
		},
		"Rasa by a rule": {
			[]byte("nlu:\n- intent: bye\n  examples: |\n    - goodbye\nresponses:\n  utter_end:\n  - text: See you.\nrules:\n- rule: r\n  steps:\n  - intent: bye\n  - action: utter_end\n"),
			lessonfile.Options{},
			"rasa",
			[]string{"goodbye → See you."},
		},
		"Dialogflow": {
			zipped(
				t, "agent.json", "{}",
				"intents/pay.json", `{"name":"pay","responses":[{"messages":[{"type":"0","lang":"en","speech":["By card, or cash."]}]}]}`,
				"intents/pay_usersays_en.json", `[{"data":[{"text":"How do I "},{"text":"pay?","alias":"x"}]}]`,
				"intents/where.json", `{"name":"where","responses":[{"messages":[{"type":0,"lang":"fr","speech":"À Paris"}]}]}`,
				"intents/where_usersays_fr.json", `[{"data":[{"text":"Où?"}]}]`,
				"intents/Default Fallback Intent.json", `{"fallbackIntent":true,"responses":[{"messages":[{"speech":"Sorry?"}]}]}`,
				"intents/Default Fallback Intent_usersays_en.json", `[{"data":[{"text":"blah"}]}]`,
			), lessonfile.Options{}, "dialogflow", two,
		},
		"Markdown": {
			[]byte("# Help\n\nRead this.\n\n## Paying\n\n### How do I pay?\n\nBy card, or cash.\n\nOù?\n---\nÀ Paris\n"), lessonfile.Options{Name: "faq.md"}, "markdown", two,
		},
		"Markdown with front matter and marks": {
			[]byte("---\ntitle: Help\ntags: [a]\n---\n# Help\n\nRead this.\n\n## [How](https://x.example/a) do I **pay**? {#pay}\n\nBy card, or cash.\n\n## <a name=\"w\"></a>`Où`?\nÀ Paris\n"),
			lessonfile.Options{Name: "faq.md"},
			"markdown", two,
		},
		"questions in bold": {[]byte("**How do I pay?**\n\nBy card, or cash.\n\n**Où?**\nÀ Paris\n"), lessonfile.Options{}, "markdown", two},
		"Q and A":           {[]byte("Q: How do I pay?\nA: By card, or cash.\n\nQ: Où?\nA: À Paris\n"), lessonfile.Options{}, "markdown", two},
		"HTML headings": {
			[]byte("<!doctype html><html><head><title>x</title><style>h2{}</style></head><body><nav><h2>Menu</h2></nav><h1>FAQ</h1><p>Hello</p><h2>How do I <b>pay</b>?</h2><p>By card,\n or cash.</p><script>x()</script><h2>Où?</h2><div>À Paris</div></body></html>"),
			lessonfile.Options{},
			"html", two,
		},
		"HTML accordions": {
			[]byte(`<body><h1>FAQ</h1><button class="accordion">How do I <b>pay</b>?</button><div class="panel"><p>By card, or cash.</p></div><div role="button" class="faq-title"><h3>Où?</h3></div><div>À Paris</div></body>`),
			lessonfile.Options{},
			"html", two,
		},
		"HTML headings in buttons": {
			[]byte(`<body><h1>FAQ</h1><button><h3>How do I pay?</h3></button><p>By card, or cash.</p><h2 class="accordion-header"><button class="accordion-button">Où?</button></h2><div>À Paris</div></body>`),
			lessonfile.Options{},
			"html", two,
		},
		"HTML details": {
			[]byte("<details><summary>How do I pay?</summary><p>By card, or cash.</p></details><details><summary>Où?</summary>À Paris</details>"),
			lessonfile.Options{},
			"html", two,
		},
		"HTML terms": {[]byte("<dl><dt>How do I pay?</dt><dd>By card, or cash.</dd><dt>Où?</dt><dd>À Paris</dd></dl>"), lessonfile.Options{}, "html", two},
		"HTML for search engines": {
			[]byte(`<html><head><script type="application/ld+json">{"@type":"FAQPage","mainEntity":[{"@type":"Question","name":"How do I pay?","acceptedAnswer":{"text":"<p>By card, or cash.</p>"}},{"name":"Où?","acceptedAnswer":{"text":"À Paris"}}]}</script></head><body><h2>Other</h2><p>x</p></body></html>`),
			lessonfile.Options{},
			"html", two,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, got, faults := told(t, tc.body, tc.opt)
			if f.Format != tc.format || strings.Join(got, "\n") != strings.Join(tc.want, "\n") || len(faults) > 0 {
				t.Errorf("%s: %q, faults %+v; want %s: %q", f.Format, got, faults, tc.format, tc.want)
			}
		})
	}
}

func TestWhatIsSaidOfAFile(t *testing.T) {
	t.Parallel()
	f, _, _ := told(t, encoded(t, "Question;Answer;Class\nOù?;À Paris;x\n", "windows-1252"), lessonfile.Options{})
	if f.Encoding != "windows-1252" || f.Delimiter != ";" || f.Columns.Prompt != "Question" || f.Columns.Response != "Answer" || *f.Columns.Topic != "Class" {
		t.Errorf("%+v %+v", f, f.Columns)
	}
	// One broken byte does not make UTF-8 another encoding: it is a fault.
	f, got, faults := told(t, []byte("question,answer\nOù?,À Paris\nx,\xe9\ny,é\n"), lessonfile.Options{})
	if f.Encoding != "utf-8" || len(got) != 2 || len(faults) != 1 || faults[0].Line != 3 || faults[0].Code != job.CodeNotUTF8 {
		t.Errorf("%s: %q, faults %+v", f.Encoding, got, faults)
	}
	_, got, faults = told(t, []byte("{\"q\":\"a b\",\"a\":\"c\"}\n{broken\n{\"q\":\"x\"}\n{\"q\":\"d e\",\"a\":\"f\"}\n"), lessonfile.Options{})
	if len(got) != 2 || len(faults) != 2 || faults[0].Line != 2 || faults[1].Line != 3 || !strings.Contains(faults[1].Detail, "answer") {
		t.Errorf("%q, faults %+v", got, faults)
	}
	_, got, faults = told(t, []byte(rasaNLU+"responses:\n  utter_ask_hours:\n  - text: Nine.\n"), lessonfile.Options{})
	if len(got) != 2 || len(faults) != 1 || !strings.Contains(faults[0].Detail, "utter_faq/password") {
		t.Errorf("%q, faults %+v", got, faults)
	}
}

func TestWhatIsNotUnderstood(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		body []byte
		opt  lessonfile.Options
		code string
		say  string
	}{
		"empty":            {nil, lessonfile.Options{}, job.CodeBadFile, "empty"},
		"white space":      {[]byte(" \n\n"), lessonfile.Options{}, job.CodeBadFile, "white space"},
		"PDF":              {[]byte("%PDF-1.7 x"), lessonfile.Options{}, job.CodeUnsupportedType, "CSV or TSV"},
		"old Excel":        {[]byte("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), lessonfile.Options{}, job.CodeUnsupportedType, ".xlsx"},
		"binary":           {bytes.Repeat([]byte{0, 1, 2, 3, 0, 0, 9}, 100), lessonfile.Options{}, job.CodeUnsupportedType, "no text"},
		"XML":              {[]byte("<?xml version=\"1.0\"?><aiml/>"), lessonfile.Options{}, job.CodeUnsupportedType, "XML"},
		"unknown columns":  {[]byte("foo,bar\n1,2\n"), lessonfile.Options{}, job.CodeBadFile, `"foo", "bar"`},
		"no such column":   {[]byte("foo,bar\n1,2\n"), lessonfile.Options{Prompt: "baz"}, job.CodeBadFile, "baz"},
		"one column":       {[]byte("question\nhow\n"), lessonfile.Options{}, job.CodeBadFile, "header"},
		"no such encoding": {[]byte("q,a\nx,y\n"), lessonfile.Options{Encoding: "klingon"}, job.CodeInvalid, "klingon"},
		"no lesson":        {[]byte(`{"a":[1,2],"b":{"c":3}}`), lessonfile.Options{}, job.CodeBadFile, "holds no list"},
		"broken JSON":      {[]byte(`[{"q":"x","a":"y"},`), lessonfile.Options{Name: "x.json"}, "", ""},
		"deep JSON":        {[]byte(strings.Repeat(`{"a":`, 100)), lessonfile.Options{Name: "x.json"}, job.CodeBadFile, "deep"},
		"YAML of another form": {
			[]byte("version: \"3.1\"\nnlu:\n- [a, b]\n"), lessonfile.Options{}, job.CodeBadFile, "on line 3: nlu: is a list of intents",
		},
		"responses alone":  {[]byte(rasaDomain), lessonfile.Options{}, job.CodeBadFile, "nlu.yml and domain.yml together"},
		"no header":        {[]byte("How do I pay?,By card,x\nWhere?,Here,y\n"), lessonfile.Options{}, job.CodeBadFile, "looks like a lesson"},
		"unknown encoding": {[]byte("\x8e\xbf\x96\xe2,\x89\xf1\x93\x9a\n\x83p,\x90\xdd\n"), lessonfile.Options{}, job.CodeBadFile, "save the file as UTF-8"},
		"YAML":             {[]byte("nlu: []\n"), lessonfile.Options{}, job.CodeBadFile, "intents"},
		"no answers":       {[]byte("# Title\n\n## Other\n"), lessonfile.Options{}, job.CodeBadFile, "heading"},
		"empty page":       {[]byte("<html><body><p>hello</p></body></html>"), lessonfile.Options{}, job.CodeBadFile, "question"},
		"odd zip":          {zipped(t, "a.txt", "x", "b.txt", "y"), lessonfile.Options{}, job.CodeUnsupportedType, "zip"},
		"broken zip":       {[]byte("PK\x03\x04 nothing"), lessonfile.Options{}, job.CodeBadFile, "zip"},
		"zip bomb":         {zipped(t, "data/nlu.yml", strings.Repeat(" ", 33<<20)), lessonfile.Options{}, job.CodeTooLarge, "MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := lessonfile.Open(bytes.NewReader(tc.body), int64(len(tc.body)), tc.opt)
			if tc.code == "" {
				return // told when its end is reached
			}
			e := job.AsError(err)
			if err == nil || e.Code != tc.code || !strings.Contains(e.Detail, tc.say) {
				t.Errorf("%v, want %s with %q", err, tc.code, tc.say)
			}
		})
	}
	f, err := lessonfile.Open(strings.NewReader(`[{"q":"x","a":"y"},`), 19, lessonfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err = f.Next(); err == nil {
		_, _, err = f.Next()
	}
	if job.AsError(err).Code != job.CodeBadFile {
		t.Errorf("a list that breaks off: %v", err)
	}
}

// An open quote must not gather the whole file in memory.
func TestAnOpenQuoteIsAFault(t *testing.T) {
	t.Parallel()
	body := "question,answer\na,b\nc,\"" + strings.Repeat("x\n", 3<<20)
	_, got, faults := told(t, []byte(body), lessonfile.Options{})
	if len(got) != 1 || len(faults) != 1 || faults[0].Line != 3 || faults[0].Code != job.CodeTooLarge {
		t.Errorf("%d lessons, faults %+v", len(got), faults)
	}
}

// What a table shows to a spreadsheet program never runs, and is read as it was.
func FuzzGuarded(f *testing.F) {
	for _, s := range []string{"=1+1", "'=1+1", "-5", "- a", "+43 1 23", "@x", "'", "''=x", "-1+cmd|' /C calc'!A0", "'tis", "\t=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.TrimSpace(text) == "" || !utf8.ValidString(text) || strings.ContainsRune(text, '\r') {
			return // no lesson, or changed by CSV itself
		}
		cell := lessonfile.Guarded(text)
		if strings.ContainsAny(cell[:1], "=@\t") || strings.ContainsAny(cell[:1], "+-") && strings.ContainsAny(cell, "!|") {
			t.Errorf("%q runs", cell)
		}
		var b bytes.Buffer
		w := csv.NewWriter(&b)
		if err := errors.Join(w.Write([]string{"prompt", "response"}), w.Write([]string{cell, cell})); err != nil {
			t.Fatal(err)
		}
		w.Flush()
		table, err := lessonfile.NewTable(&b, lessonfile.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if l, fault, err := table.Next(); err != nil || fault != nil || l.Prompt != text || *l.Response != text {
			t.Errorf("%q is read as %+v, %v, %v", text, l, fault, err)
		}
	})
}

func FuzzOpen(f *testing.F) {
	for _, s := range []string{
		"prompt,response\np,r\n", "sep=;\nq;a\n\"x\ny\";z\n", "\xff\xfeq\x00,\x00a\x00", "[{\"q\":\"a b\",\"a\":\"c\"}]", `{"messages":[{"role":"user","content":"x"}]}`,
		rasaNLU + rasaDomain, "# T\n## Q?\nA\n", "<dl><dt>q<dd>a</dl>", "PK\x03\x04", "nlu:\n- intent: a\n  examples: |\n    - b\n", "Q: a\nA: b\n", "{\"How is it?\":\"good\"}",
	} {
		f.Add([]byte(s), "")
		f.Add([]byte(s), "faq.md")
	}
	f.Fuzz(func(t *testing.T, body []byte, name string) {
		file, err := lessonfile.Open(bytes.NewReader(body), int64(len(body)), lessonfile.Options{Name: name})
		if err != nil {
			if e := job.AsError(err); e.Code == job.CodeInternal {
				t.Errorf("%q is answered as a fault of ours: %v", body, err)
			}
			return
		}
		defer file.Close()
		for n := 0; ; n++ {
			l, fault, err := file.Next()
			if err != nil {
				if e := job.AsError(err); !errors.Is(err, io.EOF) && e.Code == job.CodeInternal {
					t.Errorf("%q breaks off as by a fault of ours: %v", body, err)
				}
				return
			}
			if n > 10*len(body)+10 {
				t.Fatalf("%q: no end", body)
			}
			if fault == nil && l.Line < 1 {
				t.Errorf("%q: a lesson without a place: %+v", body, l)
			}
		}
	})
}
