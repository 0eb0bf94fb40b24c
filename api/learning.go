package api

import (
	"context"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/queue"
)

// States of learning.
const (
	learningRuns    = "learning" // a train job runs
	learningWaits   = "waiting"  // the next train job has not started
	learningPaused  = "paused"
	learningStopped = "stopped" // lessons are memorised, gradient steps rest
	learningIdle    = "idle"    // there is nothing to learn
)

// learning describes what the cluster is learning now. It contains no words of a
// lesson, so everyone who may read the status may read it.
type learning struct {
	State      string  `json:"state"`
	JobID      *string `json:"job_id"`
	Topic      *string `json:"topic"`
	Phase      *string `json:"phase"`
	Done       int     `json:"done"`
	Total      int     `json:"total"`
	WaitingFor *string `json:"waiting_for"`
	Queued     int64   `json:"queued"`
}

// lookForFeed returns what watchers are shown.
func (s *Server) lookForFeed(ctx context.Context) (status, learning, error) {
	v := s.status.view(ctx)
	return s.statusOf(v), s.learningOf(ctx, v), nil
}

// learningOf reads the train job that runs, or the first that waits. An empty lane is
// not read.
func (s *Server) learningOf(ctx context.Context, v view) learning {
	l := learning{State: learningIdle}
	switch {
	case v.control.Paused:
		l.State = learningPaused
	case v.hasStore() && !v.control.Training:
		l.State = learningStopped
	}
	var active, queued int64
	for _, lane := range v.lanes {
		if lane.Name == job.LaneTrain {
			active, queued = lane.Active, lane.Pending+lane.Delayed
		}
	}
	l.Queued = queued
	for _, state := range []job.State{job.StateRunning, job.StateQueued} {
		if state == job.StateRunning && active == 0 || state == job.StateQueued && queued == 0 {
			continue
		}
		jobs, _, err := s.queue.Jobs(ctx, queue.Filter{Kind: job.KindTrain, State: state, Limit: 1})
		if err != nil || len(jobs) == 0 {
			continue
		}
		j := jobs[0]
		l.JobID, l.Topic, l.Phase = &j.ID, optional(j.Topic), optional(j.Progress.Phase)
		l.Done, l.Total, l.WaitingFor = j.Progress.Done, j.Progress.Total, j.WaitingFor
		if state == job.StateRunning {
			l.State = learningRuns
		} else if l.State == learningIdle {
			l.State = learningWaits
		}
		return l
	}
	return l
}

// hasStore reports whether the control record was ever read.
func (v view) hasStore() bool { return v.store == nil && !v.storeAt.IsZero() }
