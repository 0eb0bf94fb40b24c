package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/api/book"
	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/storage"
)

const lesson = `{"prompt":"p%d","response":"r%d"}`

// faultsOf reads the faults of a 422.
func faultsOf(t *testing.T, a answer) []job.Fault {
	t.Helper()
	var body struct{ Faults []job.Fault }
	if err := json.Unmarshal(a.body, &body); err != nil {
		t.Fatalf("%s: %v", a.body, err)
	}
	return body.Faults
}

func TestTeachInEveryForm(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for name, tc := range map[string]struct {
		kind, path, body string
		taken            float64
	}{
		"JSON":             {"application/json", "/api/lessons", `{"topic":"a","lessons":[{"prompt":"p1","response":"r1"},{"prompt":"p2","response":null,"topic":"b"}]}`, 2},
		"JSON, topic last": {"application/json", "/api/lessons", `{"lessons":[{"prompt":"p1","response":"r1"}],"topic":"a"}`, 1},
		"NDJSON":           {"application/x-ndjson", "/api/lessons?topic=a", "\ufeff" + `{"prompt":"p1","response":"r1"}` + "\r\n" + `{"prompt":"p2","response":"r2"}` + "\n\n\n", 2},
		"CSV":              {"text/csv", "/api/lessons", "\ufeffprompt,response,topic\np1,\"r1, and\nmore\",a\np2,r2,\n", 2},
		"CSV, two columns": {"text/csv; charset=utf-8", "/api/lessons?topic=a", "response,prompt\r\nr1,p1\r\n", 1},
	} {
		t.Run(name, func(t *testing.T) {
			b.T = t
			a := b.do("POST", tc.path, []byte(tc.body), "Content-Type", tc.kind)
			if a.status != http.StatusAccepted || a.header.Get("Location") != "/api/jobs/"+a.text(t, "id") || a.text(t, "kind") != "train" {
				t.Fatalf("%d %s", a.status, a.body)
			}
			j := b.ended(a.text(t, "id"))
			if got := j["result"].(map[string]any)["lessons_taken"]; got != tc.taken {
				t.Errorf("%v lessons taken, want %v", got, tc.taken)
			}
		})
	}
	b.T = t
	if a := b.post("/api/interact", `{"prompt":"p1","topic":"a"}`); a.text(t, "responded") != "true" {
		t.Errorf("p1: %s", a.body)
	}
}

func TestOneBrokenLineRefusesTheUpload(t *testing.T) {
	t.Parallel()
	b := setup(t)
	body := strings.Join([]string{
		fmt.Sprintf(lesson, 1, 1), fmt.Sprintf(lesson, 2, 2), `{"prompt":"p3", broken`, fmt.Sprintf(lesson, 4, 4), fmt.Sprintf(lesson, 5, 5),
	}, "\n")
	a := b.do("POST", "/api/lessons", []byte(body), "Content-Type", "application/x-ndjson")
	b.wantError(a, 422, job.CodeBadLesson, "", "1 of 5", "line 3", "on_error=skip")
	faults := faultsOf(t, a)
	if len(faults) != 1 || faults[0].Line != 3 || faults[0].Code != job.CodeBadJSON {
		t.Errorf("faults %+v", faults)
	}
	b.wantStored(0)

	a = b.do("POST", "/api/lessons?on_error=skip", []byte(body), "Content-Type", "application/x-ndjson")
	if a.status != http.StatusAccepted {
		t.Fatalf("skip: %d %s", a.status, a.body)
	}
	result := b.ended(a.text(t, "id"))["result"].(map[string]any)
	skipped, _ := result["skipped"].([]any)
	if result["lessons_taken"] != 4.0 || len(skipped) != 1 || skipped[0].(map[string]any)["line"] != 3.0 {
		t.Errorf("skip: %v", result)
	}
}

func TestFaultyLessons(t *testing.T) {
	t.Parallel()
	b := setup(t)
	long := strings.Repeat("x", job.MaxPromptChars+1)
	for name, tc := range map[string]struct {
		line, code string
	}{
		"empty prompt":      {`{"prompt":" ","response":"r"}`, job.CodePromptEmpty},
		"no prompt":         {`{"response":"r"}`, job.CodePromptEmpty},
		"no response":       {`{"prompt":"p"}`, job.CodeBadLesson},
		"empty response":    {`{"prompt":"p","response":""}`, job.CodeBadLesson},
		"prompt too long":   {`{"prompt":"` + long + `","response":"r"}`, job.CodePromptTooLong},
		"response too long": {`{"prompt":"p","response":"` + strings.Repeat("x", job.MaxResponseChars+1) + `"}`, job.CodeResponseTooLong},
		"line too long":     {`{"prompt":"p","response":"` + strings.Repeat("x", maxLine) + `"}`, job.CodeTooLarge},
		"not UTF-8":         {"{\"prompt\":\"\xff\",\"response\":\"r\"}", job.CodeNotUTF8},
		"unknown field":     {`{"prompt":"p","response":"r","answer":"x"}`, job.CodeUnknownField},
		"a number":          {`{"prompt":1,"response":"r"}`, job.CodeBadLesson},
		"a list":            {`["p","r"]`, job.CodeBadJSON},
		"a bad topic":       {`{"prompt":"p","response":"r","topic":" t"}`, job.CodeBadLesson},
	} {
		t.Run(name, func(t *testing.T) {
			b.T = t
			body := fmt.Sprintf(lesson, 1, 1) + "\n" + tc.line + "\n" + fmt.Sprintf(lesson, 3, 3)
			a := b.do("POST", "/api/lessons", []byte(body), "Content-Type", "application/x-ndjson")
			b.wantError(a, 422, job.CodeBadLesson, "", "1 of 3", "line 2")
			if f := faultsOf(t, a); len(f) != 1 || f[0].Line != 2 || f[0].Code != tc.code || f[0].Detail == "" {
				t.Errorf("faults %+v, want line 2 with %s", f, tc.code)
			}
		})
	}
	b.T = t
	b.wantStored(0)
}

func TestFaultyCSV(t *testing.T) {
	t.Parallel()
	b := setup(t)
	send := func(body string) answer {
		return b.do("POST", "/api/lessons", []byte(body), "Content-Type", "text/csv")
	}
	for name, tc := range map[string]struct {
		body  string
		lines []int
	}{
		"columns":          {"prompt,response\np,r\np,r,x\n", []int{3}},
		"bare quote":       {"prompt,response\np\"x,r\np,r\n", []int{2}},
		"empty response":   {"prompt,response\np,\n", []int{2}},
		"not UTF-8":        {"prompt,response\np,r\n\xe9,r\n", []int{3}},
		"after a long one": {"prompt,response\np,\"a\nb\"\n,r\n", []int{4}},
		"open quote":       {"prompt,response\np,r\np,\"" + strings.Repeat("x\n", 3<<20), []int{3}},
	} {
		t.Run(name, func(t *testing.T) {
			b.T = t
			a := send(tc.body)
			b.wantError(a, 422, job.CodeBadLesson, "")
			var lines []int
			for _, f := range faultsOf(t, a) {
				lines = append(lines, f.Line)
			}
			if fmt.Sprint(lines) != fmt.Sprint(tc.lines) {
				t.Errorf("faults on lines %v, want %v: %s", lines, tc.lines, job.Clip(string(a.body), 400))
			}
		})
	}
	b.T = t
	for _, body := range []string{"", "frobnicate,answer\np,r\n", "prompt\np\n", "prompt,prompt,response\np,p,r\n"} {
		b.wantError(send(body), 400, job.CodeInvalid, "", "prompt,response")
	}
	b.wantError(send("prompt,response\n"), 400, job.CodeInvalid, "lessons", "no lesson")
	b.wantStored(0)
}

func TestUploadsAsAWhole(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.wantError(b.post("/api/lessons", `{"topic":"a"}`), 400, job.CodeInvalid, "lessons")
	b.wantError(b.post("/api/lessons", `{"lessons":[]}`), 400, job.CodeInvalid, "lessons", "no lesson")
	b.wantError(b.post("/api/lessons", `{"lessons":[],"extra":1}`), 400, job.CodeUnknownField, "extra")
	b.wantError(b.post("/api/lessons?on_error=ignore", `{}`), 400, job.CodeInvalid, "on_error", "skip")
	b.wantError(b.do("POST", "/api/lessons", []byte("x"), "Content-Type", "application/x-www-form-urlencoded"), 415, job.CodeUnsupportedType, "", "curl")
	b.wantError(b.do("POST", "/api/lessons", []byte(`{"prompt":" "}`), "Content-Type", "application/x-ndjson"), 422, job.CodeBadLesson, "")
	b.wantError(b.do("POST", "/api/lessons?on_error=skip", []byte(`{"prompt":" "}`), "Content-Type", "application/x-ndjson"), 422, job.CodeBadLesson, "")
	b.wantError(b.post("/api/lessons", `{"lessons":[`+strings.Repeat(" ", maxLessonJSON)+`]}`), 413, job.CodeTooLarge, "", "16 MiB", "ndjson", "256 MiB")

	// Faults are listed up to 100, and counted all.
	a := b.do("POST", "/api/lessons", bytes.Repeat([]byte("{}\n"), 150), "Content-Type", "application/x-ndjson")
	b.wantError(a, 422, job.CodeBadLesson, "", "150 of 150")
	if n := len(faultsOf(t, a)); n != 100 {
		t.Errorf("%d faults listed, want 100", n)
	}
	b.wantStored(0)
}

func TestALargeUploadIsStreamed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const lessons = 60_000
	read, write := io.Pipe()
	go func() {
		var err error
		for i := range lessons {
			if err == nil {
				_, err = fmt.Fprintf(write, `{"prompt":"question number %d of many","response":"%s"}`+"\n", i, strings.Repeat("answer ", 40))
			}
		}
		write.CloseWithError(err)
	}()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url+"/api/lessons?topic=many", read)
	b.must(err)
	req.Header.Set("Content-Type", "application/x-ndjson")
	res, err := b.client.Do(req)
	b.must(err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	b.must(err)
	var j job.Job
	b.must(json.Unmarshal(body, &j))
	if res.StatusCode != http.StatusAccepted {
		t.Fatalf("%d %s", res.StatusCode, body)
	}
	if got := b.ended(j.ID)["result"].(map[string]any)["lessons_taken"]; got != float64(lessons) {
		t.Errorf("%v lessons taken", got)
	}
}

// The key of an upload is looked at before its body: one that cannot be right is
// refused at once, and a repeat waits for the first instead of being read beside it.
func TestTheKeyOfAnUploadIsLookedAtBeforeItsBody(t *testing.T) {
	t.Parallel()
	b := setup(t)
	// A client that sends its body only when the server asks for it.
	client := &http.Client{Transport: &http.Transport{ExpectContinueTimeout: time.Minute}}
	t.Cleanup(client.CloseIdleConnections)
	begin := func(key string, body io.Reader) (asked chan struct{}, done chan answer) {
		asked, done = make(chan struct{}), make(chan answer, 1)
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got100Continue: func() { close(asked) }})
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.url+"/api/lessons", body)
		b.must(err)
		req.Header.Set("Content-Type", "application/x-ndjson")
		req.Header.Set("Expect", "100-continue")
		req.Header.Set("Idempotency-Key", key)
		go func() {
			res, err := client.Do(req)
			if err != nil {
				t.Error(err)
				close(done)
				return
			}
			defer res.Body.Close()
			text, _ := io.ReadAll(res.Body)
			done <- answer{res.StatusCode, res.Header, text}
		}()
		return asked, done
	}
	never, _ := io.Pipe()
	_, wrong := begin(strings.Repeat("k", 300), never)
	b.wantError(<-wrong, 400, job.CodeInvalid, "Idempotency-Key")

	body, send := io.Pipe()
	asked, first := begin("k", body)
	<-asked // the key is claimed
	_, same := begin("k", strings.NewReader(`{"prompt":"a","response":"1"}`+"\n"))
	_, other := begin("k", strings.NewReader(`{"prompt":"b","response":"2"}`+"\n"))
	_, err := io.WriteString(send, `{"prompt":"a","response":"1"}`+"\n")
	b.must(err)
	b.must(send.Close())
	one, two := <-first, <-same
	if one.status != http.StatusAccepted || two.status != http.StatusAccepted || one.text(t, "id") != two.text(t, "id") || two.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("the first got %d %s, its repeat %d %s", one.status, one.body, two.status, two.body)
	}
	b.wantError(<-other, 422, job.CodeIdempotencyReuse, "Idempotency-Key")
	b.wantStored(1)
}

func TestAnUploadThatBreaksOffLeavesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	read, write := io.Pipe()
	go func() {
		fmt.Fprintf(write, lesson+"\n", 1, 1)
		write.CloseWithError(errors.New("the client died"))
	}()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url+"/api/lessons", read)
	b.must(err)
	req.Header.Set("Content-Type", "application/x-ndjson")
	if res, err := b.client.Do(req); err == nil {
		res.Body.Close()
		t.Errorf("status %d, want a broken connection", res.StatusCode)
	}
	b.wantStored(0)
}

func TestListAndForget(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i := range 5 {
		b.teach("support", fmt.Sprintf("p%d", i), "r")
	}
	b.teach("billing", "invoice?", "r")
	var ids []string
	cursor := ""
	for {
		var page struct {
			Lessons []book.Lesson
			Next    *string `json:"next_cursor"`
		}
		b.must(json.Unmarshal(b.get("/api/lessons?topic=support&limit=2&cursor="+cursor).body, &page))
		for _, l := range page.Lessons {
			ids = append(ids, l.ID)
		}
		if page.Next == nil {
			break
		}
		cursor = *page.Next
	}
	if len(ids) != 5 {
		t.Fatalf("listed %v", ids)
	}
	b.wantError(b.get("/api/lessons?limit=0"), 400, job.CodeInvalid, "limit", "1 to 500")

	a := b.do("DELETE", "/api/lessons/"+ids[0], nil)
	if a.status != http.StatusAccepted || b.ended(a.text(t, "id"))["result"].(map[string]any)["lessons_removed"] != 1.0 {
		t.Errorf("forget one: %d %s", a.status, a.body)
	}
	b.wantError(b.do("DELETE", "/api/lessons/"+ids[0], nil), 404, job.CodeNotFound, "")
	b.wantError(b.do("DELETE", "/api/lessons", nil), 400, job.CodeInvalid, "topic")
	b.wantError(b.do("DELETE", "/api/lessons?topic=sport", nil), 404, job.CodeNotFound, "topic", "sport")

	a = b.do("DELETE", "/api/lessons?topic=support", nil)
	if a.status != http.StatusAccepted || b.ended(a.text(t, "id"))["result"].(map[string]any)["lessons_removed"] != 4.0 {
		t.Errorf("forget a topic: %d %s", a.status, a.body)
	}
	if rest := b.get("/api/lessons"); strings.Count(string(rest.body), `"id"`) != 1 {
		t.Errorf("left: %s", rest.body)
	}
}

func FuzzDecodeLesson(f *testing.F) {
	for _, s := range []string{
		`{"prompt":"p","response":"r"}`, `{"prompt":"p","response":null,"topic":"t"}`, `{}`, `[]`, `{"prompt":`, "{\"prompt\":\"\xff\"}",
		`{"prompt":"p","prompt":"q","response":"r"}`, `{"prompt":"\ud800","response":"r"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		l, err := decodeLesson(line, "")
		if err != nil {
			if e := job.AsError(err); e.Code == job.CodeInternal {
				t.Errorf("%q is answered as a fault of ours: %v", line, err)
			}
			return
		}
		if again, err := json.Marshal(storage.Lesson{Prompt: l.Prompt, Response: l.Response, Topic: l.Topic}); err != nil {
			t.Errorf("%q was taken but cannot be stored: %v", line, err)
		} else if back, err := decodeLesson(again, ""); err != nil || back.Prompt != l.Prompt {
			t.Errorf("%q was taken, but not as it is stored (%s): %v", line, again, err)
		}
	})
}

func TestLessonsAnswerWhenTheCallReturns(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a := b.post("/api/lessons", `{"topic":"a","lessons":[{"prompt":"p1","response":"r1"}]}`, "Prefer", "wait=60")
	if a.status != http.StatusAccepted || a.header.Get("Preference-Applied") != "wait=60" {
		t.Fatalf("%d %v %s", a.status, a.header, a.body)
	}
	if phase := a.json(t)["progress"].(map[string]any)["phase"]; phase != job.PhaseMemorised {
		t.Errorf("the job came back in phase %q: %s", phase, a.body)
	}
	if a := b.post("/api/interact", `{"prompt":"p1"}`); a.text(t, "response") != "r1" {
		t.Errorf("asked at once: %s", a.body)
	}

	resume := b.worker.pause()
	defer resume()
	for _, prefer := range []string{"respond-async", "wait=0", ""} { // the last one waits for the courtesy's time
		a := b.post("/api/lessons", `{"topic":"a","lessons":[{"prompt":"p2","response":"r2"}]}`, "Prefer", prefer)
		if state := a.text(t, "state"); a.status != http.StatusAccepted || job.State(state).Final() {
			t.Errorf("Prefer: %s while the worker rests: %d %s", prefer, a.status, a.body)
		}
	}
}
