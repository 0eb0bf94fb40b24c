package main

import (
	"encoding/json"
	"fmt"
	"os/exec"
	goruntime "runtime"
	"strings"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/worker/governor"
)

// BenchmarkTrainingShare measures what training takes of the machine, for limits
// that it could well exceed alone, beside programs that take all they can get.
// It fails if that is more than five points above the limit; less is the
// neighbour's doing where the cores are not enough for both.
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
			for b.Loop() {
				began := time.Now()
				first, ok := governor.CPUTime()
				if !ok {
					b.Skip("this system does not tell the CPU time of a process")
				}
				<-time.After(8 * time.Second)
				last, _ := governor.CPUTime()
				used += last - first
				wall += time.Since(began)
			}
			if phase := s.phase(id); phase != "consolidating" {
				b.Fatalf("training was over too early: %s", phase)
			}
			share := 100 * used.Seconds() / wall.Seconds() / float64(goruntime.NumCPU())
			b.ReportMetric(share, "%share")
			if share > float64(limit+5) {
				b.Errorf("training took %.1f %% of the machine, allowed are %d", share, limit)
			}
		})
	}
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
