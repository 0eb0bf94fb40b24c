package interaction

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/queue"
	"github.com/nexus-continuum/nexus/queue/provider"
	"github.com/nexus-continuum/nexus/queue/provider/providertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bundle is a Redis and a log on it.
type bundle struct {
	*testing.T
	provided *provider.Provider
	log      *Log
	ctx      context.Context
}

// eachMode runs a test on every Redis that this machine has.
func eachMode(t *testing.T, test func(t *bundle)) {
	t.Helper()
	providertest.EachMode(t, func(t *testing.T, mode string) { test(setup(t, mode)) })
}

func setup(t *testing.T, mode string) *bundle {
	t.Helper()
	b := &bundle{T: t}
	b.ctx, b.provided = providertest.Start(t, provider.Options{Mode: mode})
	b.log = b.open(Options{})
	return b
}

// open makes the log of one more process, as it were, on the same Redis.
func (b *bundle) open(opt Options) *Log {
	b.Helper()
	opt.Redis, opt.Log = b.provided.Client(), slog.New(slog.NewTextHandler(b.Output(), nil))
	if opt.Timeout == 0 {
		opt.Timeout = providertest.Timeout
	}
	log := New(opt)
	b.start(log)
	return log
}

// queue makes a queue whose delivered jobs a log knows.
func (b *bundle) queue(log *Log) *queue.Queue {
	b.Helper()
	q := queue.Open(queue.Options{
		Redis: b.provided.Client(), Asynq: b.provided.Asynq(), Timeout: 20 * time.Second, Delivered: log.Job,
	})
	b.start(q)
	return q
}

// serve answers prompts with themselves, and logs that, until the test ends.
func (b *bundle) serve(q *queue.Queue, log *Log, lane job.Lane) {
	b.Helper()
	b.start(q.Serve(lane, 8, func(_ context.Context, t *queue.Task) (any, error) {
		log.Attach(t, job.Interaction{ID: t.Spec.ID, Prompt: t.Spec.Prompt, Response: t.Spec.Prompt, Responded: true, At: job.At(time.Now())})
		return job.Answer{JobID: t.Spec.ID, InteractionID: t.Spec.ID, Response: t.Spec.Prompt, Responded: true}, nil
	}))
}

// start starts a part until the test ends.
func (b *bundle) start(part interface {
	Start(ctx context.Context) error
	Stop(ctx context.Context) error
},
) {
	b.Helper()
	if err := part.Start(b.ctx); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := part.Stop(context.Background()); err != nil {
			b.Error(err)
		}
	})
}

func wantCode(t testing.TB, err error, code string) {
	t.Helper()
	if err == nil || job.AsError(err).Code != code {
		t.Fatalf("error is %v, want code %s", err, code)
	}
}
