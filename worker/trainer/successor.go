package trainer

import (
	"context"
	"errors"
	"fmt"

	"github.com/nexus-continuum/nexus/model"
)

// Successor is the model that the settings ask for, on its way to take the
// place of one of another architecture or size.
type Successor struct {
	Architecture, Size string
	State              string
	// Done and Total count gradient steps.
	Done, Total int
	Why         string // of a successor that was kept out
}

// States of a Successor.
const (
	SuccessorWaiting  = "waiting"  // for its turn, or for training to be allowed
	SuccessorTraining = "training" // takes gradient steps
	SuccessorJudging  = "judging"  // is compared with the model that serves
	SuccessorKeptOut  = "kept_out" // was worse; tried again when more was taught
)

// Successor tells of the model that is to follow; nil if there is none.
func (t *Trainer) Successor() *Successor { return t.successor.Load() }

// succession is what the actor knows of the successor.
type succession struct {
	// making is where the learner comes from that is being made beside the
	// actor; nil if none is.
	making <-chan made
	// parked is the successor's session while steps for jobs go first.
	parked *session
	// kept is the number of lessons known when a successor was kept out, and
	// why; 0 if none was.
	kept    int
	keptWhy string
}

// made is a successor's learner.
type made struct {
	session *session
	pace    *pace
	err     error
}

// outgrown reports whether the settings ask for another model than the one that
// learns.
func (a *actor) outgrown() bool {
	info := a.model.Info()
	return info.Architecture != a.opt.Model.Architecture || info.Size != a.opt.Model.Size
}

// keptEnough is the share of lessons that must have come or gone before a
// successor that was kept out is tried again, and keptLeast their number at
// least.
const (
	keptEnough = 10
	keptLeast  = 64
)

// succeeds reports whether a successor's steps may be taken now.
func (a *actor) succeeds() bool {
	c := a.opt.Control()
	if c.Paused || !c.Training || a.stale || a.opt.Learning.Open() || a.heirs.making != nil || !a.outgrown() {
		return false
	}
	if a.heirs.parked != nil {
		return true
	}
	if n := a.model.Info().Lessons; a.heirs.kept > 0 {
		change := max(n-a.heirs.kept, a.heirs.kept-n)
		if change < max(keptLeast, a.heirs.kept/keptEnough) {
			return false
		}
	}
	return a.opt.Now().Sub(a.taught) >= a.opt.Quiet
}

// succeed goes on with the successor, or begins it. Its learner is made beside
// the actor: reading all lessons takes seconds where there are many.
func (a *actor) succeed(ctx context.Context) {
	if s := a.heirs.parked; s != nil {
		a.session, a.heirs.parked = s, nil
		return
	}
	known := a.model
	if known.Info().Lessons == 0 {
		a.replaceUntaught(ctx)
		return
	}
	s := &session{heir: true, covers: map[string]bool{}, began: a.opt.Now()}
	for i := range a.state.Fresh {
		s.covers[a.state.Fresh[i].Dataset] = true
	}
	pace := &pace{ctx: ctx, opt: a.opt}
	seed := a.opt.Model.Seed + uint64(len(a.lineage))
	out := make(chan made, 1)
	a.heirs.making = out
	a.opt.Log.Info("the settings ask for another model; it is trained from the stored lessons while this one serves",
		"now", known.Info().Architecture+" "+known.Info().Size, "next", a.opt.Model.Architecture+" "+a.opt.Model.Size, "lessons", known.Info().Lessons)
	go func() {
		pace.begin()
		err := guard(func() (err error) {
			s.learner, err = a.opt.Succeed(known, a.opt.Model, seed, pace.yield)
			return err
		})
		pace.settle()
		out <- made{s, pace, err}
	}()
}

// replaceUntaught puts a model of the other shape in the place of one that
// knows nothing.
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

// ready takes the successor's learner when it is made.
func (a *actor) ready(m made) {
	a.heirs.making = nil
	switch {
	case errors.Is(m.err, model.ErrNothing):
		a.keepOut("there is nothing to take gradient steps on")
	case m.err != nil:
		a.logPanic("make the learner of another model", m.err)
		a.opt.Log.Error("the model that the settings ask for cannot be trained", "error", m.err)
		a.keepOut(m.err.Error())
	default:
		m.session.pace = m.pace
		a.heirs.parked = m.session
	}
}

// keepOut notes that no successor is to be tried for now.
func (a *actor) keepOut(why string) {
	a.heirs.kept, a.heirs.keptWhy = max(a.model.Info().Lessons, 1), why
}

// park lets steps for jobs go first.
func (a *actor) park() {
	a.heirs.parked, a.session = a.session, nil
}

// dropSuccessor forgets what was done for a successor; the making of one is
// waited for.
func (a *actor) dropSuccessor() {
	if a.heirs.making != nil {
		<-a.heirs.making
	}
	a.heirs = succession{}
}

// noteSuccessor tells other goroutines how far the successor is.
func (a *actor) noteSuccessor() {
	if a.model == nil || !a.outgrown() {
		a.t.successor.Store(nil)
		return
	}
	n := Successor{Architecture: a.opt.Model.Architecture, Size: a.opt.Model.Size, State: SuccessorWaiting}
	s := a.heirs.parked
	if a.session != nil && a.session.heir {
		s, n.State = a.session, SuccessorTraining
	}
	switch {
	case s != nil:
		n.Done, n.Total = s.learner.Done(), s.learner.Total()
		if s.judging != nil {
			n.State = SuccessorJudging
		}
	case a.heirs.kept > 0:
		n.State, n.Why = SuccessorKeptOut, a.heirs.keptWhy
	}
	a.t.successor.Store(&n)
}
