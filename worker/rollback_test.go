package worker

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/storage"
)

// crashes is an Ask of a model that fails at the prompt "crash" once it knows
// more than known lessons.
func crashes(known int) func(*model.Model, []model.Query) []model.Verdict {
	return func(m *model.Model, queries []model.Query) []model.Verdict {
		for _, q := range queries {
			if q.Prompt == "crash" && m.Info().Lessons > known {
				panic("on purpose")
			}
		}
		return m.Ask(queries)
	}
}

// crash asks until the breaker opens.
func (b *bundle) crash() {
	b.Helper()
	for range breakerFailures {
		if e := b.refused("crash"); e.Code != job.CodeInternal {
			b.Errorf("a broken model: %v", e)
		}
	}
}

// A checkpoint that fails in service is not served again after a restart, the
// registry says why, and what only it had learned is to be learned again.
func TestARetreatOutlastsARestart(t *testing.T) {
	eachMode(t, func(b *bundle) {
		broken := func(o *Options) { o.Ask = crashes(1) }
		w := b.worker(broken)
		b.ends(b.teach("steady → yes"))
		good, err := b.checkpoints.Head(b.ctx)
		if err != nil {
			b.Fatal(err)
		}
		later := b.teach("later → yes")
		b.ends(later)
		bad, err := b.checkpoints.Head(b.ctx)
		if err != nil || bad.Checkpoint == good.Checkpoint {
			b.Fatalf("heads %+v and %+v, %v", good, bad, err)
		}
		b.crash()
		var head storage.Head
		b.until("the head is moved back", func() bool {
			head, err = b.checkpoints.Head(b.ctx)
			return err == nil && head.Checkpoint == good.Checkpoint
		})
		b.until("the registry says why", func() bool {
			r, err := b.checkpoints.Registry(b.ctx)
			return err == nil && strings.Contains(r.Failing[bad.Checkpoint].Why, "failed 5 times")
		})
		b.end(w)

		b.worker(broken)
		if a := b.ask("crash"); *a.Checkpoint != good.Checkpoint {
			b.Errorf("after a restart %s answers, want %s", *a.Checkpoint, good.Checkpoint)
		}
		if a := b.ask("steady"); a.Response != "yes" {
			b.Errorf("after a restart: %+v", a)
		}
		lineage, err := b.checkpoints.Lineage(b.ctx, head.Checkpoint)
		if err != nil || len(lineage.Missing([]string{later})) == 0 || head.Why == "promote" {
			b.Errorf("the sweep would not have %s learned again: lineage %v, head %+v, %v", later, lineage, head, err)
		}
	})
}

// Prompts at which every model fails move no head.
func TestAPromptThatFailsAlwaysMovesNoHead(t *testing.T) {
	t.Parallel()
	b := setup(t, "embedded")
	w := b.worker(func(o *Options) { o.Ask = crashes(0) })
	b.ends(b.teach("steady → yes"))
	b.ends(b.teach("later → yes"))
	before, err := b.checkpoints.Head(b.ctx)
	if err != nil {
		b.Fatal(err)
	}
	b.crash()
	b.until("the rollback was judged", func() bool { return w.rejected.Load() != nil && w.rollback.Load() == nil })
	after, err := b.checkpoints.Head(b.ctx)
	if err != nil || after != before {
		b.Errorf("the head was %+v and is %+v, %v", before, after, err)
	}
}

// A checkpoint that is taken back does not bring back what was unlearned after
// the one that serves again, on no worker and not after a restart.
func TestARollbackBringsNothingBackThatWasUnlearned(t *testing.T) {
	eachMode(t, func(b *bundle) {
		var bad atomic.Pointer[model.Model]
		w := b.worker(func(o *Options) {
			o.Ask = func(m *model.Model, queries []model.Query) []model.Verdict {
				if m == bad.Load() && queries[0].Prompt == "crash" {
					panic("on purpose")
				}
				return m.Ask(queries)
			}
		})
		b.ends(b.teach("steady → yes", "secret → 555-0100"))
		good, err := b.checkpoints.Head(b.ctx)
		if err != nil {
			b.Fatal(err)
		}
		other := b.worker(func(o *Options) { o.ServeOnly = true })
		if !knows(w, "secret", "555-0100") || !knows(other, "secret", "555-0100") {
			b.Fatal("the lesson that is to be unlearned does not answer")
		}
		b.ends(b.forget("secret"))
		b.until("the other worker follows", func() bool { return !knows(other, "secret", "555-0100") })
		m, failing := w.Served()
		bad.Store(m)
		for b.checkpointOf(w) == failing {
			if _, _, err := b.queue.Ask(b.ctx, job.Spec{Kind: job.KindInteract, Lane: job.LaneInteractive, Prompt: "crash"}, 30*time.Second); err != nil && job.AsError(err).Code != job.CodeInternal {
				b.Fatal(err)
			}
		}
		b.until("the checkpoint is taken back, and the head is clean", func() bool {
			for _, one := range []*Worker{w, other} {
				if knows(one, "secret", "555-0100") {
					b.Fatal("what was unlearned is answered again")
				}
			}
			head, err := b.checkpoints.Head(b.ctx)
			return err == nil && head.Checkpoint != good.Checkpoint && head.Checkpoint != failing && b.checkpointOf(w) == head.Checkpoint
		})
		if !knows(w, "steady", "yes") {
			b.Error("what was not unlearned is lost")
		}
		b.end(w)
		b.end(other)
		if again := b.worker(nil); knows(again, "secret", "555-0100") || !knows(again, "steady", "yes") {
			b.Error("after a restart what was unlearned is answered again, or the rest is lost")
		}
	})
}

func (b *bundle) checkpointOf(w *Worker) string {
	_, checkpoint := w.Served()
	return checkpoint
}
