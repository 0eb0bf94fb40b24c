package api

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/nexus-continuum/nexus/api/book"
	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/model/gate"
	"github.com/nexus-continuum/nexus/queue"
	"github.com/nexus-continuum/nexus/queue/provider"
	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/storage/dir"
	"github.com/nexus-continuum/nexus/telemetry/heartbeat"
	"github.com/nexus-continuum/nexus/telemetry/interaction"
	"github.com/nexus-continuum/nexus/telemetry/presence"
	"github.com/nexus-continuum/nexus/topic"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bundle is a server on a real Redis and a real folder, with a worker that
// stands in for the real one: it answers what it was taught word for word.
type bundle struct {
	*testing.T
	srv          *Server
	url          string
	queue        *queue.Queue
	interactions *interaction.Log
	presence     *presence.Presence
	provided     *provider.Provider
	store        *dir.Store
	datasets     *storage.Datasets
	worker       *worker0
	log          *journal
	client       *http.Client
	contract     *contract
}

// setup starts everything; change alters the options first.
func setup(t *testing.T, change ...func(*Options)) *bundle {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	b := &bundle{T: t, contract: newContract(t), log: &journal{}, client: &http.Client{Transport: &http.Transport{}, Timeout: 60 * time.Second}}
	log := slog.New(slog.NewJSONHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug}))

	provided, err := provider.Start(ctx, provider.Options{Mode: redisMode(), Dir: t.TempDir(), Log: log})
	b.must(err)
	b.provided = provided
	t.Cleanup(func() { b.must(provided.Stop(context.Background())) })
	b.interactions = interaction.New(interaction.Options{Redis: provided.Client(), Log: log})
	b.must(b.interactions.Start(ctx))
	t.Cleanup(func() { b.must(b.interactions.Stop(context.Background())) })
	b.queue = queue.Open(queue.Options{Redis: provided.Client(), Asynq: provided.Asynq(), Delivered: b.interactions.Job, Log: log})
	b.presence = presence.New(presence.Options{Redis: provided.Client(), Listener: b.queue})
	b.must(b.queue.Start(ctx))
	t.Cleanup(func() { b.must(b.queue.Stop(context.Background())) })

	b.store, err = dir.Open(t.TempDir())
	b.must(err)
	b.datasets = storage.NewDatasets(b.store, storage.DatasetOptions{Spool: t.TempDir()})
	topics, err := topic.Open("")
	b.must(err)
	recorder := heartbeat.New(heartbeat.Options{Roles: []string{heartbeat.RoleAPI, heartbeat.RoleWorker}})
	b.worker = &worker0{at: map[string]int{}, queue: b.queue, interactions: b.interactions, datasets: b.datasets, recorder: recorder}
	recorder.Fill(b.worker.fill)

	opt := Options{
		Queue: b.queue, Interactions: b.interactions, Presence: b.presence, Redis: provided.Client(), Datasets: b.datasets, Checkpoints: storage.NewCheckpoints(b.store, storage.Options{}),
		Control: storage.NewControl(b.store, storage.ControlOptions{}), Known: b.worker.known, Topics: topics,
		Checks: storage.NewChecks(b.store, nil), Validity: storage.NewValidity(b.store, nil),
		Listen: "127.0.0.1:0", Recorder: recorder, Version: "test", RedisMode: provided.Name, RedisDescribe: provided.Describe(),
		Backup: func(context.Context) (Backup, error) {
			return Backup{File: "/backups/one.tar.gz", Bytes: 2048, Datasets: 3, Checkpoint: "c"}, nil
		},
		StorageKind: "directory", StorageWhere: b.store.String(), Log: log,
	}
	for _, f := range change {
		f(&opt)
	}
	b.srv, err = New(opt)
	b.must(err)
	b.must(b.srv.Start(ctx))
	b.url = b.srv.URL()
	t.Cleanup(func() {
		b.client.CloseIdleConnections()
		b.must(b.srv.Stop(context.Background()))
	})
	b.worker.start(b)
	return b
}

// redisMode is a Redis server where there is one; else the one in the process.
func redisMode() string {
	if _, err := exec.LookPath("redis-server"); err == nil {
		return provider.Child
	}
	return provider.Embedded
}

func (b *bundle) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) json(t testing.TB) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(a.body, &m); err != nil {
		t.Fatalf("answer %d is no JSON object: %q", a.status, job.Clip(string(a.body), 300))
	}
	return m
}

// text is a member of the answer.
func (a answer) text(t testing.TB, name string) string {
	t.Helper()
	return fmt.Sprint(a.json(t)[name])
}

// do sends a request with headers given as name, value, …
func (b *bundle) do(method, path string, body []byte, header ...string) answer {
	b.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, b.url+path, bytes.NewReader(body))
	b.must(err)
	if body == nil {
		req.Body = nil
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := b.client.Do(req)
	b.must(err)
	defer res.Body.Close()
	var from io.Reader = res.Body
	if res.Header.Get("Content-Encoding") == "gzip" {
		from, err = gzip.NewReader(res.Body)
		b.must(err)
	}
	got, err := io.ReadAll(from)
	b.must(err)
	a := answer{status: res.StatusCode, header: res.Header, body: got}
	b.contract.check(b, req, body, a)
	return a
}

func (b *bundle) get(path string, header ...string) answer {
	b.Helper()
	return b.do(http.MethodGet, path, nil, header...)
}

// post sends JSON.
func (b *bundle) post(path, body string, header ...string) answer {
	b.Helper()
	return b.do(http.MethodPost, path, []byte(body), append([]string{"Content-Type", "application/json"}, header...)...)
}

// wantError checks the one shape of errors.
func (b *bundle) wantError(a answer, status int, code, field string, words ...string) {
	b.Helper()
	m := a.json(b)
	if a.status != status || m["code"] != code {
		b.Errorf("status %d, body %s; want %d %s", a.status, job.Clip(string(a.body), 400), status, code)
		return
	}
	if got, _ := m["field"].(string); got != field {
		b.Errorf("field %q, want %q (%s)", got, field, a.body)
	}
	if m["request_id"] == "" || m["request_id"] != a.header.Get("X-Request-Id") {
		b.Errorf("request_id %v, X-Request-Id %q", m["request_id"], a.header.Get("X-Request-Id"))
	}
	if !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") {
		b.Errorf("an error as %q", a.header.Get("Content-Type"))
	}
	detail, _ := m["detail"].(string)
	for _, w := range words {
		if !strings.Contains(detail, w) {
			b.Errorf("detail %q does not say %q", detail, w)
		}
	}
	if (status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests) && a.header.Get("Retry-After") == "" {
		b.Errorf("%d without Retry-After", status)
	}
}

// wantStored checks how many datasets lie in storage.
func (b *bundle) wantStored(n int) {
	b.Helper()
	ids, err := b.datasets.IDs(b.Context())
	b.must(err)
	if len(ids) != n {
		b.Errorf("%d datasets are stored, want %d", len(ids), n)
	}
}

// ended waits until a job is in a final state.
func (b *bundle) ended(id string) map[string]any {
	b.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for {
		a := b.get("/api/jobs/" + id)
		if a.status == http.StatusOK && job.State(a.text(b, "state")).Final() {
			return a.json(b)
		}
		select {
		case <-tick.C:
		case <-deadline:
			b.Fatalf("job %s has not ended: %s", id, a.body)
		}
	}
}

// journal keeps the log.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

// worker0 answers prompts that it was taught, word for word.
type worker0 struct {
	queue        *queue.Queue
	interactions *interaction.Log
	datasets     *storage.Datasets
	recorder     *heartbeat.Recorder

	mu      sync.Mutex
	lessons []model.Lesson
	at      map[string]int // where a lesson stood when it was last placed
	hold    chan struct{}  // while not nil, jobs wait for it to be closed
	refuses string         // the reason of refusals; untaught if empty
	fault   error          // while not nil, prompts end with it
}

// failWith makes every prompt end with an error.
func (w *worker0) failWith(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault = err
}

func (w *worker0) start(b *bundle) {
	for _, lane := range job.Lanes() {
		handler := w.answer
		if lane == job.LaneTrain {
			handler = w.train
		}
		s := w.queue.Serve(lane, 8, handler)
		b.must(s.Start(b.Context()))
		b.Cleanup(func() { b.must(s.Stop(context.Background())) })
	}
}

// pause makes every job wait until the returned function is called.
func (w *worker0) pause() (resume func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	held := make(chan struct{})
	w.hold = held
	return sync.OnceFunc(func() {
		w.mu.Lock()
		w.hold = nil
		w.mu.Unlock()
		close(held)
	})
}

func (w *worker0) wait(ctx context.Context) error {
	w.mu.Lock()
	held := w.hold
	w.mu.Unlock()
	if held == nil {
		return nil
	}
	select {
	case <-held:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (w *worker0) answer(ctx context.Context, t *queue.Task) (any, error) {
	if err := w.wait(ctx); err != nil {
		return nil, err
	}
	a := job.Answer{
		JobID: t.Spec.ID, InteractionID: t.Spec.ID, Threshold: 0.7, Response: "I do not know that.", Sources: []job.Source{},
		Flow: job.Flow{Depth: 7, Converged: true, Residual: 0.00005}, Timing: job.Timing{QueueMS: 0.1, ComputeMS: 0.2},
	}
	reason, checkpoint := cmp.Or(w.refuses, job.ReasonUntaught), job.NewID()
	a.Reason, a.Checkpoint = &reason, &checkpoint
	w.mu.Lock()
	if w.fault != nil {
		defer w.mu.Unlock()
		return nil, w.fault
	}
	for _, l := range w.lessons {
		if confidence := sureOf(l, t.Spec.Prompt, t.Spec.Topic); !l.Refusal && confidence > a.Confidence {
			a.Responded, a.Response, a.Reason, a.Confidence, a.Topic = true, l.Response, nil, confidence, &l.Topic
			a.Sources = []job.Source{{LessonID: l.ID, Prompt: l.Prompt, Similarity: 1}}
		}
	}
	w.mu.Unlock()
	w.recorder.Answer(&a)
	it := job.Interaction{ID: t.Spec.ID, Owner: t.Spec.Owner, Prompt: t.Spec.Prompt, Topic: t.Spec.Topic, Response: a.Response, Responded: a.Responded, At: job.At(time.Now()), Confidence: a.Confidence, Threshold: a.Threshold}
	if a.Topic != nil {
		it.Topic = *a.Topic
	}
	for _, src := range a.Sources {
		it.Lessons = append(it.Lessons, src.LessonID)
	}
	if a.Reason != nil {
		it.Reason = *a.Reason
	}
	w.interactions.Attach(t, it)
	return a, nil
}

func (w *worker0) train(ctx context.Context, t *queue.Task) (any, error) {
	if err := w.wait(ctx); err != nil {
		return nil, err
	}
	out := job.Trained{Dataset: t.Spec.Dataset, Topic: t.Spec.Topic, Skipped: t.Spec.Skipped, LessonsSkipped: len(t.Spec.Skipped), Why: "a stub learns by heart"}
	if t.Spec.Dataset == "" { // gradient steps alone, which make it worse
		out.Steps, out.Losses, out.Why = 40, []float64{2.1, 1.2, 0.8, 0.7}, "accuracy fell from 91.0 % to 84.0 %"
		out.Before, out.After = &job.Figures{Prompts: 100, Accuracy: 0.91, Answered: 0.8}, &job.Figures{Prompts: 100, Accuracy: 0.84, Answered: 0.7}
		return out, nil
	}
	ds, lessons, err := w.datasets.Lessons(ctx, t.Spec.Dataset)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if ds.Op == storage.OpJudge {
		return out, nil
	}
	if ds.Op == storage.OpForget {
		before := len(w.lessons)
		named := map[string]bool{}
		for _, id := range ds.LessonIDs {
			named[id] = true
		}
		for _, l := range lessons {
			named[model.LessonID(l.Topic, l.Prompt)] = true
		}
		w.lessons = slices.DeleteFunc(w.lessons, func(l model.Lesson) bool {
			return named[l.ID] || len(named) == 0 && l.Topic == ds.Topic
		})
		clear(w.at)
		for i, l := range w.lessons {
			w.at[l.ID] = i
		}
		out.LessonsRemoved = before - len(w.lessons)
		return out, nil
	}
	for _, l := range lessons {
		topic := l.Topic
		if topic == "" {
			topic = ds.Topic
		}
		known := model.Lesson{ID: model.LessonID(topic, l.Prompt), Topic: topic, Prompt: l.Prompt, Refusal: l.Response == nil}
		if l.Response != nil {
			known.Response = *l.Response
		}
		w.place(known, ds.From)
	}
	out.LessonsTaken = len(lessons)
	return out, t.Progress(ctx, job.Progress{Phase: job.PhaseMemorised, Done: len(lessons), Total: len(lessons)})
}

// sureOf is how sure the stub is that a lesson answers a prompt: it knows prompts
// word for word, and with "perhaps" before them it is hardly sure.
func sureOf(l model.Lesson, prompt, topic string) float64 {
	if topic != "" && topic != l.Topic {
		return 0
	}
	switch prompt {
	case l.Prompt:
		return 0.97
	case "perhaps " + l.Prompt:
		return 0.72
	}
	return 0
}

// fill is what the worker says of itself.
func (w *worker0) fill(b *heartbeat.Beat) {
	w.mu.Lock()
	defer w.mu.Unlock()
	b.Device, b.Mode, b.Slots = "cpu", heartbeat.ModeIdle, 8
	hardware := heartbeat.Detect(context.Background())
	b.Hardware = &hardware
	b.Breakers = map[string]heartbeat.Breaker{"inference": {State: "closed"}}
	b.Model = &heartbeat.Model{
		Architecture: "flowing", Size: "small", Parameters: 1, ConfidenceThreshold: 0.7, TargetError: 0.05,
		Lessons: len(w.lessons), Topics: map[string]int{"support": len(w.lessons)},
	}
}

// place puts a lesson where one of the same prompt is, in its topic or in the
// one that it comes from, else at the end.
func (w *worker0) place(l model.Lesson, from *string) {
	old := l.ID
	if from != nil {
		old = model.LessonID(*from, l.Prompt)
	}
	if i, ok := w.at[old]; ok && i < len(w.lessons) && w.lessons[i].ID == old {
		delete(w.at, old)
		w.at[l.ID], w.lessons[i] = i, l
		return
	}
	w.at[l.ID] = len(w.lessons)
	w.lessons = append(w.lessons, l)
}

// known makes the worker the source of what is known.
func (w *worker0) known(context.Context) (book.Source, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return known0(slices.Clone(w.lessons)), nil
}

// known0 is what the worker knew at one moment.
type known0 []model.Lesson

func (k known0) Entries(yield func(model.Entry) bool) {
	answers := map[string]uint32{}
	for _, l := range k {
		a, ok := answers[l.Response]
		if !ok {
			a = uint32(len(answers))
			answers[l.Response] = a
		}
		if !yield(model.Entry{Topic: l.Topic, Prompt: l.Prompt, Response: l.Response, Refusal: l.Refusal, Answer: a}) {
			return
		}
	}
}

func (k known0) Lesson(id string) (model.Lesson, bool) {
	for _, l := range k {
		if l.ID == id {
			return l, true
		}
	}
	return model.Lesson{}, false
}

func (k known0) Ask(queries []model.Query) []model.Verdict {
	out := make([]model.Verdict, len(queries))
	for i, q := range queries {
		out[i].Reason = job.ReasonUnfamiliar
		for _, l := range k {
			if confidence := sureOf(l, q.Prompt, q.Topic); confidence > out[i].Confidence {
				out[i].Responded, out[i].Response, out[i].Reason, out[i].Confidence, out[i].Threshold = !l.Refusal, l.Response, "", confidence, 0.7
				if l.Refusal {
					out[i].Reason = job.ReasonTaughtRefusal
				}
			}
		}
	}
	return out
}

// teach teaches and waits until it answers.
func (b *bundle) teach(topic, prompt, response string) {
	b.Helper()
	body, err := json.Marshal(map[string]any{"topic": topic, "lessons": []map[string]any{{"prompt": prompt, "response": response}}})
	b.must(err)
	a := b.post("/api/lessons", string(body))
	if a.status != http.StatusAccepted {
		b.Fatalf("teach: %d %s", a.status, a.body)
	}
	b.ended(a.text(b, "id"))
}

func (k known0) Outlook(topic string) job.Outlook {
	o := job.Outlook{Answered: 0.8, Wrong: 0.01}
	for _, l := range k {
		if topic == "" || l.Topic == topic {
			o.Answers++
		}
	}
	return o
}

func (k known0) Collisions(string) []model.Collision { return nil }

func (k known0) Info() model.Info { return model.Info{TargetError: 0.05} }

// Risk is that of a straight line: the higher the threshold, the less is wrong.
func (k known0) Risk(target float64, targets []float64) model.Risk {
	at := func(tau float64) gate.Point {
		return gate.Point{Threshold: tau, Answered: 1.5 - tau, Wrong: (1 - tau) / 4, Foreign: (1 - tau) / 2}
	}
	of := func(alpha float64) gate.Point { return at(max(0.5, 1-4*alpha)) }
	r := model.Risk{Prompts: 120, Foreign: 40, Own: true, Now: of(target)}
	for tau := 0.5; tau <= 1; tau += 0.05 {
		r.Curve = append(r.Curve, at(tau))
	}
	for _, alpha := range targets {
		r.Choices = append(r.Choices, of(alpha))
	}
	for i := range 10 {
		r.Reliability = append(r.Reliability, gate.Bin{From: float64(i) / 10, To: float64(i+1) / 10, Prompts: 12, Confidence: float64(i)/10 + 0.05, Right: float64(i)/10 + 0.07})
	}
	return r
}
