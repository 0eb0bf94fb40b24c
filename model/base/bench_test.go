package base_test

import (
	"encoding/json"
	"flag"
	"fmt"
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
			var f [mixes]figures
			for b.Loop() {
				f = c.untrained(e)
			}
			for i, x := range f {
				b.ReportMetric(100*x.right, fmt.Sprintf("%%right@%.2f", mixOf(i)))
				b.ReportMetric(x.auroc, fmt.Sprintf("AUROC@%.2f", mixOf(i)))
			}
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

// mixes are shares of the nearest exemplar in the score of an answer; the rest
// is the mean of its exemplars.
const mixes = 5

func mixOf(i int) float64 { return float64(i) / (mixes - 1) }

// figures are the accuracy, and the chance that a prompt of the part scores
// above one out of scope.
type figures struct{ right, auroc float64 }

// untrained measures a base by each mix of the scores.
func (c clinc) untrained(e encoder.Encoder) (f [mixes]figures) {
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
	const folds = 10
	// In the file like phrasings stand side by side.
	order := rand.New(rand.NewPCG(1, 1)).Perm(len(c["train"]))
	for fold := range folds {
		m := newMeans(d, len(labels))
		seen := make([]int, len(labels))
		for _, i := range order {
			l := labels[c["train"][i][1]]
			if seen[l]/exemplars == fold {
				m.add(l, train[i*d:(i+1)*d])
			}
			seen[l]++
		}
		m.pack()
		var in, out [mixes][]float64
		for i, r := range c[*part] {
			for x, b := range m.best(asked[i*d : (i+1)*d]) {
				if b.label == labels[r[1]] {
					f[x].right += 1 / float64(folds*len(c[*part]))
				}
				in[x] = append(in[x], b.score)
			}
		}
		for i := range c["oos_"+*part] {
			for x, b := range m.best(foreign[i*d : (i+1)*d]) {
				out[x] = append(out[x], b.score)
			}
		}
		for x := range mixes {
			sort.Float64s(out[x])
			above := 0
			for _, s := range in[x] {
				above += sort.SearchFloat64s(out[x], s)
			}
			f[x].auroc += float64(above) / float64(len(in[x])*len(out[x])) / folds
		}
	}
	return f
}

// means scores prompts by the means of the answers and by their exemplars.
type means struct {
	d, n          int
	sums, rows    []float32
	of            []int
	sum, row      *kernel.Packed
	byMean, byRow []float32
	nearest       []float32
}

func newMeans(d, n int) *means { return &means{d: d, n: n, sums: make([]float32, n*d)} }

func (m *means) add(label int, h []float32) {
	kernel.Axpy(1, h, m.sums[label*m.d:(label+1)*m.d])
	m.rows, m.of = append(m.rows, h...), append(m.of, label)
}

func (m *means) pack() {
	for l := range m.n {
		kernel.Normalise(m.sums[l*m.d : (l+1)*m.d])
	}
	m.sum, m.row = kernel.PackTransposed(m.d, m.n, m.sums), kernel.PackTransposed(m.d, len(m.of), m.rows)
	m.byMean, m.byRow, m.nearest = make([]float32, m.n), make([]float32, len(m.of)), make([]float32, m.n)
}

type best struct {
	label int
	score float64
}

// best is the best answer to a prompt by each mix.
func (m *means) best(h []float32) (out [mixes]best) {
	m.sum.Gemm(m.byMean, m.n, h, m.d, 1)
	m.row.Gemm(m.byRow, len(m.of), h, m.d, 1)
	for l := range m.nearest {
		m.nearest[l] = -1
	}
	for i, l := range m.of {
		m.nearest[l] = max(m.nearest[l], m.byRow[i])
	}
	for x := range mixes {
		share := mixOf(x)
		out[x].score = -1
		for l := range m.n {
			if s := share*float64(m.nearest[l]) + (1-share)*float64(m.byMean[l]); s > out[x].score {
				out[x] = best{l, s}
			}
		}
	}
	return out
}
