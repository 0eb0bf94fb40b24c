package trainer

import (
	"context"
	"errors"
	"fmt"

	"github.com/nexus-continuum/nexus/model"
)

// Replacement describes a model of another architecture or size that is trained to
// replace the current one, because the settings ask for it.
type Replacement struct {
	Architecture, Size string
	State              string
	// Done and Total count gradient steps.
	Done, Total int
	Why         string // why it was kept out
}

// States of a Replacement.
const (
	ReplacementWaiting  = "waiting"  // for its turn, or for training to be allowed
	ReplacementTraining = "training" // takes gradient steps
	ReplacementJudging  = "judging"  // is compared with the model that serves
	ReplacementKeptOut  = "kept_out" // was worse; tried again after more lessons
)

// Replacement returns the state of the replacement; nil if there is none.
func (t *Trainer) Replacement() *Replacement { return t.replacement.Load() }

// replacing is the actor's state of the replacement.
type replacing struct {
	// making delivers the learner that another goroutine makes; nil if none is being
	// made.
	making <-chan made
	// parked is the replacement's session while jobs have priority.
	parked *session
	// kept is the number of lessons known when a replacement was kept out, and
	// why; 0 if none was.
	kept    int
	keptWhy string
}

// made is a replacement's learner.
type made struct {
	session *session
	pace    *pace
	err     error
}

// needsReplacement reports whether the settings ask for another model than the one that
// learns.
func (a *actor) needsReplacement() bool {
	info := a.model.Info()
	return info.Architecture != a.opt.Model.Architecture || info.Size != a.opt.Model.Size
}

// keptEnough is the share of lessons that must change before a replacement that was kept
// out is tried again. keptLeast is the least number of such lessons.
const (
	keptEnough = 10
	keptLeast  = 64
)

// replacementDue reports whether a replacement's steps may be taken now.
func (a *actor) replacementDue() bool {
	c := a.opt.Control()
	if c.Paused || !c.Training || a.stale || a.opt.Learning.Open() || a.replacing.making != nil || !a.needsReplacement() {
		return false
	}
	if a.replacing.parked != nil {
		return true
	}
	if n := a.model.Info().Lessons; a.replacing.kept > 0 {
		change := max(n-a.replacing.kept, a.replacing.kept-n)
		if change < max(keptLeast, a.replacing.kept/keptEnough) {
			return false
		}
	}
	return a.opt.Now().Sub(a.taught) >= a.opt.Quiet
}

// replace continues the replacement, or begins it. Another goroutine makes its learner,
// because reading many lessons takes seconds.
func (a *actor) replace(ctx context.Context) {
	if s := a.replacing.parked; s != nil {
		a.session, a.replacing.parked = s, nil
		return
	}
	known := a.model
	if known.Info().Lessons == 0 {
		a.replaceUntaught(ctx)
		return
	}
	s := &session{replaces: true, covers: map[string]bool{}, began: a.opt.Now()}
	for i := range a.state.Fresh {
		s.covers[a.state.Fresh[i].Dataset] = true
	}
	pace := &pace{ctx: ctx, opt: a.opt}
	seed := a.opt.Model.Seed + uint64(len(a.lineage))
	out := make(chan made, 1)
	a.replacing.making = out
	a.opt.Log.Info("the settings ask for another model; it is trained from the stored lessons while this one serves",
		"now", known.Info().Architecture+" "+known.Info().Size, "next", a.opt.Model.Architecture+" "+a.opt.Model.Size, "lessons", known.Info().Lessons)
	go func() {
		pace.begin()
		err := guard(func() (err error) {
			s.learner, err = a.opt.Replace(known, a.opt.Model, seed, pace.yield)
			return err
		})
		pace.charge()
		out <- made{s, pace, err}
	}()
}

// replaceUntaught replaces a model that was taught nothing, without any training.
func (a *actor) replaceUntaught(ctx context.Context) {
	next, err := model.New(a.opt.Model)
	if err == nil {
		err = a.save(ctx, next, a.state, nil, a.rebuiltWhy())
	}
	if err != nil {
		a.taught = a.opt.Now() // not again at once
		a.opt.Log.Error("the model that the settings ask for cannot take the place of the untaught one", "error", err)
	}
}

func (a *actor) rebuiltWhy() string {
	return fmt.Sprintf("rebuilt as %s %s", a.opt.Model.Architecture, a.opt.Model.Size)
}

// replacementReady takes the replacement's learner when it is made.
func (a *actor) replacementReady(m made) {
	a.replacing.making = nil
	switch {
	case errors.Is(m.err, model.ErrNothing):
		a.keepOut("there is nothing to take gradient steps on")
	case m.err != nil:
		a.logPanic("make the learner of another model", m.err)
		a.opt.Log.Error("the model that the settings ask for cannot be trained", "error", m.err)
		a.keepOut(m.err.Error())
	default:
		m.session.pace = m.pace
		a.replacing.parked = m.session
	}
}

// keepOut records that no replacement is tried for now.
func (a *actor) keepOut(why string) {
	a.replacing.kept, a.replacing.keptWhy = max(a.model.Info().Lessons, 1), why
}

// park gives the gradient steps of jobs priority.
func (a *actor) park() {
	a.replacing.parked, a.session = a.session, nil
}

// dropReplacement discards the replacement. It waits for the goroutine that makes one.
func (a *actor) dropReplacement() {
	if a.replacing.making != nil {
		<-a.replacing.making
	}
	a.replacing = replacing{}
}

// noteReplacement publishes the progress of the replacement to other goroutines.
func (a *actor) noteReplacement() {
	if a.model == nil || !a.needsReplacement() {
		a.t.replacement.Store(nil)
		return
	}
	n := Replacement{Architecture: a.opt.Model.Architecture, Size: a.opt.Model.Size, State: ReplacementWaiting}
	s := a.replacing.parked
	if a.session != nil && a.session.replaces {
		s, n.State = a.session, ReplacementTraining
	}
	switch {
	case s != nil:
		n.Done, n.Total = s.learner.Done(), s.learner.Total()
		if s.judging != nil {
			n.State = ReplacementJudging
		}
	case a.replacing.kept > 0:
		n.State, n.Why = ReplacementKeptOut, a.replacing.keptWhy
	}
	a.t.replacement.Store(&n)
}
