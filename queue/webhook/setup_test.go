package webhook

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"testing"
	"time"

	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"go.uber.org/goleak"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/queue"
	"github.com/nexus-continuum/nexus/queue/outbox"
	"github.com/nexus-continuum/nexus/queue/provider"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" // of the standard's examples

// bundle is a Redis, a queue on it and a deliverer that retries at once.
type bundle struct {
	*testing.T
	ctx    context.Context
	q      *queue.Queue
	outbox *outbox.Outbox
}

func setup(t *testing.T, change ...func(*Options)) *bundle {
	t.Helper()
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	b := &bundle{T: t, ctx: ctx}
	name := provider.Embedded
	if _, err := exec.LookPath("redis-server"); err == nil {
		name = provider.Child
	}
	r, err := provider.Start(ctx, provider.Options{Mode: name, Dir: t.TempDir(), Timeout: 20 * time.Second})
	b.must(err)
	t.Cleanup(func() { b.must(r.Stop(context.Background())) })
	b.q = queue.Open(queue.Options{Redis: r.Client(), Asynq: r.Asynq(), Timeout: 20 * time.Second})
	b.must(b.q.Start(ctx))
	t.Cleanup(func() { b.must(b.q.Stop(context.Background())) })
	b.outbox = outbox.New(outbox.Options{Redis: r.Client(), Queue: b.q, Timeout: 20 * time.Second})
	opt := Options{
		Outbox: b.outbox, Secret: secret, Guard: Guard{AllowPrivate: true}, Timeout: 10 * time.Second,
		Rest: func(failures int) (time.Duration, bool) { return 0, failures < 5 },
	}
	for _, f := range change {
		f(&opt)
	}
	d, err := New(opt)
	b.must(err)
	b.must(d.Start(ctx))
	t.Cleanup(func() {
		b.must(d.Stop(context.Background()))
		b.must(d.Stop(context.Background()))
	})
	return b
}

func (b *bundle) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// train runs one job like the trainer does and returns it when it has ended.
func (b *bundle) train(url string, events ...string) job.Job {
	b.Helper()
	s := b.q.Serve(job.LaneTrain, 1, func(ctx context.Context, t *queue.Task) (any, error) {
		for _, phase := range []string{job.PhaseMemorising, job.PhaseMemorised, job.PhaseConsolidating} {
			if err := t.Progress(ctx, job.Progress{Phase: phase, Done: 1, Total: 2}); err != nil {
				return nil, err
			}
		}
		return job.Trained{Steps: 7}, nil
	})
	b.must(s.Start(b.ctx))
	b.Cleanup(func() { b.must(s.Stop(context.Background())) })
	j, err := b.q.Submit(b.ctx, job.Spec{Kind: job.KindTrain, Webhook: url, WebhookEvents: events})
	b.must(err)
	happens, err := b.q.Follow(b.ctx, j.ID, "")
	b.must(err)
	for e := range happens {
		if e.Type == queue.EventResult {
			b.must(json.Unmarshal(e.Data, &j))
		}
	}
	return j
}

// call is a request that a receiver got.
type call struct {
	header http.Header
	raw    []byte
	body   Body
	at     time.Time
}

func (c call) id() string { return c.header.Get("webhook-id") }

// receiver is a server that passes on what it gets and answers as told.
func (b *bundle) receiver(answer func(n int, w http.ResponseWriter)) (url string, calls <-chan call) {
	b.Helper()
	got := make(chan call, 1000)
	n := 0 // calls come one after the other, for they are of one job
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := call{header: r.Header, at: time.Now()}
		c.raw, _ = io.ReadAll(r.Body)
		if err := json.Unmarshal(c.raw, &c.body); err != nil {
			b.Errorf("body %q: %v", c.raw, err)
		}
		got <- c
		n++
		answer(n, w)
	}))
	b.Cleanup(srv.Close)
	return srv.URL + "/hook?token=1", got
}

// next waits for a call and holds its signature against the standard's own library.
func (b *bundle) next(calls <-chan call) call {
	b.Helper()
	select {
	case c := <-calls:
		wh, err := standard.NewWebhook(secret)
		b.must(err)
		if err := wh.Verify(c.raw, c.header); err != nil {
			b.Errorf("signature of %s: %v", c.raw, err)
		}
		return c
	case <-b.ctx.Done():
		b.Fatal("the receiver was not called")
		return call{}
	}
}

// untilDeliveries waits for a count of outcomes.
func (b *bundle) untilDeliveries(outcome string, n int64) {
	b.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		got, err := b.outbox.Counts(b.ctx)
		b.must(err)
		if got[outcome] == n {
			return
		}
		select {
		case <-tick.C:
		case <-b.ctx.Done():
			b.Fatalf("posted %v, want %s %d", got, outcome, n)
		}
	}
}
