package learn

import (
	"context"
	"slices"
	"testing"

	"github.com/nexus-continuum/nexus/model/base"
	"github.com/nexus-continuum/nexus/model/encoder"
	"github.com/nexus-continuum/nexus/model/flow"
)

// BenchmarkSolver trains and asks CLINC150, flowing small, with each way to
// bring the gradient through the fixed point and each way to find it, from
// scratch and from the base. Accuracy and AUROC are those of the prototypes;
// of seconds trust the ratio to the first case, which is what ships.
func BenchmarkSolver(b *testing.B) {
	const dim, buckets = 128, 1 << 15
	for _, start := range []string{"scratch", "base"} {
		for _, s := range []solver{
			{"phantom", Options{}},
			{"implicit", Options{Gradient: Implicit}},
			{"plain", Options{PlainSteps: encoder.DefaultMaxSteps}},
			{"anderson", Options{PlainSteps: 1}},
		} {
			b.Run(start+"/"+s.name, func(b *testing.B) {
				c := readCLINC(b, buckets)
				for b.Loop() {
					s.solve(b, c, func(seed uint64) *flow.Weights {
						w := flow.New(dim, buckets, seed)
						if start == "base" {
							if err := base.For("small").Into(w); err != nil {
								b.Fatal(err)
							}
						}
						return w
					}).report(b)
				}
			})
		}
	}
}

// solver is a way to find the fixed point and to bring the gradient through it.
type solver struct {
	name string
	opt  Options
}

// solved are the figures of a solver, means over the seeds.
type solved struct {
	figures
	deep             float64 // depth that 99 % of the prompts stay within
	training, prompt float64 // CPU seconds
}

func (s solved) report(b *testing.B) {
	b.Helper()
	b.ReportMetric(100*s.by[0].right, "%right")
	b.ReportMetric(s.by[0].auroc, "AUROC")
	b.ReportMetric(100*s.by[0].refused, "%refused@90")
	b.ReportMetric(s.training, "cpu-s/training")
	b.ReportMetric(1e6*s.prompt, "cpu-µs/prompt")
	b.ReportMetric(s.depth, "depth")
	b.ReportMetric(s.deep, "depth-99%")
	b.ReportMetric(100*s.converged, "%converged")
	b.ReportMetric(0, "ns/op")
}

func (s *solver) solve(b *testing.B, c *clinc, start func(seed uint64) *flow.Weights) solved {
	b.Helper()
	sum := solved{figures: figures{by: make([]scored, 1)}}
	n := float64(*clincSeeds)
	for seed := range uint64(*clincSeeds) {
		opt := s.opt
		opt.Seed = seed + 1
		from := cpuSeconds(b)
		tr, err := New(start(seed+1), c.train, c.labels, nil, opt)
		if err != nil {
			b.Fatal(err)
		}
		for tr.Done() < tr.Total() {
			if _, err := tr.Step(context.Background()); err != nil {
				b.Fatal(err)
			}
		}
		w := tr.Weights()
		sum.training += (cpuSeconds(b) - from) / n
		enc, err := w.Encoder(encoder.Options{PlainSteps: opt.PlainSteps})
		if err != nil {
			b.Fatal(err)
		}
		f := c.measure(b, enc, tr.Prototypes())
		sum.by[0].right += f.by[0].right / n
		sum.by[0].auroc += f.by[0].auroc / n
		sum.by[0].refused += f.by[0].refused / n
		sum.converged += f.converged / n
		sum.depth += f.depth / n
		deep, prompt := c.pace(b, enc)
		sum.deep += deep / n
		sum.prompt += prompt / n
		if err := tr.Close(); err != nil {
			b.Fatal(err)
		}
	}
	return sum
}

// pace is the depth that 99 % of the asked prompts stay within, and the
// processor time of one.
func (c *clinc) pace(b *testing.B, enc encoder.Encoder) (deep, seconds float64) {
	b.Helper()
	h, scratch := make([]float32, enc.Dim()), enc.NewScratch()
	depths := make([]int, len(c.asked))
	from := cpuSeconds(b)
	for i := range c.asked {
		depths[i] = enc.Encode(&c.asked[i].Prompt, h, scratch).Depth
	}
	seconds = (cpuSeconds(b) - from) / float64(len(c.asked))
	slices.Sort(depths)
	return float64(depths[len(depths)*99/100]), seconds
}
