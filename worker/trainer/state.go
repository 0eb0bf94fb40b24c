package trainer

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/storage"
)

// statePart is the part of a checkpoint in which the trainer notes what it has
// still to do. The model does not know it.
const statePart = "trainer.json"

// state is what the trainer must remember beyond a crash.
type state struct {
	// Fresh are the datasets that memory holds and gradient steps have not seen.
	Fresh []entry `json:"fresh"`
	// Figures of the weights that serve, once judged.
	Figures *job.Figures `json:"figures,omitempty"`
	// Recent are the results of the last consolidations.
	Recent []job.Trained `json:"recent,omitempty"`
	// Panics counts how often learning a dataset panicked.
	Panics map[string]int `json:"panics,omitempty"`
	// Aside are the datasets that were set aside for it, oldest first.
	Aside []SetAside `json:"aside,omitempty"`
}

// entry is one dataset that was memorised.
type entry struct {
	Dataset string      `json:"dataset"`
	At      time.Time   `json:"at"`
	Taken   int         `json:"taken"`
	Known   int         `json:"known"`
	Removed int         `json:"removed"`
	Skipped int         `json:"skipped"`
	Faults  []job.Fault `json:"faults,omitempty"`
	// Contradictions are the first of them, Contradicted how many there were.
	Contradictions []job.Contradiction `json:"contradictions,omitempty"`
	Contradicted   int                 `json:"contradicted,omitempty"`

	// lessons are the ids of what was taught; read again after a restart.
	lessons []string
	// judged says that the dataset held judgements, and why what came of them.
	judged bool
	why    string
}

// maxNoted bounds the faults and contradictions that one entry keeps.
const maxNoted = 100

func (s state) part() (storage.Part, error) {
	b, err := json.Marshal(s)
	if err != nil {
		return storage.Part{}, fmt.Errorf("write the trainer's state: %w", err)
	}
	return storage.Part{Name: statePart, Data: b}, nil
}

// splitState takes the trainer's part out of a checkpoint's parts. A checkpoint
// without one has nothing left to do.
func splitState(parts []storage.Part) (state, []storage.Part, error) {
	var s state
	i := slices.IndexFunc(parts, func(p storage.Part) bool { return p.Name == statePart })
	if i < 0 {
		return s, parts, nil
	}
	if err := json.Unmarshal(parts[i].Data, &s); err != nil {
		return state{}, nil, fmt.Errorf("read the trainer's state: %w", err)
	}
	return s, slices.Delete(slices.Clone(parts), i, i+1), nil
}

// without returns s less the datasets in done.
func (s state) without(done map[string]bool) state {
	s.Fresh = slices.DeleteFunc(slices.Clone(s.Fresh), func(e entry) bool { return done[e.Dataset] })
	return s
}

// with returns s with more entries.
func (s state) with(more []entry) state {
	s.Fresh = slices.Concat(s.Fresh, more)
	return s
}

// countPanic returns s with one more panic of a dataset.
func (s state) countPanic(dataset string) state {
	s.Panics = maps.Clone(s.Panics)
	if s.Panics == nil {
		s.Panics = map[string]int{}
	}
	s.Panics[dataset]++
	return s
}

// setAside returns s with one more dataset set aside.
func (s state) setAside(one SetAside) state {
	s.Panics = maps.Clone(s.Panics)
	delete(s.Panics, one.Dataset)
	s.Aside = append(slices.Clone(s.Aside), one)
	s.Aside = s.Aside[max(0, len(s.Aside)-maxAside):]
	return s
}

// aside finds a dataset that was set aside.
func (s state) aside(dataset string) (SetAside, bool) {
	i := slices.IndexFunc(s.Aside, func(one SetAside) bool { return one.Dataset == dataset })
	if i < 0 {
		return SetAside{}, false
	}
	return s.Aside[i], true
}

func (s state) find(dataset string) (entry, bool) {
	i := slices.IndexFunc(s.Fresh, func(e entry) bool { return e.Dataset == dataset })
	if i < 0 {
		return entry{}, false
	}
	return s.Fresh[i], true
}

// lessons counts what gradient steps have not seen.
func (s state) lessons() int {
	n := 0
	for _, e := range s.Fresh {
		n += e.Taken
	}
	return n
}

// forgets reports whether nothing of a dataset was to be kept in memory: it unlearned.
func (e entry) forgets() bool { return e.Removed > 0 || e.Taken+e.Known == 0 }

// result begins the result of the job that brought the dataset.
func (e entry) result(spec job.Spec) job.Trained {
	return job.Trained{
		Dataset: spec.Dataset, Topic: spec.Topic,
		LessonsTaken: e.Taken, LessonsKnown: e.Known, LessonsRemoved: e.Removed, LessonsSkipped: e.Skipped,
		Skipped: e.Faults, Contradictions: e.Contradictions, ContradictionsTotal: e.Contradicted,
	}
}
