//go:build unix

package governor_test

import (
	"context"
	"os/exec"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/worker/governor"
)

// Training beside a program that takes all it can get: what it measures as
// share must be what it was allowed.
func BenchmarkShareBesideABusyNeighbour(b *testing.B) {
	const limit, span = 20, 3 * time.Second
	sampler, err := governor.NewSystem()
	if err != nil {
		b.Fatal(err)
	}
	defer sampler.Close()
	g, err := governor.New(governor.Options{Sampler: sampler, Limits: governor.Limits{IdleCPU: limit}})
	if err != nil {
		b.Fatal(err)
	}
	if err := g.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = g.Stop(context.Background()) }()
	neighbour := exec.CommandContext(b.Context(), "sh", "-c", "while :; do :; done")
	if err := neighbour.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() { _, _ = neighbour.Process.Kill(), neighbour.Wait() }()

	var took, passed float64
	for b.Loop() {
		began := time.Now()
		first, _ := governor.CPUTime()
		for last := first; time.Since(began) < span; {
			if p := g.Permit(); p.Wait > 0 {
				<-time.After(p.Wait)
				continue
			}
			for slice := time.Now(); time.Since(slice) < 10*time.Millisecond; {
				continue
			}
			now, _ := governor.CPUTime()
			g.Spent(now - last)
			last = now
		}
		now, _ := governor.CPUTime()
		took += (now - first).Seconds()
		passed += time.Since(began).Seconds() * g.State().Cores
	}
	share := 100 * took / passed
	b.ReportMetric(share, "%share")
	if share > limit+5 {
		b.Errorf("training took %.1f %% of the machine, allowed are %d", share, limit)
	}
}
