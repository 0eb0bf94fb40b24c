package trainer

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/queue"
)

// A panic while learning must not end the process: it answers prompts too. It
// becomes an error of the work that panicked, and a dataset that keeps causing
// panics is set aside.

// panicError is a panic that was recovered.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// guard runs f and returns its panic, if it panics, as an error.
func guard(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &panicError{v, debug.Stack()}
		}
	}()
	return f()
}

// maxPanics is how many panics a dataset may cause before it is set aside. It
// is also how often the queue runs a job whose error may pass.
const maxPanics = 3

// SetAside is a dataset that is not learned any further, because learning it
// panicked maxPanics times.
type SetAside struct {
	Dataset string `json:"dataset"`
	// Phase is job.PhaseMemorising: its lessons do not answer, or
	// job.PhaseConsolidating: they answer from memory, without gradient steps.
	Phase string    `json:"phase"`
	Why   string    `json:"why"`
	At    time.Time `json:"at"`
}

const (
	// maxAside bounds how many datasets that were set aside are remembered.
	maxAside = 32
	// asideShown is how long they are reported in health.
	asideShown = 7 * 24 * time.Hour
)

// SetAside returns the datasets that were set aside in the last seven days.
func (t *Trainer) SetAside() []SetAside {
	if list := t.aside.Load(); list != nil {
		return *list
	}
	return nil
}

// noteAside publishes what was set aside to other goroutines.
func (a *actor) noteAside() {
	oldest := a.opt.Now().Add(-asideShown)
	list := slices.DeleteFunc(slices.Clone(a.state.Aside), func(s SetAside) bool { return s.At.Before(oldest) })
	a.t.aside.Store(&list)
}

// logPanic logs a recovered panic with its stack.
func (a *actor) logPanic(doing string, err error) {
	if p, ok := errors.AsType[*panicError](err); ok {
		a.opt.Log.Error("learning panicked; the process goes on", "doing", doing, "panic", p.value, "stack", string(p.stack))
	}
}

// memorisingPanicked deals with a dataset whose lessons could not be memorised
// because that panicked.
func (a *actor) memorisingPanicked(ctx context.Context, dataset string, jobs []*request, err error) {
	a.logPanic("memorise dataset "+dataset, err)
	if a.countPanic(dataset) < maxPanics {
		for _, r := range jobs {
			r.end(job.Trained{}, queue.Retryable(panicked(err)))
		}
		return
	}
	st := a.state.setAside(SetAside{Dataset: dataset, Phase: job.PhaseMemorising, Why: err.Error(), At: a.opt.Now()})
	// The lineage names the dataset, so that no sweep makes another job for it.
	if err := a.save(ctx, a.model, st, []string{dataset}, "set a dataset aside"); err != nil {
		a.unsaved(jobs, err)
		return
	}
	for _, r := range jobs {
		r.end(job.Trained{}, asideError(st.Aside[len(st.Aside)-1]))
	}
}

// consolidatingPanicked counts a panic against the datasets that a session
// covers, and takes those off the list of what wants gradient steps that have
// had too many. It returns the error for the session's jobs.
func (a *actor) consolidatingPanicked(s *session, err error) error {
	a.logPanic("take gradient steps", err)
	if s.replaces {
		a.keepOut("training it panicked: " + err.Error())
		return err
	}
	var last *SetAside
	for id := range s.covers {
		if a.countPanic(id) < maxPanics {
			continue
		}
		last = &SetAside{Dataset: id, Phase: job.PhaseConsolidating, Why: err.Error(), At: a.opt.Now()}
		a.state = a.state.without(map[string]bool{id: true}).setAside(*last)
	}
	a.dirty = true
	if last == nil {
		return queue.Retryable(panicked(err))
	}
	a.t.unsaved.Store(true) // saved in the next turn
	return asideError(*last)
}

// countPanic counts a panic against a dataset.
func (a *actor) countPanic(dataset string) int {
	a.state = a.state.countPanic(dataset)
	a.dirty = true
	return a.state.Panics[dataset]
}

func panicked(err error) error {
	return job.Errorf(job.CodeInternal, "learning these lessons failed: %s", job.Clip(err.Error(), maxWhy)).Because(err)
}

// maxWhy bounds the characters of a panic that are shown.
const maxWhy = 300

// asideError is what the job of a dataset that was set aside ends with.
func asideError(s SetAside) *job.Error {
	why := job.Clip(s.Why, maxWhy)
	if s.Phase == job.PhaseConsolidating {
		return job.Errorf(job.CodeInternal, "the lessons of dataset %s answer from memory, but gradient steps over them failed %d times and are not tried again: %s", s.Dataset, maxPanics, why)
	}
	return job.Errorf(job.CodeInternal, "dataset %s was set aside, because learning it failed %d times: %s. Its lessons do not answer; correct them and teach them again", s.Dataset, maxPanics, why)
}
