package model

import (
	"slices"
	"testing"

	"github.com/nexus-continuum/nexus/model/encoder"
	"github.com/nexus-continuum/nexus/model/text"
)

// BenchmarkIteration brings the test prompts of CLINC150 to their equilibrium
// under one set of trained weights, by plain iteration, by Anderson
// acceleration from the second step on, and as is done by default. The cosine
// is the least one to where plain iteration ends.
func BenchmarkIteration(b *testing.B) {
	parts := readCLINC(b)
	m := parts.taught(b, 1)
	prompts := make([]text.Prompt, len(parts[*clincPart]))
	for i, row := range parts[*clincPart] {
		m.reader().Read(&prompts[i], row[0])
	}
	plain := make([][]float32, len(prompts))
	for _, c := range []struct {
		name string
		opt  encoder.Options
	}{
		{"plain", encoder.Options{PlainSteps: encoder.DefaultMaxSteps}},
		{"default", encoder.Options{}},
		{"anderson", encoder.Options{PlainSteps: 1}},
	} {
		b.Run(c.name, func(b *testing.B) {
			e, err := m.weights.Encoder(c.opt)
			if err != nil {
				b.Fatal(err)
			}
			s, h := e.NewScratch(), make([]float32, e.Dim())
			depths := make([]int, len(prompts))
			least, converged := 1.0, 0
			var seconds float64
			for b.Loop() {
				least, converged = 1, 0
				from := cpuSeconds(b)
				for i := range prompts {
					info := e.Encode(&prompts[i], h, s)
					depths[i] = info.Depth
					if info.Converged {
						converged++
					}
				}
				seconds = cpuSeconds(b) - from
				for i := range prompts {
					e.Encode(&prompts[i], h, s)
					if plain[i] == nil {
						plain[i] = slices.Clone(h)
					}
					dot := 0.0
					for j, x := range h {
						dot += float64(x) * float64(plain[i][j])
					}
					least = min(least, dot)
				}
			}
			slices.Sort(depths)
			b.ReportMetric(float64(depths[len(depths)/2]), "depth")
			b.ReportMetric(float64(depths[len(depths)*99/100]), "depth-99%")
			b.ReportMetric(float64(depths[len(depths)-1]), "depth-most")
			b.ReportMetric(100*float64(converged)/float64(len(prompts)), "%converged")
			b.ReportMetric(1e6*seconds/float64(len(prompts)), "cpu-µs/prompt")
			b.ReportMetric(least, "least-cosine")
			b.ReportMetric(0, "ns/op")
		})
	}
}
