package learn

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"syscall"
	"testing"

	"github.com/nexus-continuum/nexus/model/base"
	"github.com/nexus-continuum/nexus/model/encoder"
	"github.com/nexus-continuum/nexus/model/flow"
	"github.com/nexus-continuum/nexus/model/kernel"
	"github.com/nexus-continuum/nexus/model/layer"
	"github.com/nexus-continuum/nexus/model/text"
)

// The benchmarks on CLINC150 (Larson et al., 1909.02027) run only where the
// variable names a folder that holds clinc150/data_full.json.
const dataVariable = "NEXUS_BENCH_DATA"

var (
	clincPart  = flag.String("clinc.part", "test", "part of CLINC150 that is measured: val for tuning, test for the record")
	clincBase  = flag.Bool("clinc.base", false, "start from the base of the size")
	clincSeeds = flag.Int("clinc.seeds", 1, "seeds to train with")
)

// clinc is CLINC150 read into prompts.
type clinc struct {
	labels       int
	train, asked []Example
	outOfScope   []Example
}

func readCLINC(b *testing.B, buckets int) *clinc {
	b.Helper()
	folder := os.Getenv(dataVariable)
	if folder == "" {
		b.Skipf("%s does not name a folder with clinc150/data_full.json", dataVariable)
	}
	raw, err := os.ReadFile(filepath.Join(folder, "clinc150", "data_full.json"))
	if err != nil {
		b.Fatal(err)
	}
	var parts map[string][][2]string
	if err := json.Unmarshal(raw, &parts); err != nil {
		b.Fatal(err)
	}
	labels := map[string]int{}
	read := func(name string) []Example {
		var out []Example
		for _, row := range parts[name] {
			if _, ok := labels[row[1]]; !ok {
				labels[row[1]] = len(labels)
			}
			e := Example{Label: labels[row[1]]}
			text.Reader{Buckets: uint32(buckets)}.Read(&e.Prompt, row[0])
			out = append(out, e)
		}
		return out
	}
	c := &clinc{train: read("train")}
	c.labels = len(labels)
	c.asked = read(*clincPart)
	c.outOfScope = read("oos_" + *clincPart)
	return c
}

// few keeps n phrasings of each answer, drawn at random: those that stand side
// by side in the file are much alike.
func (c *clinc) few(n int) *clinc {
	kept := make([]int, c.labels)
	var train []Example
	for _, i := range rand.New(rand.NewPCG(1, 1)).Perm(len(c.train)) {
		e := c.train[i]
		if kept[e.Label] < n {
			kept[e.Label]++
			train = append(train, e)
		}
	}
	c.train = train
	return c
}

// scoring is a way to score an answer: so much of the cosine to the nearest of
// its exemplars, the rest of that to its prototype.
type scoring float64

var scorings = []scoring{0, 0.25, 0.5, 0.75, 1}

// figures of one trained model.
type figures struct {
	by        []scored // in the order of scorings
	converged float64
	depth     float64 // median
}

// scored are the figures by one way to score.
type scored struct {
	right   float64 // accuracy, every prompt answered
	auroc   float64 // of the best score
	refused float64 // out-of-scope refused where 90 % of in-scope prompts are answered right
}

func (c *clinc) measure(b *testing.B, enc encoder.Encoder, prototypes []float32) figures {
	b.Helper()
	d := enc.Dim()
	scratch := enc.NewScratch()
	encode := func(es []Example) ([]float32, []encoder.Info) {
		h, infos := make([]float32, len(es)*d), make([]encoder.Info, len(es))
		for i := range es {
			infos[i] = enc.Encode(&es[i].Prompt, h[i*d:(i+1)*d], scratch)
		}
		return h, infos
	}
	memory, _ := encode(c.train)
	asked, infos := encode(c.asked)
	foreign, _ := encode(c.outOfScope)
	exemplars := kernel.PackTransposed(d, len(c.train), memory)
	answers := kernel.PackTransposed(d, c.labels, prototypes)
	byPrototype, byRow, nearest := make([]float32, c.labels), make([]float32, len(c.train)), make([]float32, c.labels)
	best := func(h []float32, s scoring) (at int, top float32) {
		top = -2
		for l := range nearest {
			if v := float32(s)*nearest[l] + (1-float32(s))*byPrototype[l]; v > top {
				at, top = l, v
			}
		}
		return at, top
	}
	look := func(h []float32) {
		answers.Gemm(byPrototype, c.labels, h, d, 1)
		exemplars.Gemm(byRow, len(c.train), h, d, 1)
		for l := range nearest {
			nearest[l] = -1
		}
		for i, v := range byRow {
			l := c.train[i].Label
			nearest[l] = max(nearest[l], v)
		}
	}
	f := figures{by: make([]scored, len(scorings))}
	in, out, right := make([][]float32, len(scorings)), make([][]float32, len(scorings)), make([][]float32, len(scorings))
	depths := make([]int, 0, len(infos))
	n := float64(len(c.asked))
	for i := range c.asked {
		h := asked[i*d : (i+1)*d]
		look(h)
		for j, s := range scorings {
			at, top := best(h, s)
			if in[j] = append(in[j], top); at == c.asked[i].Label {
				right[j] = append(right[j], top)
			}
		}
		depths = append(depths, infos[i].Depth)
		if infos[i].Converged {
			f.converged += 1 / n
		}
	}
	for i := range c.outOfScope {
		h := foreign[i*d : (i+1)*d]
		look(h)
		for j, s := range scorings {
			_, top := best(h, s)
			out[j] = append(out[j], top)
		}
	}
	slices.Sort(depths)
	f.depth = float64(depths[len(depths)/2])
	for j := range scorings {
		f.by[j] = scored{right: float64(len(right[j])) / n, auroc: auroc(in[j], out[j]), refused: refusedAt90(right[j], out[j], len(in[j]))}
	}
	return f
}

// refusedAt90 is the share of out that scores below where nine tenths of n
// prompts are answered right; 0 if that many are not.
func refusedAt90(right, out []float32, n int) float64 {
	skip := len(right) - int(0.9*float64(n))
	if skip < 0 {
		return 0
	}
	slices.Sort(right)
	refused := 0
	for _, s := range out {
		if s < right[skip] {
			refused++
		}
	}
	return float64(refused) / float64(len(out))
}

// auroc is the chance that an in-scope prompt scores above a foreign one.
func auroc(in, out []float32) float64 {
	sorted := slices.Clone(out)
	slices.Sort(sorted)
	sum := 0.0
	for _, v := range in {
		below := sort.Search(len(sorted), func(i int) bool { return sorted[i] >= v })
		upTo := sort.Search(len(sorted), func(i int) bool { return sorted[i] > v })
		sum += float64(below+upTo) / 2
	}
	return sum / float64(len(in)) / float64(len(out))
}

// cpuSeconds is the processor time of this process: training runs on one core,
// and a machine that is shared must not count against it.
func cpuSeconds(b *testing.B) float64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

func (c *clinc) bench(b *testing.B, start func(opt Options) (*Trainer, error), opt Options) {
	var sum figures
	var seconds float64
	for b.Loop() {
		sum, seconds = figures{by: make([]scored, len(scorings))}, 0
		for s := range *clincSeeds {
			opt.Seed = uint64(s + 1)
			from := cpuSeconds(b)
			tr, err := start(opt)
			if err != nil {
				b.Fatal(err)
			}
			for tr.Done() < tr.Total() {
				if _, err := tr.Step(context.Background()); err != nil {
					b.Fatal(err)
				}
			}
			w := tr.Weights()
			seconds += cpuSeconds(b) - from
			enc, err := w.Encoder(encoder.Options{})
			if err != nil {
				b.Fatal(err)
			}
			f := c.measure(b, enc, tr.Prototypes())
			b.Logf("seed %d: %+v", opt.Seed, f)
			for j, x := range f.by {
				sum.by[j].right += x.right
				sum.by[j].auroc += x.auroc
				sum.by[j].refused += x.refused
			}
			sum.converged += f.converged
			sum.depth += f.depth
			if err := tr.Close(); err != nil {
				b.Fatal(err)
			}
		}
	}
	n := float64(*clincSeeds)
	for j, s := range scorings {
		b.ReportMetric(100*sum.by[j].right/n, fmt.Sprintf("%%right/%.2f", s))
		b.ReportMetric(sum.by[j].auroc/n, fmt.Sprintf("AUROC/%.2f", s))
		b.ReportMetric(100*sum.by[j].refused/n, fmt.Sprintf("%%refused@90/%.2f", s))
	}
	b.ReportMetric(100*sum.converged/n, "%converged")
	b.ReportMetric(sum.depth/n, "depth")
	b.ReportMetric(seconds/n, "cpu-s/training")
	b.ReportMetric(0, "ns/op")
}

// fromBase puts the base of the size into fresh weights, if the flag asks for it.
func fromBase[W encoder.Weights](b *testing.B, size string, w W) W {
	b.Helper()
	if !*clincBase {
		return w
	}
	if err := base.For(size).Into(w); err != nil {
		b.Fatal(err)
	}
	return w
}

func BenchmarkCLINC(b *testing.B) {
	for _, size := range []struct {
		name                 string
		dim, buckets, blocks int
	}{{"small", 128, 1 << 15, 2}, {"base", 256, 1 << 16, 4}, {"large", 512, 1 << 17, 6}} {
		for _, kind := range []struct {
			name string
			opt  Options
			make func(*testing.B, *clinc, Options) (*Trainer, error)
		}{
			{"flowing", Options{}, func(b *testing.B, c *clinc, o Options) (*Trainer, error) {
				return New(fromBase(b, size.name, flow.New(size.dim, size.buckets, o.Seed)), c.train, c.labels, nil, o)
			}},
			{"implicit", Options{Gradient: Implicit}, func(b *testing.B, c *clinc, o Options) (*Trainer, error) {
				return New(fromBase(b, size.name, flow.New(size.dim, size.buckets, o.Seed)), c.train, c.labels, nil, o)
			}},
			{"layered", Options{}, func(b *testing.B, c *clinc, o Options) (*Trainer, error) {
				return New(fromBase(b, size.name, layer.New(size.dim, size.buckets, size.blocks, o.Seed)), c.train, c.labels, nil, o)
			}},
			{"mean", Options{}, func(b *testing.B, c *clinc, o Options) (*Trainer, error) {
				return newMeanOnly(fromBase(b, size.name, flow.New(size.dim, size.buckets, o.Seed)), c.train, c.labels, o)
			}},
		} {
			b.Run("full/"+kind.name+"/"+size.name, func(b *testing.B) {
				c := readCLINC(b, size.buckets)
				c.bench(b, func(o Options) (*Trainer, error) { return kind.make(b, c, o) }, kind.opt)
			})
			for name, n := range map[string]int{"five": 5, "ten": 10} {
				b.Run(name+"/"+kind.name+"/"+size.name, func(b *testing.B) {
					c := readCLINC(b, size.buckets).few(n)
					o := kind.opt
					o.Epochs, o.Dropout, o.GramDropout, o.WordDropout = 40, 0.6, 0.4, 0.2
					c.bench(b, func(o Options) (*Trainer, error) { return kind.make(b, c, o) }, o)
				})
			}
		}
	}
}
