package api

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/job"
)

func TestAskAndBeAnswered(t *testing.T) {
	t.Parallel()
	b := setup(t)
	refused := b.post("/api/interact", `{"prompt":"How do I reset my password?"}`)
	m := refused.json(t)
	if refused.status != http.StatusOK || m["responded"] != false || m["reason"] != job.ReasonUntaught {
		t.Fatalf("before any lesson: %d %s", refused.status, refused.body)
	}
	if _, ok := m["sources"].([]any); !ok {
		t.Errorf("sources is no list: %s", refused.body)
	}
	b.teach("support", "How do I reset my password?", "Open Settings, then Security.")
	a := b.post("/api/interact", `{"prompt":"How do I reset my password?","topic":"support"}`)
	m = a.json(t)
	if m["response"] != "Open Settings, then Security." || m["responded"] != true || m["reason"] != nil || m["topic"] != "support" {
		t.Errorf("after the lesson: %s", a.body)
	}
	if m["job_id"] != m["interaction_id"] || m["job_id"] == "" {
		t.Errorf("ids: %s", a.body)
	}
	if total, _ := m["timing"].(map[string]any)["total_ms"].(float64); total <= 0 {
		t.Errorf("timing: %s", a.body)
	}
	// What was answered at once is still found as a job.
	if j := b.get("/api/jobs/" + a.text(t, "job_id")).json(t); j["state"] != "succeeded" || j["kind"] != "interact" {
		t.Errorf("job: %v", j)
	}
}

func TestTheWaitRunsOut(t *testing.T) {
	t.Parallel()
	b := setup(t)
	resume := b.worker.pause()
	defer resume()
	began := time.Now()
	a := b.post("/api/interact", `{"prompt":"slow"}`, "Prefer", "wait=1")
	if took := time.Since(began); took < time.Second || took > 5*time.Second {
		t.Errorf("waited %v, want about 1 s", took)
	}
	if a.status != http.StatusAccepted || a.header.Get("Preference-Applied") != "wait=1" {
		t.Fatalf("%d %v %s", a.status, a.header, a.body)
	}
	id := a.text(t, "id")
	if a.header.Get("Location") != "/api/jobs/"+id {
		t.Errorf("Location %q of job %s", a.header.Get("Location"), id)
	}
	resume()
	j := b.ended(id)
	if result, _ := j["result"].(map[string]any); j["state"] != "succeeded" || result["reason"] != job.ReasonUntaught {
		t.Errorf("the job went on to %v", j)
	}
}

func TestAWaitMayBeLongerThanTheTimeToSend(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.srv.sendTimeout = 300 * time.Millisecond
	resume := b.worker.pause()
	defer resume()
	if a := b.post("/api/interact", `{"prompt":"slow"}`, "Prefer", "wait=1"); a.status != http.StatusAccepted {
		t.Errorf("%d %s", a.status, a.body)
	}
	// A body that does not come is not waited for.
	read, write := io.Pipe()
	defer func() { _ = write.Close() }()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url+"/api/interact", read)
	b.must(err)
	req.Header.Set("Content-Type", "application/json")
	began := time.Now()
	res, err := b.client.Do(req)
	if err == nil {
		res.Body.Close()
	}
	if took := time.Since(began); took > 10*time.Second || (err == nil && res.StatusCode < 400) {
		t.Errorf("a body that never comes was waited for %v: %v %v", took, res, err)
	}
}

func TestRespondAsync(t *testing.T) {
	t.Parallel()
	b := setup(t)
	resume := b.worker.pause()
	defer resume()
	a := b.post("/api/interact", `{"prompt":"later"}`, "Prefer", "respond-async")
	m := a.json(t)
	if a.status != http.StatusAccepted || m["state"] != "queued" || m["kind"] != "interact" || a.header.Get("Preference-Applied") != "respond-async" {
		t.Fatalf("%d %s", a.status, a.body)
	}
	resume()
	if j := b.ended(a.text(t, "id")); j["state"] != "succeeded" {
		t.Errorf("%v", j)
	}
}

func TestPreferredWait(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]struct {
		wait    time.Duration
		applied string
	}{
		"":                       {30 * time.Second, ""},
		"wait=5":                 {5 * time.Second, "wait=5"},
		`Wait = "7"`:             {7 * time.Second, "wait=7"},
		"wait=500":               {120 * time.Second, "wait=120"},
		"wait=99999999999999999": {120 * time.Second, "wait=120"},
		"wait=0":                 {0, "wait=0"},
		"wait=-1":                {30 * time.Second, ""},
		"wait=soon":              {30 * time.Second, ""},
		"respond-async":          {0, "respond-async"},
		"respond-async, wait=9":  {9 * time.Second, "respond-async, wait=9"},
		"wait=2,respond-async":   {2 * time.Second, "respond-async, wait=2"},
		"respond-async, wait=0":  {0, "respond-async, wait=0"},
		"handling=lenient; x=1":  {30 * time.Second, ""},
	} {
		h := http.Header{}
		if value != "" {
			h.Set("Prefer", value)
		}
		if wait, applied := preferredWait(h, 30*time.Second); wait != want.wait || applied != want.applied {
			t.Errorf("Prefer: %s → %v %q, want %v %q", value, wait, applied, want.wait, want.applied)
		}
	}
}

func TestBadPrompts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	deep := strings.Repeat(`{"prompt":`, 20_000) + `"x"` + strings.Repeat("}", 20_000)
	for name, tc := range map[string]struct {
		body        string
		status      int
		code, field string
		words       []string
	}{
		"empty":            {`{"prompt":""}`, 400, job.CodePromptEmpty, "prompt", nil},
		"blank":            {`{"prompt":" \n\t "}`, 400, job.CodePromptEmpty, "prompt", nil},
		"missing":          {`{}`, 400, job.CodePromptEmpty, "prompt", nil},
		"null":             {`{"prompt":null}`, 400, job.CodePromptEmpty, "prompt", nil},
		"too long":         {`{"prompt":"` + strings.Repeat("ä", job.MaxPromptChars+1) + `"}`, 400, job.CodePromptTooLong, "prompt", []string{"8001", "8000"}},
		"1 MiB":            {`{"prompt":"` + strings.Repeat("x", 1<<20) + `"}`, 400, job.CodePromptTooLong, "prompt", []string{"1048576 characters"}},
		"3 MiB":            {`{"prompt":"` + strings.Repeat("x", 3<<20) + `"}`, 413, job.CodeTooLarge, "", []string{"2 MiB"}},
		"not UTF-8":        {"{\"prompt\":\"caf\xe9\"}", 400, job.CodeNotUTF8, "", []string{"byte 15", "0xe9"}},
		"unknown field":    {`{"prompt":"x","temperature":1}`, 400, job.CodeUnknownField, "temperature", []string{"prompt, topic"}},
		"other case":       {`{"Prompt":"x"}`, 400, job.CodeUnknownField, "Prompt", nil},
		"twice":            {`{"prompt":"x","prompt":"y"}`, 400, job.CodeBadJSON, "prompt", []string{"twice"}},
		"number":           {`{"prompt":7}`, 400, job.CodeInvalid, "prompt", []string{"must be a string, not number"}},
		"no JSON":          {"hello", 400, job.CodeBadJSON, "", []string{"line 1, character 1"}},
		"broken":           {"{\"prompt\":\"x\",\n  oops}", 400, job.CodeBadJSON, "", []string{"line 2, character 3"}},
		"cut off":          {`{"prompt":"x`, 400, job.CodeBadJSON, "", []string{"ends too early"}},
		"empty body":       {"", 400, job.CodeBadJSON, "", []string{"empty"}},
		"a list":           {`["x"]`, 400, job.CodeBadJSON, "", []string{"object"}},
		"more after it":    {`{"prompt":"x"} {}`, 400, job.CodeBadJSON, "", []string{"follows"}},
		"deep":             {deep, 400, job.CodeBadJSON, "", []string{"depth"}},
		"topic too long":   {`{"prompt":"x","topic":"` + strings.Repeat("t", 129) + `"}`, 400, job.CodeInvalid, "topic", []string{"129"}},
		"topic with lines": {`{"prompt":"x","topic":"a\nb"}`, 400, job.CodeInvalid, "topic", nil},
	} {
		t.Run(name, func(t *testing.T) {
			b.T = t
			b.wantError(b.post("/api/interact", tc.body), tc.status, tc.code, tc.field, tc.words...)
		})
	}
	b.T = t
	long := strings.Repeat("ä", job.MaxPromptChars)
	if a := b.post("/api/interact", `{"prompt":"`+long+`"}`); a.status != http.StatusOK {
		t.Errorf("the longest prompt: %d %s", a.status, a.body)
	}
	if a := b.post("/api/interact", `{"prompt":"`+strings.Repeat(`\u00e4`, job.MaxPromptChars)+`"}`); a.status != http.StatusOK {
		t.Errorf("the longest prompt, escaped: %d %s", a.status, a.body)
	}
}

func TestContentTypes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	body := []byte(`{"prompt":"x"}`)
	for given, words := range map[string][]string{
		"":                                  {"missing", "Content-Type: application/json"},
		"application/x-www-form-urlencoded": {"curl", "-H 'Content-Type: application/json'"},
		"text/plain":                        {"text/plain", "application/json"},
		"application/json; charset=latin1":  {"UTF-8"},
		"nonsense;;;=":                      {"cannot be read"},
	} {
		b.wantError(b.do("POST", "/api/interact", body, "Content-Type", given), 415, job.CodeUnsupportedType, "", words...)
	}
	b.wantError(b.post("/api/interact", "x", "Content-Encoding", "gzip"), 415, job.CodeUnsupportedType, "", "gzip")
	if a := b.do("POST", "/api/interact", body, "Content-Type", "Application/JSON; charset=UTF-8"); a.status != http.StatusOK {
		t.Errorf("with a charset: %d %s", a.status, a.body)
	}
}

func TestNoPromptReachesTheLog(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.post("/api/interact", `{"prompt":"my secret is swordfish"}`, "X-Request-Id", "probe-1")
	b.post("/api/interact", `{"prompt":"swordfish`)
	log := b.logged()
	if strings.Contains(log, "swordfish") {
		t.Errorf("the log tells what was asked:\n%s", log)
	}
	for _, want := range []string{`"request_id":"probe-1"`, `"route":"/api/interact"`, `"status":200`, `"latency_ms":`, `"job":"`} {
		if !strings.Contains(log, want) {
			t.Errorf("the log does not say %s:\n%s", want, log)
		}
	}
}
