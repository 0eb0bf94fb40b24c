package queue

import (
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/job"
)

func TestAHeldServerTakesNothingAndSaysWhy(t *testing.T) {
	eachMode(t, func(t *bundle) {
		g := newGate()
		q := t.open(Options{})
		s := t.serve(q, job.LaneBatch, 4, g.handle)
		first := t.submit(interact("runs already")).ID
		<-g.started
		const why = "governor: memory"
		if err := s.Pause(t.ctx, why); err != nil {
			t.Fatal(err)
		}
		waits := t.submit(interact("waits")).ID
		if lane := t.lane(job.LaneBatch); lane.PausedWhy != why || lane.Paused || lane.Pending != 1 || lane.Active != 1 {
			t.Errorf("lane %+v", lane)
		}
		j, err := t.q.Job(t.ctx, waits)
		if err != nil || j.WaitingFor == nil || *j.WaitingFor != why || j.QueuePosition == nil {
			t.Errorf("the job that waits: %+v, %v", j, err)
		}
		g.let <- job.Answer{}
		t.untilState(first, job.StateSucceeded)
		if n := len(g.started); n != 0 {
			t.Errorf("a held server took %d jobs", n)
		}
		for range 2 {
			if err := s.Pause(t.ctx, ""); err != nil {
				t.Fatal(err)
			}
		}
		<-g.started
		g.let <- job.Answer{}
		t.untilState(waits, job.StateSucceeded)
		if lane := t.lane(job.LaneBatch); lane.PausedWhy != "" {
			t.Errorf("lane %+v", lane)
		}
	})
}

func TestJobsThatRestForAReasonRunWhenItIsGone(t *testing.T) {
	eachMode(t, func(t *bundle) {
		const why = "learning is paused"
		g := newGate()
		t.serve(t.open(Options{}), job.LaneBatch, 4, g.handle)
		id := t.submit(interact("hand me back")).ID
		<-g.started
		g.let <- HandBack(why, time.Hour)
		t.until("the job rests", func() bool { return t.lane(job.LaneBatch).Delayed == 1 })
		if err := t.q.EndRest(t.ctx, job.LaneBatch, "another reason"); err != nil {
			t.Fatal(err)
		}
		if lane := t.lane(job.LaneBatch); lane.Delayed != 1 {
			t.Errorf("the end of another reason ended its rest: %+v", lane)
		}
		if err := t.q.EndRest(t.ctx, job.LaneBatch, why); err != nil {
			t.Fatal(err)
		}
		<-g.started
		g.let <- job.Answer{}
		if j := t.untilState(id, job.StateSucceeded); j.Attempts != 1 {
			t.Errorf("the rest cost %d attempts", j.Attempts-1)
		}
	})
}
