package base_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nexus-continuum/nexus/model/encoder"
	"github.com/nexus-continuum/nexus/model/flow"
	"github.com/nexus-continuum/nexus/model/text"
)

// evenMix is the place, among the mixes, of half the mean and half the nearest
// exemplar.
const evenMix = mixes / 2

// BenchmarkFewLessons reports how many of the prompts of HWU64's train part
// (Liu et al., 1903.05566) a base gets right by 1, 5 and 10 others of each
// answer, before any training, over four draws. It runs only where
// NEXUS_BENCH_DATA names a folder that holds hwu64/train.tsv.
func BenchmarkFewLessons(b *testing.B) {
	dir := os.Getenv("NEXUS_BENCH_DATA")
	if dir == "" {
		b.Skip("set NEXUS_BENCH_DATA to the folder that holds hwu64/")
	}
	raw, err := os.ReadFile(filepath.Join(dir, "hwu64", "train.tsv"))
	if err != nil {
		b.Fatal(err)
	}
	for size, shape := range map[string][2]int{"small": {128, 1 << 15}, "base": {256, 1 << 16}} {
		b.Run(size, func(b *testing.B) {
			w := flow.New(shape[0], shape[1], 1)
			if err := baseFile(b, size).Into(w); err != nil {
				b.Fatal(err)
			}
			e, err := w.Encoder(encoder.Options{})
			if err != nil {
				b.Fatal(err)
			}
			h, labels := hwu(string(raw), e)
			for b.Loop() {
				for _, lessons := range []int{1, 5, 10} {
					b.ReportMetric(100*fewLessons(h, labels, e.Dim(), lessons), fmt.Sprintf("%%right/%d", lessons))
				}
			}
		})
	}
}

// hwu encodes prompts that stand behind their intent and a tab, one a line.
func hwu(lines string, e encoder.Encoder) (h []float32, labels []int) {
	known, d := map[string]int{}, e.Dim()
	scratch, p := e.NewScratch(), text.Prompt{}
	for line := range strings.Lines(lines) {
		intent, prompt, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if _, ok := known[intent]; !ok {
			known[intent] = len(known)
		}
		labels = append(labels, known[intent])
		text.Reader{Buckets: uint32(e.Buckets())}.Read(&p, prompt)
		h = append(h, make([]float32, d)...)
		e.Encode(&p, h[len(h)-d:], scratch)
	}
	return h, labels
}

// fewLessons is the share of right ones of a quarter of the prompts that are no
// lesson.
func fewLessons(h []float32, labels []int, d, lessons int) float64 {
	answers := 0
	for _, l := range labels {
		answers = max(answers, l+1)
	}
	const draws = 4
	right, asked := 0, 0
	for draw := range draws {
		m, seen, taught := newMeans(d, answers), make([]int, answers), make([]bool, len(labels))
		for _, i := range rand.New(rand.NewPCG(uint64(draw+1), 1)).Perm(len(labels)) {
			if l := labels[i]; seen[l] < lessons {
				seen[l]++
				taught[i] = true
				m.add(l, h[i*d:(i+1)*d])
			}
		}
		m.pack()
		for i, l := range labels {
			if taught[i] || i%draws != draw {
				continue
			}
			asked++
			if m.best(h[i*d : (i+1)*d])[evenMix].label == l {
				right++
			}
		}
	}
	return float64(right) / float64(asked)
}
