package learn

import (
	"context"
	"flag"
	"fmt"
	"math"
	"testing"

	"github.com/nexus-continuum/nexus/model/encoder"
	"github.com/nexus-continuum/nexus/model/flow"
	"github.com/nexus-continuum/nexus/model/text"
)

var besideTorch = flag.Bool("torch", false, "run our side of bench/torch/compare.py")

// BenchmarkBesideTorch is our side of bench/torch/compare.py: processor time of
// a training step of 64 prompts of CLINC150 and of one prompt of nine words.
func BenchmarkBesideTorch(b *testing.B) {
	if !*besideTorch {
		b.Skip("bench/torch/compare.py runs it")
	}
	for _, size := range []struct{ dim, buckets int }{{128, 1 << 15}, {256, 1 << 16}} {
		b.Run(fmt.Sprintf("step/d%d", size.dim), func(b *testing.B) {
			c := readCLINC(b, size.buckets)
			tr, err := New(flow.New(size.dim, size.buckets, 1), c.train, c.labels, nil, Options{Seed: 1})
			if err != nil {
				b.Fatal(err)
			}
			run := func(steps int) {
				for range steps {
					if _, err := tr.Step(context.Background()); err != nil {
						b.Fatal(err)
					}
				}
			}
			run(20) // graphs are compiled on first use
			const steps = 60
			for b.Loop() {
				began := cpuSeconds(b)
				run(steps)
				b.ReportMetric((cpuSeconds(b)-began)/steps*1e3, "cpu-ms/step")
			}
		})
		b.Run(fmt.Sprintf("prompt/d%d", size.dim), func(b *testing.B) {
			n, err := flow.New(size.dim, size.buckets, 1).Net(encoder.Options{})
			if err != nil {
				b.Fatal(err)
			}
			var p text.Prompt
			text.Reader{Buckets: uint32(size.buckets)}.Read(&p, "how do i reset the password of my account")
			h, s := make([]float32, size.dim), n.NewScratch()
			for b.Loop() {
				best := math.Inf(1)
				for range 20 {
					const prompts = 200
					began := cpuSeconds(b)
					for range prompts {
						n.Encode(&p, h, s)
					}
					best = min(best, (cpuSeconds(b)-began)/prompts)
				}
				b.ReportMetric(best*1e6, "cpu-µs/prompt")
			}
		})
	}
}
