package learn

import (
	"context"
	"encoding/json"
	"flag"
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

// figures of one trained model.
type figures struct {
	prototype, exemplar float64 // accuracy, every prompt answered
	auroc               float64 // of the best cosine to an exemplar
	aurocPrototype      float64
	refused             float64 // out-of-scope refused where 90 % of in-scope prompts are answered right
	converged           float64
	depth               float64 // median
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
	packed := kernel.PackTransposed(d, len(c.train), memory)
	answers := kernel.PackTransposed(d, c.labels, prototypes)
	nearest := func(w *kernel.Packed, h []float32) (int, float32) {
		scores := make([]float32, w.Cols())
		w.Gemm(scores, len(scores), h, d, 1)
		at := 0
		for i, s := range scores {
			if s > scores[at] {
				at = i
			}
		}
		return at, scores[at]
	}
	var f figures
	var in, out, inProto, outProto []float32
	var right []float32 // best cosine of prompts answered right
	depths := make([]int, 0, len(infos))
	for i := range c.asked {
		h := asked[i*d : (i+1)*d]
		p, ps := nearest(answers, h)
		e, es := nearest(packed, h)
		if p == c.asked[i].Label {
			f.prototype++
			right = append(right, es)
		}
		if c.train[e].Label == c.asked[i].Label {
			f.exemplar++
		}
		in, inProto = append(in, es), append(inProto, ps)
		depths = append(depths, infos[i].Depth)
		if infos[i].Converged {
			f.converged++
		}
	}
	for i := range c.outOfScope {
		h := foreign[i*d : (i+1)*d]
		_, ps := nearest(answers, h)
		_, es := nearest(packed, h)
		out, outProto = append(out, es), append(outProto, ps)
	}
	n := float64(len(c.asked))
	f.prototype, f.exemplar, f.converged = f.prototype/n, f.exemplar/n, f.converged/n
	f.auroc, f.aurocPrototype = auroc(in, out), auroc(inProto, outProto)
	slices.Sort(depths)
	f.depth = float64(depths[len(depths)/2])
	slices.Sort(right)
	if skip := len(right) - int(0.9*n); skip >= 0 {
		threshold := right[skip]
		for _, s := range out {
			if s < threshold {
				f.refused++
			}
		}
		f.refused /= float64(len(out))
	}
	return f
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
		sum, seconds = figures{}, 0
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
			sum.prototype += f.prototype
			sum.exemplar += f.exemplar
			sum.auroc += f.auroc
			sum.refused += f.refused
			sum.converged += f.converged
			sum.depth += f.depth
			if err := tr.Close(); err != nil {
				b.Fatal(err)
			}
		}
	}
	n := float64(*clincSeeds)
	b.ReportMetric(100*sum.prototype/n, "%prototype")
	b.ReportMetric(100*sum.exemplar/n, "%exemplar")
	b.ReportMetric(sum.auroc/n, "AUROC")
	b.ReportMetric(100*sum.refused/n, "%refused@90")
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
			b.Run("ten/"+kind.name+"/"+size.name, func(b *testing.B) {
				c := readCLINC(b, size.buckets).few(10)
				o := kind.opt
				o.Epochs, o.Dropout, o.GramDropout, o.WordDropout = 40, 0.6, 0.4, 0.2
				c.bench(b, func(o Options) (*Trainer, error) { return kind.make(b, c, o) }, o)
			})
		}
	}
}
