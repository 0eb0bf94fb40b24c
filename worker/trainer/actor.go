package trainer

import (
	"context"
	"runtime"
	"slices"
	"time"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/queue"
)

// actor owns the model that learns. Only its own goroutine uses these fields.
type actor struct {
	t   *Trainer
	opt *Options

	model   *model.Model // as saved in head
	head    string       // checkpoint; empty before the first save
	lineage map[string]bool
	state   state
	// undone are datasets that a rollback took back. The next save names them in
	// its lineage, so that nobody teaches them again.
	undone map[string]bool
	// newest is the greatest dataset id of the lineage.
	newest string
	// cleaned is the number of lessons that load removed from the head's model
	// because they were unlearned. The head is saved again without them.
	cleaned int

	dirty      bool      // the state changed since it was saved
	stale      bool      // a save failed but may have moved the head
	checked    time.Time // when the head was last looked at
	taught     time.Time // when the last lesson was memorised
	calibrated string    // the head whose threshold was last looked at

	backlog   []*request // to be looked at
	inHand    []*request // being memorised
	waiting   []*request // memorised; they wait for gradient steps
	session   *session
	replacing replacing
	views     *viewing
}

const (
	// lookEvery is how often the head is compared without a notification.
	lookEvery = 2 * time.Second
	// pausedFor is how soon a job that was handed back because learning is
	// paused is tried again, if neither the pause of the lane holds it nor the end of
	// the pause has it run at once (see worker/control.go).
	pausedFor = 2 * time.Second
	// storageFor is the same for a storage that fails.
	storageFor = 5 * time.Second
)

func newActor(t *Trainer) *actor {
	return &actor{t: t, opt: &t.opt, lineage: map[string]bool{}, undone: map[string]bool{}, views: newViewing(&t.opt)}
}

// run takes new requests and then one slice of gradient steps, again and again.
func (a *actor) run(ctx context.Context) {
	defer a.close()
	for a.mayContinue(ctx) {
		if err := guard(func() error { a.step(ctx); return nil }); err != nil {
			a.crashed(err)
			return
		}
	}
}

// step does each part of the work once. It returns as soon as the trainer must end,
// because nothing may begin after the lease is lost.
func (a *actor) step(ctx context.Context) {
	for _, part := range []func(context.Context){a.watchHead, a.keepClean, a.admit, a.dropEnded, a.saveIfAsked, a.recalibrateIfAsked, a.takeVectors, a.next} {
		if part(ctx); !a.mayContinue(ctx) {
			return
		}
	}
}

// mayContinue reports whether the trainer still runs and holds the lease.
func (a *actor) mayContinue(ctx context.Context) bool { return ctx.Err() == nil && !a.superseded() }

// crashed ends a trainer after a panic that no dataset caused. Its memory cannot be
// trusted, so the next trainer starts from the last checkpoint.
func (a *actor) crashed(err error) {
	a.logPanic("run the trainer", err)
	_ = a.opt.Learning.Do(func() error { return err }) // counted, so that health shows it
	lists := []*[]*request{&a.backlog, &a.waiting, &a.inHand}
	if a.session != nil {
		lists = append(lists, &a.session.jobs)
	}
	for _, list := range lists {
		for _, r := range *list {
			r.end(job.Trained{}, queue.Retryable(panicked(err)))
		}
		*list = nil
	}
	if !a.superseded() {
		close(a.t.lost)
	}
}

// saveIfAsked saves what changed since the last save, if somebody asked for it.
func (a *actor) saveIfAsked(ctx context.Context) {
	if a.t.unsaved.Swap(false) && a.dirty && !a.stale {
		// That it failed is logged; the next change saves it too.
		_ = a.save(ctx, a.model, a.state, nil, "asked for")
	}
}

// next takes one gradient step, or whatever else comes next, or waits.
func (a *actor) next(ctx context.Context) {
	switch s := a.session; {
	case s != nil && s.judging != nil:
		a.wait(ctx, lookEvery)
	case s != nil && s.replaces && a.stepsWanted():
		a.park()
	case s != nil:
		a.slice(ctx)
	case a.stepsWanted():
		a.begin(ctx)
	case a.replacementDue():
		a.replace(ctx)
	case a.due():
		a.begin(ctx)
	case a.recalibrationDue():
		a.recalibrateAll(ctx)
	default:
		a.wait(ctx, a.nextWake())
	}
}

// close hands back the remaining requests and waits for work in other goroutines.
func (a *actor) close() {
	a.t.running.Store(nil)
	for {
		select {
		case r := <-a.t.requests:
			a.backlog = append(a.backlog, r)
			continue
		default:
		}
		break
	}
	why, after := "the trainer is changing hands", time.Duration(0)
	a.handBack(&a.backlog, why, after)
	a.handBack(&a.waiting, why, after)
	if s := a.session; s != nil {
		a.handBack(&s.jobs, why, after)
		if s.judging != nil {
			<-s.judging
		}
	}
	a.dropReplacement()
	a.t.replacement.Store(nil)
}

func (a *actor) superseded() bool {
	select {
	case <-a.t.lost:
		return true
	default:
		return false
	}
}

// wait sleeps until there may be work.
func (a *actor) wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	var judged <-chan verdict
	if a.session != nil {
		judged = a.session.judging
	}
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-a.t.poke:
		a.checked = time.Time{}
	case r := <-a.t.requests:
		a.backlog = append(a.backlog, r)
	case v := <-judged:
		a.judged(ctx, v)
	case m := <-a.replacing.making:
		a.replacementReady(m)
	case v := <-a.views.ready:
		a.see(ctx, v)
	}
}

// watchHead compares the head with the actor's from time to time, and after a save whose
// outcome is unknown.
func (a *actor) watchHead(ctx context.Context) {
	now := a.opt.Now()
	if !a.stale && now.Sub(a.checked) < lookEvery {
		return
	}
	a.checked = now
	h, err := a.opt.Checkpoints.Head(ctx)
	switch {
	case err != nil:
		return // still unknown
	case h.Checkpoint != a.head && h.Checkpoint != "":
		a.reload(ctx)
	default:
		// Where everything was cleared under us, memory is all there is; the
		// next save begins anew with it.
		a.stale = false
	}
}

// admit takes new requests and memorises their lessons.
func (a *actor) admit(ctx context.Context) {
	for full := false; !full; {
		select {
		case r := <-a.t.requests:
			a.backlog = append(a.backlog, r)
		default:
			full = true
		}
	}
	a.backlog = slices.DeleteFunc(a.backlog, func(r *request) bool { return r.ctx.Err() != nil })
	if len(a.backlog) == 0 {
		return
	}
	if why, after := a.pauseReason(); why != "" {
		a.handBack(&a.backlog, why, after)
		return
	}
	var todo []*request
	for _, r := range a.backlog {
		switch id := r.spec.Dataset; {
		case id == "":
			a.queue(r)
		case a.lineage[id]:
			a.resume(r)
		case a.undone[id]:
			r.end(job.Trained{}, job.Errorf(job.CodeConflict, "the model was rolled back to checkpoint %s, from before this dataset; teach it again if it is wanted", a.head))
		default:
			todo = append(todo, r)
		}
	}
	a.backlog = nil
	if len(todo) > 0 {
		a.inHand = todo
		a.memorise(ctx, todo)
		a.inHand = nil
	}
}

// pauseReason returns why nothing may be learned now, not even into memory.
func (a *actor) pauseReason() (why string, after time.Duration) {
	if a.opt.Control().Paused {
		return job.WhyPaused, pausedFor
	}
	if p := a.opt.Governor.Permit(); p.HandBack && p.Full {
		return p.Reason, p.RetryAfter
	}
	if a.stale || a.opt.Storage.Open() {
		return "storage cannot be written", storageFor
	}
	return "", 0
}

// resume continues a job whose dataset is already in memory. The job was handed back, or
// its worker died before it could report.
func (a *actor) resume(r *request) {
	if s, ok := a.state.aside(r.spec.Dataset); ok {
		r.end(job.Trained{}, asideError(s))
		return
	}
	if e, fresh := a.state.find(r.spec.Dataset); fresh {
		if e.Taken >= a.opt.Small {
			a.queue(r)
			return
		}
		why := "small"
		if e.Removed > 0 {
			why = "forget"
		}
		r.end(a.inMemory(e, r, why), nil)
		return
	}
	if t, ok := a.state.recall(r.spec.Dataset); ok {
		r.end(t, nil)
		return
	}
	r.end(job.Trained{
		Dataset: r.spec.Dataset, Topic: r.spec.Topic, Skipped: r.spec.Skipped, LessonsSkipped: len(r.spec.Skipped),
		Checkpoint: a.head, Why: "This dataset was learned before.",
	}, nil)
}

// queue lets r wait for gradient steps: those under way if they cover it.
func (a *actor) queue(r *request) {
	if s := a.session; s != nil && !s.replaces && s.covers[r.spec.Dataset] {
		s.jobs = append(s.jobs, r)
		return
	}
	a.waiting = append(a.waiting, r)
}

// inMemory returns the result of a job that ends without gradient steps.
func (a *actor) inMemory(e entry, r *request, why string) job.Trained {
	t := e.result(r.spec)
	t.Checkpoint = a.head
	forecast(&t, a.model)
	t.DurationMS = a.opt.Now().Sub(r.began).Milliseconds()
	t.Before, t.After = a.state.Figures, a.state.Figures
	t.Why = map[string]string{
		"small":   "Saved and answering now. Training starts when more lessons arrive.",
		"forget":  "Forgotten.",
		"nothing": "Saved and answering now. There is too little to train on yet.",
		"known":   "Every lesson was known already.",
		"judged":  "Feedback saved. It is counted in the refusal threshold.",
		"no part": "Feedback saved. It does not change the refusal threshold.",
		"stopped": "Saved and answering now. Training is stopped; it continues after train_start.",
	}[why]
	return t
}

// dropEnded drops requests whose callers are gone and ends those that will not get
// gradient steps.
func (a *actor) dropEnded(context.Context) {
	defer func() { a.noteReplacement(); a.noteAside() }()
	a.dropGone(&a.waiting)
	if s := a.session; s != nil {
		a.dropGone(&s.jobs)
		if len(s.jobs) == 0 && s.abandoned && s.judging == nil {
			a.opt.Log.Info("consolidation ends: its jobs were canceled", "done", s.learner.Done(), "total", s.learner.Total())
			a.endSession()
		}
	}
	if len(a.waiting) == 0 {
		return
	}
	c := a.opt.Control()
	switch {
	case c.Paused:
		a.handBack(&a.waiting, job.WhyPaused, pausedFor)
	case !c.Training:
		for _, r := range a.waiting {
			e, _ := a.state.find(r.spec.Dataset)
			r.end(a.inMemory(e, r, "stopped"), nil)
		}
		a.waiting = nil
	case a.opt.Learning.Open():
		a.handBack(&a.waiting, "training failed too often; the circuit breaker learning is open", time.Minute)
	}
}

// dropGone removes the requests whose context has ended. The lessons of a canceled job
// stay in memory but no longer cause gradient steps.
func (a *actor) dropGone(list *[]*request) {
	*list = slices.DeleteFunc(*list, func(r *request) bool {
		if r.ctx.Err() == nil {
			return false
		}
		if canceled(r.ctx) {
			a.release(r.spec.Dataset)
			if a.session != nil && list == &a.session.jobs {
				a.session.abandoned = true
			}
		}
		return true
	})
}

// release removes a dataset from those that want gradient steps.
func (a *actor) release(dataset string) {
	if _, fresh := a.state.find(dataset); fresh {
		a.state, a.dirty = a.state.without(map[string]bool{dataset: true}), true
	}
}

// stepsWanted reports whether jobs wait for gradient steps that may be taken now.
func (a *actor) stepsWanted() bool { return len(a.waiting) > 0 && a.due() }

// due reports whether gradient steps should begin.
func (a *actor) due() bool {
	c := a.opt.Control()
	if c.Paused || !c.Training || a.stale || a.opt.Learning.Open() {
		return false
	}
	if len(a.waiting) > 0 {
		return true
	}
	n := a.state.lessons()
	if n == 0 {
		return false
	}
	now := a.opt.Now()
	if now.Sub(a.taught) < a.opt.Quiet {
		return false
	}
	// Memory answers them, so steps pay only when enough has come together.
	enough := max(4*a.opt.Small, len(a.model.Info().Topics), a.model.Info().Lessons/50)
	return n >= enough || now.Sub(a.state.Fresh[0].At) >= a.opt.MaxDelay
}

func (a *actor) nextWake() time.Duration {
	if a.state.lessons() > 0 || a.needsReplacement() || a.model.Sampled() {
		return min(lookEvery, a.opt.Quiet)
	}
	return lookEvery
}

// handBack gives requests back to the queue, to be tried again after a while.
func (a *actor) handBack(list *[]*request, why string, after time.Duration) {
	for _, r := range *list {
		r.end(job.Trained{}, queue.HandBack(why, after))
	}
	*list = nil
}

// charge runs f and charges the CPU time that it took to training.
func (a *actor) charge(f func()) {
	began, used := time.Now(), a.opt.CPU()
	defer func() { a.opt.Governor.Spent(bounded(a.opt.CPU()-used, time.Since(began))) }()
	f()
}

// bounded limits a measure of CPU time to what is possible in the elapsed time, because
// it may include other work of this process.
func bounded(used, wall time.Duration) time.Duration {
	return max(0, min(used, wall*time.Duration(runtime.GOMAXPROCS(0))))
}

// report reports progress to a job. A failure to report must not end the work.
func (a *actor) report(r *request, p job.Progress) {
	r.told, r.phase = a.opt.Now(), p.Phase
	if r.progress == nil {
		return
	}
	if err := r.progress(r.ctx, p); err != nil && r.ctx.Err() == nil {
		a.opt.Log.Warn("progress could not be reported", "job", r.spec.ID, "phase", p.Phase, "error", err)
	}
}

// forecast adds to t how well m is expected to answer.
func forecast(t *job.Trained, m *model.Model) {
	o := m.Outlook("")
	t.Outlook, t.Summary = &o, o.String()
}
