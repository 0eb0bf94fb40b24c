package base_test

import (
	"encoding/json"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sort"
	"testing"

	"github.com/nexus-continuum/nexus/model/base"
	"github.com/nexus-continuum/nexus/model/encoder"
	"github.com/nexus-continuum/nexus/model/flow"
	"github.com/nexus-continuum/nexus/model/kernel"
	"github.com/nexus-continuum/nexus/model/text"
)

var (
	part = flag.String("clinc.part", "test", "part of CLINC150 that is measured: val for tuning, test for the record")
	file = flag.String("base.file", "", "base to measure instead of the one that comes with the program")
)

// exemplars an answer; CLINC150 has ten times as many for training.
const exemplars = 10

// BenchmarkUntrained reports how many prompts of CLINC150 (Larson et al.,
// 1909.02027) ten exemplars an answer, as class means, get right before any
// training, over ten choices of exemplars. It runs only where NEXUS_BENCH_DATA
// names a folder that holds clinc150/data_full.json.
func BenchmarkUntrained(b *testing.B) {
	for size, shape := range map[string][2]int{"small": {128, 1 << 15}, "base": {256, 1 << 16}} {
		b.Run(size, func(b *testing.B) {
			c := readCLINC(b)
			w := flow.New(shape[0], shape[1], 1)
			if err := baseFile(b, size).Into(w); err != nil {
				b.Fatal(err)
			}
			e, err := w.Encoder(encoder.Options{})
			if err != nil {
				b.Fatal(err)
			}
			var right, auroc float64
			for b.Loop() {
				right, auroc = c.untrained(e)
			}
			b.ReportMetric(100*right, "%right")
			b.ReportMetric(auroc, "AUROC")
		})
	}
}

func baseFile(b *testing.B, size string) *base.File {
	if *file == "" {
		return base.For(size)
	}
	data, err := os.ReadFile(*file)
	if err != nil {
		b.Fatal(err)
	}
	f, err := base.Open(data)
	if err != nil {
		b.Fatal(err)
	}
	return f
}

type clinc map[string][][2]string

func readCLINC(b *testing.B) clinc {
	dir := os.Getenv("NEXUS_BENCH_DATA")
	if dir == "" {
		b.Skip("set NEXUS_BENCH_DATA to the folder that holds clinc150/")
	}
	raw, err := os.ReadFile(filepath.Join(dir, "clinc150", "data_full.json"))
	if err != nil {
		b.Fatal(err)
	}
	var c clinc
	if err := json.Unmarshal(raw, &c); err != nil {
		b.Fatal(err)
	}
	return c
}

// untrained is the accuracy, and the chance that a prompt of the part scores
// above one out of scope.
func (c clinc) untrained(e encoder.Encoder) (right, auroc float64) {
	d := e.Dim()
	scratch, p := e.NewScratch(), text.Prompt{}
	encode := func(rows [][2]string) []float32 {
		h := make([]float32, len(rows)*d)
		for i, r := range rows {
			text.Reader{Buckets: uint32(e.Buckets())}.Read(&p, r[0])
			e.Encode(&p, h[i*d:(i+1)*d], scratch)
		}
		return h
	}
	train, asked, foreign := encode(c["train"]), encode(c[*part]), encode(c["oos_"+*part])
	labels := map[string]int{}
	for _, r := range c["train"] {
		if _, ok := labels[r[1]]; !ok {
			labels[r[1]] = len(labels)
		}
	}
	n := len(labels)
	scores := make([]float32, n)
	best := func(w *kernel.Packed, h []float32) (at int) {
		w.Gemm(scores, n, h, d, 1)
		for i, s := range scores {
			if s > scores[at] {
				at = i
			}
		}
		return at
	}
	const folds = 10
	// In the file like phrasings stand side by side.
	order := rand.New(rand.NewPCG(1, 1)).Perm(len(c["train"]))
	for fold := range folds {
		means, seen := make([]float32, n*d), make([]int, n)
		for _, i := range order {
			l := labels[c["train"][i][1]]
			if seen[l]/exemplars == fold {
				kernel.Axpy(1, train[i*d:(i+1)*d], means[l*d:(l+1)*d])
			}
			seen[l]++
		}
		for l := range n {
			kernel.Normalise(means[l*d : (l+1)*d])
		}
		w := kernel.PackTransposed(d, n, means)
		var in, out []float64
		for i, r := range c[*part] {
			at := best(w, asked[i*d:(i+1)*d])
			if at == labels[r[1]] {
				right++
			}
			in = append(in, float64(scores[at]))
		}
		for i := range c["oos_"+*part] {
			out = append(out, float64(scores[best(w, foreign[i*d:(i+1)*d])]))
		}
		sort.Float64s(out)
		above := 0
		for _, s := range in {
			above += sort.SearchFloat64s(out, s)
		}
		auroc += float64(above) / float64(len(in)*len(out)) / folds
	}
	return right / float64(folds*len(c[*part])), auroc
}
