package trainer

import (
	"slices"
	"strings"
	"time"
)

// Absent is a dataset that has a job but is not in the shared storage: the host
// that received the lessons has not uploaded them, or is gone together with its
// data folder.
type Absent struct {
	Dataset string
	Since   time.Time // first seen to be absent
	last    time.Time // of the last try
}

// absentFor is how long after its last try a dataset is still reported. Its job
// is tried again every storageFor; a job that was canceled is not.
const absentFor = time.Minute

// Absent returns the datasets that jobs wait for, oldest first.
func (t *Trainer) Absent() []Absent {
	list := t.absent.Load()
	if list == nil {
		return nil
	}
	recent := t.opt.Now().Add(-absentFor)
	return slices.DeleteFunc(slices.Clone(*list), func(a Absent) bool { return a.last.Before(recent) })
}

// noteAbsent publishes that a dataset was looked for in vain, or found.
func (a *actor) noteAbsent(dataset string, found bool) {
	before := a.t.absent.Load()
	if found && before == nil {
		return
	}
	now := a.opt.Now()
	one := Absent{Dataset: dataset, Since: now, last: now}
	var list []Absent
	if before != nil {
		for _, was := range *before {
			switch {
			case was.Dataset == dataset:
				one.Since = was.Since
			case was.last.Add(absentFor).After(now):
				list = append(list, was)
			}
		}
	}
	if !found {
		list = append(list, one)
		slices.SortFunc(list, func(a, b Absent) int { return strings.Compare(a.Dataset, b.Dataset) })
	}
	a.t.absent.Store(&list)
}
