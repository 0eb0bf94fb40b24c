package scheduler

import (
	"context"
	"sync"
	"time"

	"github.com/nexus-continuum/nexus/internal/lifecycle"
	"github.com/nexus-continuum/nexus/job"
)

const (
	lookEvery   = 2 * time.Second
	upkeepAgain = 5 * time.Second
	// laneEvery is how often the lane is checked while the control record does not
	// change. It must be, because an emptied Redis forgets the pause.
	laneEvery = 10 * time.Second
)

// campaign waits for the leader's lease and leads while it is held.
func (s *Scheduler) campaign(ctx context.Context) {
	lease := s.opt.Queue.Lease(job.LeaseLeader, s.opt.LeaseTTL)
	for ctx.Err() == nil {
		if token, held, err := lease.Acquire(ctx); err == nil && held {
			s.leading.Store(true)
			s.opt.Log.Info("this scheduler leads", "token", token)
			s.lead(ctx, token, lease.Lost())
			s.leading.Store(false)
			release, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			if err := lease.Release(release); err != nil {
				s.opt.Log.Warn("the leader's lease could not be released; it runs out by itself", "error", err)
			}
			cancel()
		}
		select {
		case <-ctx.Done():
		case <-time.After(min(s.opt.LeaseTTL/3, time.Second)):
		}
	}
}

// lead does every task once and then each at its time, until ctx ends or the lease is
// lost.
func (s *Scheduler) lead(ctx context.Context, token int64, lost <-chan struct{}) {
	ctx, cancel := context.WithCancel(ctx)
	var beside sync.WaitGroup
	defer beside.Wait()
	defer cancel()
	beside.Go(func() {
		if err := s.opt.Queue.Reconcile(ctx, token); err != nil {
			s.opt.Log.Warn("this scheduler leads no longer", "error", err)
			cancel()
		}
	})
	beside.Go(func() { s.keepUpkeep(ctx) })
	messages := s.opt.Queue.Subscribe(ctx, job.ChannelControl)
	look, sweep, usage := time.NewTicker(lookEvery), time.NewTicker(s.opt.SweepEvery), time.NewTicker(usageEvery)
	defer func() {
		for _, t := range []*time.Ticker{look, sweep, usage} {
			t.Stop()
		}
	}()
	s.applied, s.kept = nil, nil // another may have led since
	s.do(ctx, "keep how often lessons answered", s.usage)
	s.do(ctx, "apply the control record", s.control)
	sweepNow := func() {
		s.do(ctx, "look for lessons without a job", s.sweep)
		// Datasets that were too young are checked again as soon as they are old
		// enough: after a crash without a durable Redis their jobs are already gone.
		next := s.opt.SweepEvery
		if s.young {
			next = min(next, s.opt.Young)
		}
		sweep.Reset(next)
	}
	sweepNow()
	for {
		select {
		case <-ctx.Done():
			return
		case <-lost:
			return
		case msg, ok := <-messages:
			if !ok {
				messages = nil
				continue
			}
			if msg != job.MessageSave && msg != job.MessageRecalibrate {
				s.do(ctx, "apply the control record", s.control)
			}
		case <-look.C:
			s.do(ctx, "apply the control record", s.control)
		case <-sweep.C:
			sweepNow()
		case <-usage.C:
			s.do(ctx, "keep how often lessons answered", s.usage)
		}
	}
}

// keepUpkeep runs the periodic tasks until ctx ends.
func (s *Scheduler) keepUpkeep(ctx context.Context) {
	for ctx.Err() == nil {
		if err := s.upkeep(ctx); err != nil && ctx.Err() == nil {
			s.opt.Log.Error("the periodic tasks do not run; trying again", "error", err)
		}
		lifecycle.Sleep(ctx, upkeepAgain)
	}
}

// do runs one task. A failed task is tried again at its next time.
func (s *Scheduler) do(ctx context.Context, what string, task func(context.Context) error) {
	if err := task(ctx); err != nil && ctx.Err() == nil {
		s.opt.Log.Warn("the scheduler could not "+what+"; it tries again", "error", err)
	}
}

// control makes the train lane match the control record, because Redis may have been
// emptied or the message lost.
func (s *Scheduler) control(ctx context.Context) error {
	c, err := s.opt.Control.Read(ctx)
	if err != nil {
		return err
	}
	if s.applied != nil && *s.applied == c.Paused && s.opt.Now().Sub(s.appliedAt).Abs() < laneEvery {
		return nil
	}
	lanes, err := s.opt.Queue.Lanes(ctx)
	if err != nil {
		return err
	}
	for _, l := range lanes {
		if l.Name != job.LaneTrain || l.Paused == c.Paused {
			continue
		}
		if !c.Paused && l.PausedByTool {
			continue // an operator's hand in asynq's tools; the health tells of it
		}
		reason := ""
		if c.Paused {
			reason = job.WhyPausedBy(c.PausedBy)
		}
		if err := s.opt.Queue.PauseLane(ctx, job.LaneTrain, c.Paused, reason); err != nil {
			return err
		}
		s.opt.Log.Info("train lane follows the control record", "paused", c.Paused)
	}
	s.applied, s.appliedAt = &c.Paused, s.opt.Now()
	return nil
}

// save asks the trainer for a checkpoint. The trainer makes one if anything has
// changed.
func (s *Scheduler) save(ctx context.Context) error {
	return s.opt.Queue.Publish(ctx, job.ChannelControl, job.MessageSave)
}
