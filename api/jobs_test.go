package api

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/storage"
)

func TestSubmitListCancel(t *testing.T) {
	t.Parallel()
	b := setup(t)
	resume := b.worker.pause()
	defer resume()
	a := b.post("/api/jobs", `{"kind":"interact","prompt":"hello","timeout_ms":60000,"webhook":"https://example.com/hook","webhook_events":["result"]}`)
	if a.status != http.StatusAccepted || a.header.Get("Location") != "/api/jobs/"+a.text(t, "id") {
		t.Fatalf("%d %s", a.status, a.body)
	}
	train := b.post("/api/jobs", `{"kind":"train","topic":"general_knowledge"}`)
	if train.status != http.StatusAccepted {
		t.Fatalf("%d %s", train.status, train.body)
	}
	var page struct{ Jobs []job.Job }
	b.must(json.Unmarshal(b.get("/api/jobs").body, &page))
	if len(page.Jobs) != 2 || page.Jobs[0].Kind != job.KindTrain {
		t.Errorf("listed %+v, want the train job first", page.Jobs)
	}
	b.must(json.Unmarshal(b.get("/api/jobs?kind=interact&limit=1").body, &page))
	if len(page.Jobs) != 1 || page.Jobs[0].ID != a.text(t, "id") {
		t.Errorf("listed %+v", page.Jobs)
	}
	if d := b.do("DELETE", "/api/jobs/"+a.text(t, "id"), nil); d.status != http.StatusOK {
		t.Errorf("cancel: %d %s", d.status, d.body)
	}
	if j := b.ended(a.text(t, "id")); j["state"] != "canceled" {
		t.Errorf("%v", j)
	}
	b.wantError(b.do("DELETE", "/api/jobs/"+a.text(t, "id"), nil), 409, job.CodeJobEnded, "")
	resume()
	result, _ := b.ended(train.text(t, "id"))["result"].(map[string]any)
	if n, _ := result["lessons_taken"].(float64); n < 400 {
		t.Errorf("the pack gave %v", result)
	}
}

func TestBadJobs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for body, want := range map[string]struct{ code, field string }{
		`{}`:                                                   {job.CodeInvalid, "kind"},
		`{"kind":"dream"}`:                                     {job.CodeInvalid, "kind"},
		`{"kind":"interact"}`:                                  {job.CodePromptEmpty, "prompt"},
		`{"kind":"train","prompt":"x"}`:                        {job.CodeInvalid, "prompt"},
		`{"kind":"train","topic":"alchemy"}`:                   {job.CodeUnknownTopic, "topic"},
		`{"kind":"train","timeout_ms":0}`:                      {job.CodeInvalid, "timeout_ms"},
		`{"kind":"train","timeout_ms":1.5}`:                    {job.CodeInvalid, "timeout_ms"},
		`{"kind":"train","timeout_ms":1e300}`:                  {job.CodeInvalid, "timeout_ms"},
		`{"kind":"train","webhook":"http://example.com"}`:      {job.CodeInvalid, "webhook"},
		`{"kind":"train","webhook":"https://u:p@example.com"}`: {job.CodeInvalid, "webhook"},
		`{"kind":"train","webhook_events":["state"]}`:          {job.CodeInvalid, "webhook_events"},
		`{"kind":"train","webhook":"https://example.com","webhook_events":["birthday"]}`: {job.CodeInvalid, "webhook_events"},
		`{"kind":"train","priority":9}`: {job.CodeUnknownField, "priority"},
	} {
		b.wantError(b.post("/api/jobs", body), 400, want.code, want.field)
	}
	for _, path := range []string{"/api/jobs?state=done", "/api/jobs?kind=x", "/api/jobs?limit=501", "/api/jobs?limit=x"} {
		if a := b.get(path); a.status != http.StatusBadRequest {
			t.Errorf("%s: %d", path, a.status)
		}
	}
	for _, id := range []string{"nonsense", job.NewID(), "01890000-0000-7000-8000-000000000000"} {
		b.wantError(b.get("/api/jobs/"+id), 404, job.CodeNotFound, "")
		b.wantError(b.do("DELETE", "/api/jobs/"+id, nil), 404, job.CodeNotFound, "")
		b.wantError(b.get("/api/jobs/"+id+"/events"), 404, job.CodeNotFound, "")
	}
}

// stream reads events until the stream ends or n have come; 0 is all.
func (b *bundle) stream(id, last string, n int) (types, ids []string) {
	b.Helper()
	req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, b.url+"/api/jobs/"+id+"/events", nil)
	b.must(err)
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	req.Header.Set("Accept-Encoding", "gzip") // must not be heeded
	res, err := b.client.Do(req)
	b.must(err)
	defer res.Body.Close()
	if ct := res.Header.Get("Content-Type"); res.StatusCode != http.StatusOK || !strings.HasPrefix(ct, "text/event-stream") || res.Header.Get("Content-Encoding") != "" {
		b.Fatalf("%d %v", res.StatusCode, res.Header)
	}
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		if v, ok := strings.CutPrefix(lines.Text(), "id: "); ok {
			ids = append(ids, v)
		}
		if v, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			types = append(types, v)
		}
		if v, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			if !json.Valid([]byte(v)) {
				b.Errorf("data %q", v)
			}
			if n > 0 && len(types) == n {
				break
			}
		}
	}
	return types, ids
}

func TestFollowAJob(t *testing.T) {
	t.Parallel()
	b := setup(t)
	resume := b.worker.pause()
	defer resume()
	id := b.post("/api/lessons", `{"lessons":[{"prompt":"p","response":"r"}]}`).text(t, "id")
	first, seen := b.stream(id, "", 1)
	if len(first) != 1 || first[0] != "state" {
		t.Fatalf("events %v", first)
	}
	resume()
	all, ids := b.stream(id, "", 0)
	if len(all) < 3 || all[len(all)-1] != "result" || !slices.Contains(all, "progress") {
		t.Errorf("events %v", all)
	}
	rest, _ := b.stream(id, seen[0], 0)
	if len(rest) != len(all)-1 || !slices.Equal(rest, all[1:]) {
		t.Errorf("after %s: %v, want %v", seen[0], rest, all[1:])
	}
	if none, _ := b.stream(id, ids[len(ids)-1], 0); len(none) != 0 {
		t.Errorf("after the last: %v", none)
	}
	if a := b.get("/api/jobs/"+id+"/events", "Last-Event-ID", "tomorrow"); a.status != http.StatusBadRequest {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestIdempotencyKeys(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const n = 50
	ids := make([]string, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			ids[i] = b.post("/api/jobs", `{"kind":"interact","prompt":"once"}`, "Idempotency-Key", "k1").text(b, "id")
		})
	}
	wg.Wait()
	slices.Sort(ids)
	if got := slices.Compact(ids); len(got) != 1 {
		t.Errorf("%d posts with one key made the jobs %v", n, got)
	}
	b.wantError(b.post("/api/jobs", `{"kind":"interact","prompt":"twice"}`, "Idempotency-Key", "k1"), 422, job.CodeIdempotencyReuse, "Idempotency-Key")
	again := b.post("/api/jobs", `{"kind":"interact","prompt":"once"}`, "Idempotency-Key", "k1")
	if again.status != http.StatusAccepted || again.header.Get("Idempotency-Replayed") != "true" || again.header.Get("Location") == "" {
		t.Errorf("%d %v", again.status, again.header)
	}

	upload := func() answer {
		return b.do("POST", "/api/lessons", []byte(`{"prompt":"p","response":"r"}`), "Content-Type", "application/x-ndjson", "Idempotency-Key", "k2")
	}
	if one, two := upload().text(t, "id"), upload().text(t, "id"); one != two {
		t.Errorf("an upload and its repeat made the jobs %s and %s", one, two)
	}
	b.wantStored(1)

	one, two := b.post("/api/interact", `{"prompt":"x"}`, "Idempotency-Key", "k3"), b.post("/api/interact", `{"prompt":"x"}`, "Idempotency-Key", "k3")
	if one.status != http.StatusOK || string(one.body) != string(two.body) {
		t.Errorf("%s then %s", one.body, two.body)
	}
	// What failed is not kept: the key may be used for the request done right.
	b.wantError(b.post("/api/interact", `{"prompt":""}`, "Idempotency-Key", "k4"), 400, job.CodePromptEmpty, "prompt")
	if a := b.post("/api/interact", `{"prompt":"y"}`, "Idempotency-Key", "k4"); a.status != http.StatusOK {
		t.Errorf("%d %s", a.status, a.body)
	}
	b.wantError(b.post("/api/interact", `{"prompt":"x"}`, "Idempotency-Key", strings.Repeat("k", 300)), 400, job.CodeInvalid, "Idempotency-Key")
}

func TestFeedback(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.post("/api/interact", `{"prompt":"When do you open?"}`).text(t, "interaction_id")
	path := "/api/interactions/" + id + "/feedback"
	if a := b.post(path, `{"correct":true}`); a.status != http.StatusOK || a.text(t, "interaction_id") != id {
		t.Errorf("%d %s", a.status, a.body)
	} else if a.json(t)["recalibrates"] != true {
		t.Errorf("a judgement does not count: %s", a.body)
	}
	b.wantJudged(id, storage.Lesson{Prompt: "When do you open?", Judgement: &storage.Judgement{Interaction: id, Correct: true, Reason: job.ReasonUntaught}})
	b.wantError(b.post(path, `{}`), 400, job.CodeInvalid, "correct")
	b.wantError(b.post(path, `{"correct":true,"response":"x"}`), 400, job.CodeInvalid, "response")
	b.wantError(b.post(path, `{"correct":false,"response":" "}`), 400, job.CodeInvalid, "response")
	a := b.post(path, `{"correct":false,"response":"At nine."}`)
	if a.status != http.StatusAccepted {
		t.Fatalf("%d %s", a.status, a.body)
	}
	b.ended(strings.TrimPrefix(a.header.Get("Location"), "/api/jobs/"))
	if a := b.post("/api/interact", `{"prompt":"When do you open?"}`); a.text(t, "response") != "At nine." {
		t.Errorf("after the correction: %s", a.body)
	}
	right := "At nine."
	b.wantJudged(id, storage.Lesson{Prompt: "When do you open?", Judgement: &storage.Judgement{Interaction: id, Right: &right, Reason: job.ReasonUntaught}})
	b.wantStored(3) // two judgements and a lesson; what was turned away left nothing
	b.wantError(b.post("/api/interactions/01890000-0000-7000-8000-000000000000/feedback", `{"correct":true}`), 404, job.CodeNotFound, "")
}

// wantJudged checks that the youngest dataset is that judgement, and that its
// job was done.
func (b *bundle) wantJudged(interaction string, want storage.Lesson) {
	b.Helper()
	ids, err := b.datasets.IDs(b.Context())
	b.must(err)
	id := ids[len(ids)-1]
	ds, got, err := b.datasets.Lessons(b.Context(), id)
	b.must(err)
	if ds.Op != storage.OpJudge || len(got) != 1 || !reflect.DeepEqual(got[0], want) {
		b.Errorf("%s dataset of %+v after feedback on %s; want %+v", ds.Op, got, interaction, want)
	}
	if j := b.ended(id); j["state"] != string(job.StateSucceeded) {
		b.Errorf("the judgement's job: %v", j)
	}
}

// A prompt whose text was not kept cannot be looked at again.
// An id of the far future is unknown at once: nothing that was asked is on its way
// to the log.
func TestFeedbackOnAnIDOfTheFuture(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.wantError(b.post("/api/interactions/3b541be64bdf7031c6cb7074b45374f7/feedback", `{"correct":false}`), 404, job.CodeNotFound, "")
}

func TestFeedbackOnAPromptThatWasNotKept(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := job.NewID()
	b.must(b.interactions.Append(t.Context(), []job.Interaction{{ID: id, Responded: true, Confidence: 0.9, At: job.At(time.Now())}}))
	path := "/api/interactions/" + id + "/feedback"
	if a := b.post(path, `{"correct":true}`); a.status != http.StatusOK || a.json(t)["recalibrates"] != false {
		t.Errorf("%d %s", a.status, a.body)
	}
	b.wantError(b.post(path, `{"correct":false,"response":"x"}`), 409, job.CodeConflict, "")
	b.wantStored(0)
}

func TestRefusalsAreGrouped(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, p := range []string{"where is the cat", "Where is the cat?", "where is the cat!", "how old is the moon"} {
		b.post("/api/interact", fmt.Sprintf(`{"prompt":%q}`, p))
	}
	var page struct {
		Refusals []struct {
			Prompt string
			Count  int
		}
	}
	b.must(json.Unmarshal(b.get("/api/refusals").body, &page))
	if len(page.Refusals) != 2 || page.Refusals[0].Count != 3 {
		t.Errorf("%+v", page.Refusals)
	}
	b.wantError(b.get("/api/refusals?cursor=x"), 400, job.CodeInvalid, "cursor")
}

func TestACanceledCallerDropsItsJob(t *testing.T) {
	t.Parallel()
	b := setup(t)
	resume := b.worker.pause()
	defer resume()
	began := time.Now()
	client := &http.Client{Transport: &http.Transport{}, Timeout: 300 * time.Millisecond}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url+"/api/interact", strings.NewReader(`{"prompt":"never mind"}`))
	b.must(err)
	req.Header.Set("Content-Type", "application/json")
	if res, err := client.Do(req); err == nil {
		res.Body.Close()
		t.Fatal("answered while the worker was held")
	}
	resume()
	if m := b.get("/api/status").json(t); m["metrics"].(map[string]any)["requests"].(map[string]any)["failed"] != 0.0 {
		t.Errorf("a caller that went away counts as our failure (%v)", time.Since(began))
	}
}
