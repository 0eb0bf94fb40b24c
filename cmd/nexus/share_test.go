package main

import (
	"encoding/json"
	"fmt"
	"os/exec"
	goruntime "runtime"
	"strings"
	"testing"
	"time"

	"github.com/shirou/gopsutil/v4/cpu"

	"github.com/nexus-continuum/nexus/worker/governor"
)

// BenchmarkTrainingShare measures what training takes of the machine, for limits
// that it could well exceed alone, beside programs that take all they can get.
// It fails if that is more than five points above the limit, or as much below
// it although the machine was idle for longer than training fell short.
func BenchmarkTrainingShare(b *testing.B) {
	for _, limit := range []int{10, 25} {
		b.Run(fmt.Sprintf("limit=%d", limit), func(b *testing.B) {
			s := startSystem(b, false, fmt.Sprintf("NEXUS_IDLE_CPU_LIMIT=%d", limit), fmt.Sprintf("NEXUS_ACTIVE_CPU_LIMIT=%d", limit))
			defer s.stop()
			id := s.consolidates()
			neighbour := exec.CommandContext(b.Context(), "sh", "-c", "while :; do :; done")
			if err := neighbour.Start(); err != nil {
				b.Fatal(err)
			}
			defer func() { _, _ = neighbour.Process.Kill(), neighbour.Wait() }()
			var used, wall time.Duration
			var idle float64 // seconds of CPU that nobody wanted
			for b.Loop() {
				began := time.Now()
				first, ok := governor.CPUTime()
				if !ok {
					b.Skip("this system does not tell the CPU time of a process")
				}
				spare := idleSeconds(b)
				<-time.After(8 * time.Second)
				idle += idleSeconds(b) - spare
				last, _ := governor.CPUTime()
				used += last - first
				wall += time.Since(began)
			}
			if phase := s.phase(id); phase != "consolidating" {
				b.Fatalf("training was over too early: %s", phase)
			}
			machine := wall.Seconds() * float64(goruntime.NumCPU())
			share, free := 100*used.Seconds()/machine, 100*idle/machine
			b.ReportMetric(share, "%share")
			b.ReportMetric(free, "%idle")
			if share < float64(limit-5) && share+free > float64(limit) {
				b.Errorf("training took %.1f %% of the machine and left %.1f %% idle, allowed are %d", share, free, limit)
			}
			if share > float64(limit+5) {
				b.Errorf("training took %.1f %% of the machine, allowed are %d", share, limit)
			}
		})
	}
}

// idleSeconds is how long the machine's cores had nothing to do.
func idleSeconds(b *testing.B) float64 {
	b.Helper()
	all, err := cpu.TimesWithContext(b.Context(), false)
	if err != nil || len(all) != 1 {
		b.Fatalf("read the times of the CPU: %v, %v", all, err)
	}
	return all[0].Idle + all[0].Iowait
}

// consolidates teaches a pack and waits for its gradient steps.
func (s *system) consolidates() (id string) {
	s.b.Helper()
	res, err := s.client.Post(s.url+"/api/control", "application/json", strings.NewReader(`{"action":"train_start","topic":"general_knowledge"}`))
	if err != nil {
		s.b.Fatal(err)
	}
	defer res.Body.Close()
	var started struct {
		ID string `json:"job_id"`
	}
	if err := json.NewDecoder(res.Body).Decode(&started); err != nil || started.ID == "" {
		s.b.Fatalf("train_start: %v", err)
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(2 * time.Minute)
	for s.phase(started.ID) != "consolidating" {
		select {
		case <-tick.C:
		case <-limit:
			s.b.Fatal("no gradient steps are taken")
		}
	}
	return started.ID
}

func (s *system) phase(id string) string {
	res, err := s.client.Get(s.url + "/api/jobs/" + id)
	if err != nil {
		s.b.Fatal(err)
	}
	defer res.Body.Close()
	var j task
	if err := json.NewDecoder(res.Body).Decode(&j); err != nil {
		s.b.Fatal(err)
	}
	return j.Progress.Phase
}
