package model

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/nexus-continuum/nexus/model/gate"
)

var costKnown = flag.Int("cost.known", 5_000, "lessons of the model that knows much; 50 000 for the record")

// BenchmarkJob measures what a job with 100 new lessons costs where 1 000 and
// where -cost.known are known, part by part in processor time, and prints the
// ratios. Two parts must grow with what is known: new weights encode every
// lesson anew, and a checkpoint of them holds every vector anew.
func BenchmarkJob(b *testing.B) {
	const few, fresh = 1_000, 100
	many := *costKnown
	for b.Loop() {
		small, large := costOf(b, few, fresh), costOf(b, many, fresh)
		var out strings.Builder
		fmt.Fprintf(&out, "| part | %d known, ms | %d known, ms | ratio |\n|---|---|---|---|\n", few, many)
		row := func(name string, s, l float64) {
			fmt.Fprintf(&out, "| %s | %.1f | %.1f | %.2f |\n", name, 1e3*s, 1e3*l, l/s)
		}
		var all, allLarge, linear, linearLarge float64
		for i, s := range small {
			l := large[i]
			row(s.part, s.seconds, l.seconds)
			all, allLarge = all+s.seconds, allLarge+l.seconds
			if s.linear {
				linear, linearLarge = linear+s.seconds, linearLarge+l.seconds
			}
		}
		row("all", all, allLarge)
		row("all but what must be linear", all-linear, allLarge-linearLarge)
		b.Logf("100 new lessons, processor time:\n%s", out.String())
		b.ReportMetric((allLarge-linearLarge)/(all-linear), "ratio")
		b.ReportMetric(allLarge/all, "ratio-with-linear")
	}
	b.ReportMetric(0, "ns/op")
}

// cost is the processor time of one part of a job.
type cost struct {
	part    string
	seconds float64
	linear  bool // it must grow with all that is known
}

// costOf has a model that knows so many lessons take in a job.
func costOf(b *testing.B, known, fresh int) (costs []cost) {
	b.Helper()
	m, err := New(Config{Seed: 1})
	if err != nil {
		b.Fatal(err)
	}
	all := spoken(known+fresh, 10)
	m, _ = m.Memorise(all[:known])
	// Trained weights are part of every checkpoint.
	if m, err = m.withWeights(m.weights, true); err != nil {
		b.Fatal(err)
	}
	part := func(name string, linear bool, f func()) {
		from := cpuSeconds(b)
		f()
		costs = append(costs, cost{name, cpuSeconds(b) - from, linear})
	}
	var l *Learner
	part("adding to memory", false, func() { m, _ = m.Memorise(all[known:]) })
	part("saving the lessons", false, func() { save(m) })
	part("choosing what to train on", false, func() { l, err = m.Learner(LearnOptions{Fresh: idsOf(all[known:]), Seed: 1}) })
	if err != nil {
		b.Fatal(err)
	}
	part("training", false, func() {
		for l.Done() < l.Total() {
			if _, err := l.Step(); err != nil {
				b.Fatal(err)
			}
		}
	})
	next := m
	part("encoding all lessons anew", true, func() {
		if next, err = m.withWeights(l.trainer.Weights(), true); err == nil {
			next = l.recode(next)
		}
	})
	if err != nil {
		b.Fatal(err)
	}
	var before, after []gate.Record
	part("judging old weights and new", false, func() { before, after = l.judge(m), l.judge(next) })
	part("calibrating both", false, func() {
		g := gate.Calibrate(before, m.cfg.TargetError)
		figures(g, before)
		next.gate = gate.Calibrate(after, m.cfg.TargetError)
		figures(next.gate, after)
	})
	part("saving the new weights", true, func() { save(next) })
	if err := l.trainer.Close(); err != nil {
		b.Fatal(err)
	}
	return costs
}

// save does with m what a checkpoint takes of the processor: the parts, and
// their digests.
func save(m *Model) (sum [sha256.Size]byte) {
	for _, p := range m.Parts() {
		sum = sha256.Sum256(p.Data)
	}
	return sum
}

// cpuSeconds is the processor time of this process, since a machine that is
// shared must not count.
func cpuSeconds(b *testing.B) float64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
