package reply

import (
	"encoding/json"
	"log/slog"
	"testing"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/queue/provider"
	"github.com/nexus-continuum/nexus/queue/provider/providertest"
)

func FuzzDecodeReply(f *testing.F) {
	id := job.NewID()
	answer, _ := json.Marshal(job.Answer{JobID: id, Response: "Open Settings."})
	f.Add(string(Encode(id, Answer, answer)))
	f.Add(string(Encode(id, Error, []byte(`{"code":"timeout","detail":"too late"}`))))
	f.Add(id + "x{}")
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := parse(s)
		if err == nil {
			if a, err := r.Decode(); (a == nil) == (err == nil) {
				t.Errorf("%q is both an answer and an error, or neither", s)
			}
		}
		if len(s) > job.IDLength && r.id != s[:job.IDLength] {
			t.Errorf("the id of %q was not kept: its caller could not be told", s)
		}
	})
}

// A stopped list fails its callers, and may be stopped again.
func TestStopFailsTheCallers(t *testing.T) {
	providertest.EachMode(t, func(t *testing.T, mode string) {
		ctx, p := providertest.Start(t, provider.Options{Mode: mode})
		l := New(Options{Redis: p.Client(), Key: "replies", Timeout: providertest.Timeout, Log: slog.New(slog.DiscardHandler)})
		waiting, err := l.Expect("a")
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Stop(ctx); err != nil {
			t.Fatal(err)
		}
		if a, err := (<-waiting).Decode(); a != nil || job.AsError(err).Code != job.CodeUnavailable {
			t.Errorf("the caller got %v, %v", a, err)
		}
		if err := l.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
}

// A caller is told when the task of its prompt goes without a reply. One with a task
// waits on, and so does one whose prompt is not queued yet.
func TestACallerWithoutATaskIsTold(t *testing.T) {
	providertest.EachMode(t, func(t *testing.T, mode string) {
		ctx, p := providertest.Start(t, provider.Options{Mode: mode})
		l := New(Options{Redis: p.Client(), Key: "replies", Tasks: "t:", Timeout: providertest.Timeout, Log: slog.New(slog.DiscardHandler)})
		defer func() { _ = l.Stop(ctx) }()
		callers := map[string]<-chan Reply{}
		for _, id := range []string{"kept", "gone", "coming"} {
			var err error
			if callers[id], err = l.Expect(id); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.Client().Set(ctx, "t:kept", "x", 0).Err(); err != nil {
			t.Fatal(err)
		}
		l.Queued("kept")
		l.Queued("gone")
		if _, err := (<-callers["gone"]).Decode(); job.AsError(err).Code != job.CodeUnavailable {
			t.Errorf("the caller got %v", err)
		}
		if n := len(callers["kept"]) + len(callers["coming"]); n != 0 {
			t.Errorf("%d other callers were told something", n)
		}
	})
}
