package queue

import (
	"context"
	"encoding/json"
	"time"

	"github.com/nexus-continuum/nexus/job"
)

const (
	// orphansEvery is how many times a worker's liveness lies between two looks
	// for records without a task: they are rare.
	orphansEvery = 5
	orphansMost  = 10_000
)

// adopt gives records that lost their task a new one.
func (s *Server) adopt(ctx context.Context) {
	k := s.keys
	rctx, cancel := s.q.patience(ctx)
	defer cancel()
	every := time.Duration(orphansEvery) * s.q.opt.Liveness
	got, err := s.q.scripts.orphans.Run(rctx, s.q.redis,
		[]string{k.own + "orphans", k.stateIndex(job.StateQueued), k.stateIndex(job.StateRunning)},
		k.own, k.tasks(), every.Milliseconds(), orphansMost).StringSlice()
	if err != nil {
		return
	}
	for i := 0; i+1 < len(got); i += 2 {
		var spec job.Spec
		if err := json.Unmarshal([]byte(got[i+1]), &spec); err != nil || spec.ID != got[i] {
			s.q.opt.Log.Error("a record cannot be read", "job", got[i], "error", err)
			continue
		}
		s.q.opt.Log.Warn("a job had lost its task; it is queued again", "job", spec.ID, "lane", s.lane)
		if _, err := s.q.put(ctx, parcel{Spec: spec}, forRecord); err != nil {
			s.q.opt.Log.Error("a job that lost its task could not be queued again", "job", spec.ID, "error", err)
		}
	}
}
