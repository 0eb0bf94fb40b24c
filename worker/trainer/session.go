package trainer

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/queue"
)

// session is one consolidation: gradient steps over what memory holds, for any
// number of jobs.
type session struct {
	learner Learner
	// covers are the datasets whose lessons the steps see as new.
	covers map[string]bool
	jobs   []*request
	// replaces says that the steps are those of a replacement: no job waits for them.
	replaces bool
	// abandoned says that a job was canceled; without others the steps end.
	abandoned bool
	// judging is where the verdict will come; nil while steps are taken.
	judging chan verdict
	// since is what was memorised after the weights that are being judged were
	// given the memory: it is done again on the result.
	since   []change
	pace    *pace
	stopped bool
	began   time.Time
	loss    float64
	curve   curve // of the loss
}

// pace lets judging, which is one long call, keep to the governor's share. A
// device that gets too hot meanwhile makes it wait; an end of the process
// makes it hurry.
type pace struct {
	ctx  context.Context
	opt  *Options
	used time.Duration // CPU time at the last yield
	at   time.Time
}

func (p *pace) begin() { p.used, p.at = p.opt.CPU(), time.Now() }

// charge charges what was used since the last time.
func (p *pace) charge() {
	p.opt.Governor.Spent(bounded(p.opt.CPU()-p.used, time.Since(p.at)))
	p.begin()
}

func (p *pace) yield() {
	p.charge()
	for p.ctx.Err() == nil {
		permit := p.opt.Governor.Permit()
		wait := permit.Wait
		if permit.HandBack && permit.Critical {
			wait = tellEvery
		}
		if wait <= 0 {
			break
		}
		timer := time.NewTimer(wait)
		select {
		case <-p.ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
	p.begin()
}

// verdict is what judging new weights gave.
type verdict struct {
	model  *model.Model
	report Report
	err    error
}

// begin starts gradient steps for everything that waits.
func (a *actor) begin(ctx context.Context) {
	s := &session{covers: map[string]bool{}, jobs: a.waiting, began: a.opt.Now()}
	pace := &pace{ctx: ctx, opt: a.opt}
	a.waiting = nil
	var fresh []string
	for i := range a.state.Fresh {
		e := &a.state.Fresh[i]
		s.covers[e.Dataset] = true
		fresh = append(fresh, a.lessonsOf(ctx, e)...)
	}
	slices.Sort(fresh)
	fresh = slices.Compact(fresh)
	nothing := false
	err := a.opt.Learning.Do(func() (err error) {
		a.charge(func() {
			err = guard(func() (err error) {
				s.learner, err = a.opt.Learn(a.model, fresh, a.opt.Model.Seed+uint64(len(a.lineage)), pace.yield)
				return err
			})
		})
		if nothing = errors.Is(err, model.ErrNothing); nothing {
			return nil // no failure of learning
		}
		return err
	})
	if nothing {
		a.nothingToLearn(ctx, s)
		return
	}
	if err != nil {
		a.failed(s, fmt.Errorf("begin gradient steps over %d new lessons: %w", len(fresh), err))
		return
	}
	a.session, s.pace = s, pace
	a.opt.Log.Info("consolidation begins", "new_lessons", len(fresh), "steps", s.learner.Total(), "jobs", len(s.jobs))
	a.noteRunning()
}

// nothingToLearn ends a session without steps: too little was taught for them. The threshold is set by all
// that was taught before the jobs end, as it is after steps.
func (a *actor) nothingToLearn(ctx context.Context, s *session) {
	if a.model.Sampled() {
		a.reportAll(s.jobs, job.Progress{Phase: job.PhaseJudging, Message: "setting the refusal threshold"})
		a.recalibrateAll(ctx)
	}
	for _, r := range s.jobs {
		e, _ := a.state.find(r.spec.Dataset)
		r.end(a.inMemory(e, r, "nothing"), nil)
	}
	for id := range s.covers {
		a.release(id)
	}
}

// lessonsOf returns the ids of an entry's lessons, reading them again if this
// process did not memorise them itself.
func (a *actor) lessonsOf(ctx context.Context, e *entry) []string {
	if e.lessons != nil {
		return e.lessons
	}
	if e.Dataset == rebuilt {
		e.lessons = allLessons(a.model)
		return e.lessons
	}
	ds, lessons, err := a.opt.Datasets.Lessons(ctx, e.Dataset)
	if err != nil {
		// They are in memory all the same, and the steps see part of the memory.
		a.opt.Log.Warn("a dataset cannot be read again for its gradient steps", "dataset", e.Dataset, "error", err)
		return nil
	}
	e.lessons = []string{}
	for _, l := range modelLessons(ds, lessons) {
		e.lessons = append(e.lessons, l.ID)
	}
	return e.lessons
}

// slice takes one gradient step if everything allows it, and waits if not.
func (a *actor) slice(ctx context.Context) {
	s := a.session
	c := a.opt.Control()
	if c.Paused && s.replaces {
		a.wait(ctx, lookEvery)
		return
	}
	if c.Paused {
		// Nothing is lost but the steps: they begin anew after the pause.
		a.requeueSession(job.WhyPaused, pausedFor)
		return
	}
	if !c.Training {
		a.stop()
		return
	}
	p := a.opt.Governor.Permit()
	if p.HandBack {
		// The steps' memory is given back too, since memory may be what lacks.
		a.requeueSession(p.Reason, p.RetryAfter)
		return
	}
	if p.Wait > 0 {
		a.wait(ctx, p.Wait)
		return
	}
	err := a.opt.Learning.Do(func() (err error) {
		a.charge(func() {
			err = guard(func() (err error) { s.loss, err = s.learner.Step(); return err })
		})
		return err
	})
	if p := a.opt.Governor.Permit(); err != nil && p.HandBack {
		// A device that is lost, or has no memory left, fails what runs on it: the
		// job is not at fault.
		a.opt.Log.Warn("a gradient step failed on a machine that is not well", "error", err, "reason", p.Reason)
		a.requeueSession(p.Reason, p.RetryAfter)
		return
	}
	if err != nil {
		a.failed(s, fmt.Errorf("gradient step %d of %d: %w", s.learner.Done(), s.learner.Total(), err))
		return
	}
	s.curve.add(s.loss)
	done, total := s.learner.Done(), s.learner.Total()
	a.reportAll(s.jobs, job.Progress{Phase: job.PhaseConsolidating, Done: done, Total: total, Message: fmt.Sprintf("loss %.3f", s.loss)})
	if done >= total {
		a.judge()
	}
}

// stop ends the steps early because an operator stopped training. Weights that
// came half the way are judged as they are; the rest is not worth it.
func (a *actor) stop() {
	s := a.session
	s.stopped = true
	if !s.replaces && 2*s.learner.Done() >= s.learner.Total() {
		a.judge()
		return
	}
	a.opt.Log.Info("consolidation stopped by an operator", "done", s.learner.Done(), "total", s.learner.Total())
	for _, r := range s.jobs {
		e, _ := a.state.find(r.spec.Dataset)
		t := a.inMemory(e, r, "stopped")
		t.Steps, t.Losses = s.learner.Done(), s.curve.losses()
		r.end(t, nil)
	}
	a.endSession()
}

// requeueSession hands the session's jobs back and drops it.
func (a *actor) requeueSession(why string, after time.Duration) {
	s := a.session
	a.opt.Log.Info("consolidation handed back", "reason", why, "done", s.learner.Done(), "total", s.learner.Total())
	a.handBack(&s.jobs, why, after)
	a.endSession()
}

// failed ends a session that could not go on. The lessons stay in memory.
func (a *actor) failed(s *session, err error) {
	a.opt.Log.Error("consolidation failed; the lessons answer from memory", "error", err)
	if a.opt.Failed != nil {
		a.opt.Failed()
	}
	ends := queue.Retryable(err)
	if _, ok := errors.AsType[*panicError](err); ok {
		ends = a.consolidatingPanicked(s, err)
	}
	for _, r := range s.jobs {
		r.end(job.Trained{}, ends)
	}
	s.jobs = nil
	if len(a.waiting) == 0 {
		// Not again at once: what failed would most likely fail again.
		a.taught = a.opt.Now()
	}
	a.endSession()
}

// endSession lets the session go, and its memory with it: graphs and optimiser
// are larger than the model, and may not be needed for days.
func (a *actor) endSession() {
	a.session = nil
	debug.FreeOSMemory()
	a.noteRunning()
}

func (a *actor) noteRunning() {
	id := ""
	if a.session != nil && len(a.session.jobs) > 0 {
		id = a.session.jobs[0].spec.ID
	}
	a.t.running.Store(&id)
}

// judge has the new weights judged on held-out prompts, beside the actor, so
// that lessons are memorised meanwhile.
func (a *actor) judge() {
	s := a.session
	for _, r := range s.jobs {
		a.report(r, job.Progress{Phase: job.PhaseJudging, Done: s.learner.Done(), Total: s.learner.Total(), Message: "comparing the new weights with the old ones"})
	}
	onto, learner, out := a.model, s.learner, make(chan verdict, 1)
	s.since, s.judging = nil, out
	pace := s.pace
	go func() {
		pace.begin()
		var v verdict
		v.err = guard(func() (err error) { v.model, v.report, err = learner.Finish(onto); return err })
		pace.charge()
		out <- v
	}()
}

// judged takes the verdict: the result, with what was memorised meanwhile, is
// saved and put to work.
func (a *actor) judged(ctx context.Context, v verdict) {
	s := a.session
	s.judging = nil
	if v.err != nil {
		a.failed(s, fmt.Errorf("judge new weights: %w", a.opt.Learning.Do(func() error { return v.err })))
		return
	}
	next := v.model
	if next == nil {
		next = a.model
	} else {
		a.charge(func() {
			for _, c := range s.since {
				next = c.onto(next)
			}
		})
	}
	why := "consolidated"
	figures := &v.report.After
	done := a.state.without(s.covers)
	switch {
	case s.replaces && v.report.Promoted:
		why = a.rebuiltWhy()
	case s.replaces:
		// The weights that stay have not seen what is fresh.
		why, figures, done = "kept the former model", &v.report.Before, a.state
		a.keepOut(v.report.Why)
	case !v.report.Promoted:
		why, figures = "kept the former weights", &v.report.Before
	}
	done.Figures = figures
	var results []job.Trained
	for _, r := range s.jobs {
		e, _ := a.state.find(r.spec.Dataset)
		t := e.result(r.spec)
		t.Steps, t.Before, t.After = v.report.Steps, &v.report.Before, &v.report.After
		t.Losses = s.curve.losses()
		t.Promoted, t.Why = v.report.Promoted, v.report.Why
		forecast(&t, next)
		t.DurationMS = a.opt.Now().Sub(s.began).Milliseconds()
		results = append(results, t)
	}
	done = done.remember(results)
	if err := a.save(ctx, next, done, nil, why); err != nil {
		a.opt.Log.Warn("the result of a consolidation could not be saved; the jobs are tried again", "error", err)
		a.handBack(&s.jobs, "storage cannot be written", storageFor)
		a.endSession()
		return
	}
	a.opt.Log.Info("consolidation ends", "promoted", v.report.Promoted, "why", v.report.Why, "steps", v.report.Steps,
		"accuracy_before", v.report.Before.Accuracy, "accuracy_after", v.report.After.Accuracy, "checkpoint", a.head)
	for i, r := range s.jobs {
		t := results[i]
		t.Checkpoint = a.head
		a.report(r, job.Progress{Phase: job.PhaseDone, Done: v.report.Steps, Total: v.report.Steps})
		r.end(t, nil)
	}
	a.endSession()
}
