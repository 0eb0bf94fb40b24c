package worker

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/queue/provider"
	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/telemetry/heartbeat"
	"github.com/nexus-continuum/nexus/worker/trainer"
)

func TestTeachAskRefuse(t *testing.T) {
	eachMode(t, func(b *bundle) {
		var recorder *heartbeat.Recorder
		w := b.worker(func(o *Options) { recorder = o.Recorder })
		a := b.ask("How do I reset my password?")
		if a.Responded || *a.Reason != job.ReasonUntaught || a.Response == "" || a.Checkpoint != nil || a.Sources == nil {
			b.Errorf("an untaught model answers %+v", a)
		}
		got := b.ends(b.teach("How do I reset my password? → Open Settings, then Security."))
		if got.LessonsTaken != 1 || got.Checkpoint == "" {
			b.Errorf("result %+v", got)
		}
		a = b.ask("how do i reset my pasword")
		if !a.Responded || a.Response != "Open Settings, then Security." || a.Reason != nil || *a.Checkpoint != got.Checkpoint ||
			len(a.Sources) == 0 || a.Flow.Depth == 0 || !a.Flow.Converged || a.Timing.ComputeMS <= 0 || a.Timing.TotalMS < a.Timing.ComputeMS {
			b.Errorf("answer %+v", a)
		}
		if foreign := b.ask("Who won the 1998 world cup?"); foreign.Responded {
			b.Errorf("a foreign prompt is answered %+v", foreign)
		}

		b.until("the interaction is logged", func() bool {
			it, err := b.interactions.Find(b.ctx, a.InteractionID)
			return err == nil && it.Responded && it.Prompt == "how do i reset my pasword" && it.Checkpoint == got.Checkpoint && len(it.Lessons) > 0
		})
		beat := recorder.Snapshot()
		if beat.Model == nil || beat.Model.Lessons != 1 || beat.Model.Checkpoint != got.Checkpoint || !beat.Trainer || beat.Slots < 1 ||
			beat.Total.Answered != 1 || beat.Total.Refused != 2 || beat.Breakers["storage"].State != "closed" || beat.Mode != "active" {
			b.Errorf("heartbeat %+v", beat)
		}
		b.end(w)
		b.end(w) // twice is safe
	})
}

// Enough lessons for gradient steps: the model's own learner runs.
func TestConsolidation(t *testing.T) {
	t.Parallel()
	b := setup(t, provider.Embedded)
	b.worker(nil)
	var lessons []string
	for _, thing := range []string{"apple", "pear", "plum", "fig", "lime", "mango"} {
		for _, ask := range []string{"what colour is a %s", "tell me the colour of a %s", "which colour has the %s", "colour of %s please"} {
			lessons = append(lessons, fmt.Sprintf(ask, thing)+" → the colour of "+thing)
		}
	}
	got := b.ends(b.teach(lessons...))
	if got.Steps == 0 || got.LessonsTaken != len(lessons) || got.Before == nil || got.After == nil || got.Why == "" {
		b.Errorf("result %+v", got)
	}
	if a := b.ask("What colour is a fig?"); a.Response != "the colour of fig" {
		b.Errorf("answer %+v", a)
	}
}

func TestBatchJobsAreAnsweredToo(t *testing.T) {
	t.Parallel()
	b := setup(t, provider.Embedded)
	b.worker(nil)
	b.ends(b.teach("ping → pong"))
	j, err := b.queue.Submit(b.ctx, job.Spec{Kind: job.KindInteract, Prompt: "ping"})
	if err != nil {
		b.Fatal(err)
	}
	b.until("the job succeeds", func() bool { return b.job(j.ID).State == job.StateSucceeded })
}

func TestEveryWorkerFollowsAndOneTrains(t *testing.T) {
	eachMode(t, func(b *bundle) {
		workers := []*Worker{b.worker(nil), b.worker(nil), b.worker(func(o *Options) { o.ServeOnly = true })}
		b.ends(b.teach("first → 1"))
		for _, w := range workers {
			b.until("every worker answers", func() bool { return knows(w, "first", "1") })
		}
		training := 0
		for _, w := range workers {
			if w.trainer.Load() != nil {
				training++
			}
		}
		if training != 1 || workers[2].trainer.Load() != nil {
			b.Errorf("%d workers train", training)
		}
		// When the trainer goes, the other one goes on.
		for i, w := range workers {
			if w.trainer.Load() != nil {
				b.end(w)
				workers = append(workers[:i], workers[i+1:]...)
				break
			}
		}
		b.ends(b.teach("second → 2"))
		for _, w := range workers {
			b.until("the others follow", func() bool { return knows(w, "second", "2") })
		}
	})
}

func TestANewWorkerLoadsWhatWasLearned(t *testing.T) {
	t.Parallel()
	b := setup(t, provider.Embedded)
	first := b.worker(nil)
	b.ends(b.teach("kept → yes"))
	b.end(first)
	w := b.worker(nil)
	if !knows(w, "kept", "yes") {
		b.Error("a new worker does not know what was learned")
	}
}

func TestACheckpointThatDoesNotLoadLeavesTheOldOneServing(t *testing.T) {
	t.Parallel()
	b := setup(t, provider.Embedded)
	w := b.worker(nil)
	b.ends(b.teach("steady → yes"))
	b.end(w)
	follower := b.worker(func(o *Options) { o.ServeOnly = true })
	_, before := follower.Served()

	// Whole by its digests, and no model.
	bad, err := b.checkpoints.Save(b.ctx, before, []storage.Part{{Name: "model", Data: []byte("noise")}}, storage.Meta{Fence: 1 << 60})
	if err != nil {
		b.Fatal(err)
	}
	if err := b.queue.Publish(b.ctx, job.ChannelCheckpoint, bad.ID); err != nil {
		b.Fatal(err)
	}
	b.until("the load fails", func() bool { f := follower.unloaded.Load(); return f != nil && f.checkpoint == bad.ID })
	if _, now := follower.Served(); now != before || !knows(follower, "steady", "yes") {
		b.Errorf("%s serves", now)
	}
	var beat heartbeat.Beat
	follower.fill(&beat)
	if u := beat.Unloaded; u == nil || u.Checkpoint != bad.ID || u.Why == "" {
		b.Errorf("the beat says %+v of the checkpoint that did not load", u)
	}
	// An operator goes back; the follower is served again by what it has.
	if _, err := b.checkpoints.Promote(b.ctx, before); err != nil {
		b.Fatal(err)
	}
	if a := b.ask("steady"); a.Response != "yes" {
		b.Errorf("answer %+v", a)
	}
	b.until("the beat is silent again", func() bool {
		var beat heartbeat.Beat
		follower.fill(&beat)
		return beat.Unloaded == nil
	})
}

// failing puts a model to work that panics when it is asked, as a damaged one may.
func (b *bundle) failing(w *Worker, checkpoint string) {
	b.Helper()
	if !w.replace(w.served.Load(), nil, storage.Manifest{ID: checkpoint}) {
		b.Fatal("the model was not swapped")
	}
}

// refused asks and returns what the caller is told instead of an answer.
func (b *bundle) refused(prompt string) *job.Error {
	b.Helper()
	a, j, err := b.queue.Ask(b.ctx, job.Spec{Kind: job.KindInteract, Lane: job.LaneInteractive, Prompt: prompt}, 30*time.Second)
	if err == nil {
		b.Fatalf("a broken model answers %+v, job %v", a, j)
	}
	return job.AsError(err)
}

// Callers meet five failures, and then the model that served before.
func TestAModelThatFailsInServiceIsTakenBack(t *testing.T) {
	eachMode(t, func(b *bundle) {
		b.end(b.taught("steady → yes"))
		w := b.worker(func(o *Options) { o.ServeOnly = true })
		good := w.served.Load()
		b.failing(w, "bad")
		for range breakerFailures {
			if e := b.refused("steady"); e.Code != job.CodeInternal {
				b.Errorf("a broken model: %v", e)
			}
		}
		if a := b.ask("steady"); a.Response != "yes" || *a.Checkpoint != good.checkpoint {
			b.Errorf("after %d failures: %+v", breakerFailures, a)
		}
		if s := w.breakerStates()["inference"]; s.State != "closed" {
			b.Errorf("the breaker of the model that serves again: %+v", s)
		}
		wantLines(b.T, scraped(b.T, w), `nexus_model_rollbacks_total 1`)
		// It is not tried again, though the head may still name it.
		if r := w.rejected.Load(); r == nil || *r != "bad" {
			b.Error("the failing checkpoint is not remembered")
		}
	})
}

// A model that has stood its trial is not taken back: callers are told at once
// that it fails, without it being asked, and when to come again.
func TestAnOpenBreakerRefusesAtOnce(t *testing.T) {
	eachMode(t, func(b *bundle) {
		clock := &testClock{now: time.Now()}
		w := b.worker(func(o *Options) { o.ServeOnly, o.Now = true, clock.read })
		b.failing(w, "bad")
		clock.add(trial + time.Second)
		for range breakerFailures {
			_ = b.refused("x")
		}
		e := b.refused("x")
		if e.Code != job.CodeUnavailable || !strings.HasPrefix(e.Detail, "Circuit breaker is OPEN (inference)") || e.RetryAfter <= 50*time.Second || e.RetryAfter > breakerRest {
			b.Errorf("%+v, again after %v", e, e.RetryAfter)
		}
		if s := w.breakerStates()["inference"]; s.State != "open" || s.OpenedAt == nil {
			b.Errorf("breaker %+v", s)
		}
	})
}

func TestTheFormerModelIsLetGoAfterTheTrial(t *testing.T) {
	t.Parallel()
	b := setup(t, provider.Embedded)
	clock := &testClock{now: time.Now()}
	w := b.worker(func(o *Options) { o.ServeOnly, o.Now = true, clock.read })
	w.replace(w.served.Load(), w.served.Load().model, storage.Manifest{ID: "next"})
	w.Relieve(false)
	if w.served.Load().former == nil {
		b.Error("the former model is gone while the next one is on trial")
	}
	clock.add(trial + time.Second)
	w.Relieve(false)
	if s := w.served.Load(); s.former != nil || s.checkpoint != "next" {
		b.Errorf("after the trial: %+v", s)
	}
	w.replace(w.served.Load(), w.served.Load().model, storage.Manifest{ID: "third"})
	w.Relieve(true)
	if w.served.Load().former != nil {
		b.Error("the former model is kept while memory is critical")
	}
}

// slowSteps is a learner whose steps wait for a word.
type slowSteps struct {
	begun chan struct{}
	step  chan struct{}
	over  <-chan struct{} // the test has ended
	total int
	done  atomic.Int64
}

func newSlowSteps(t *testing.T) *slowSteps {
	return &slowSteps{total: 1 << 40, begun: make(chan struct{}, 100), step: make(chan struct{}), over: t.Context().Done()}
}

func (s *slowSteps) learn(*model.Model, []string, uint64, func()) (trainer.Learner, error) {
	s.begun <- struct{}{}
	return s, nil
}

func (s *slowSteps) Step() (float64, error) {
	select {
	case <-s.step:
	case <-s.over:
	}
	s.done.Add(1)
	return 1, nil
}
func (s *slowSteps) Done() int  { return int(s.done.Load()) }
func (s *slowSteps) Total() int { return s.total }
func (s *slowSteps) Finish(m *model.Model) (*model.Model, trainer.Report, error) {
	return m, trainer.Report{Steps: s.Done()}, nil
}

func lessons(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("lesson number %d → answer %d", i, i)
	}
	return out
}

func TestCancelOfARunningTrainJob(t *testing.T) {
	t.Parallel()
	b := setup(t, provider.Embedded)
	s := newSlowSteps(b.T)
	b.worker(func(o *Options) { o.Learn = s.learn })
	id := b.teach(lessons(20)...)
	<-s.begun
	began := time.Now()
	if _, err := b.queue.Cancel(b.ctx, id); err != nil {
		b.Fatal(err)
	}
	b.until("the job is canceled", func() bool { return b.job(id).State == job.StateCanceled })
	if took := time.Since(began); took > time.Second {
		b.Errorf("it took %v", took)
	}
	if a := b.ask("lesson number 3"); a.Response != "answer 3" {
		b.Errorf("what was memorised is gone: %+v", a)
	}
	close(s.step)
}

// While steps are taken, prompts are answered and lessons memorised; a worker
// that stops hands the job back, and another one ends it.
func TestServingGoesOnAndAStoppedTrainerHandsBack(t *testing.T) {
	eachMode(t, func(b *bundle) {
		s := newSlowSteps(b.T)
		first := b.worker(func(o *Options) { o.Learn = s.learn })
		id := b.teach(lessons(20)...)
		<-s.begun
		if a := b.ask("lesson number 7"); a.Response != "answer 7" {
			b.Errorf("answer %+v", a)
		}
		small := b.teach("quick → yes")
		b.until("the lesson is memorised between two steps", func() bool {
			select {
			case s.step <- struct{}{}:
			default:
			}
			return b.job(small).State == job.StateSucceeded
		})

		stopped := make(chan error, 1)
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), timeout)
			defer cancel()
			stopped <- first.Stop(ctx)
		}()
		b.until("the job is handed back", func() bool {
			j := b.job(id)
			return j.State == job.StateQueued && j.WaitingFor != nil
		})
		close(s.step)
		if err := <-stopped; err != nil {
			b.Fatal(err)
		}
		if j := b.job(id); j.Attempts != 0 {
			b.Errorf("handing back cost %d attempts", j.Attempts)
		}
		quick := newSlowSteps(b.T)
		quick.total = 3
		close(quick.step)
		b.worker(func(o *Options) { o.Learn = quick.learn })
		if got := b.ends(id); got.LessonsTaken != 20 || got.Steps != 3 {
			b.Errorf("result %+v", got)
		}
	})
}

func TestControlIsFollowed(t *testing.T) {
	t.Parallel()
	b := setup(t, provider.Embedded)
	w := b.worker(nil)
	if _, err := b.control.Update(b.ctx, func(c *storage.Control) { c.Paused, c.TargetError = true, 0.2 }); err != nil {
		b.Fatal(err)
	}
	if err := b.queue.Publish(b.ctx, job.ChannelControl, job.MessageChanged); err != nil {
		b.Fatal(err)
	}
	b.until("the pause is seen", func() bool { return w.control.now().Paused })
	b.until("the bound on errors is in force", func() bool { m, _ := w.Served(); return m.Info().TargetError == 0.2 })
	if st := w.opt.Governor.State(); st.Mode != "paused" || st.Reason != job.WhyPaused {
		b.Errorf("mode %s (%s)", st.Mode, st.Reason)
	}
	id := b.teach("wait → for it")
	b.until("the job says why it waits", func() bool {
		j := b.job(id)
		return j.State == job.StateQueued && j.WaitingFor != nil && *j.WaitingFor == job.WhyPaused
	})
	if _, err := b.control.Update(b.ctx, func(c *storage.Control) { c.Paused, c.TargetError = false, 0 }); err != nil {
		b.Fatal(err)
	}
	// The job rests since it was handed back; the end of the pause ends its rest too.
	if err := b.queue.Publish(b.ctx, job.ChannelControl, job.MessageChanged); err != nil {
		b.Fatal(err)
	}
	b.ends(id)
	b.until("the bound of the settings is in force again", func() bool { m, _ := w.Served(); return m.Info().TargetError == 0.05 })
}
