package model

import (
	"bytes"
	"cmp"
	"encoding/gob"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nexus-continuum/nexus/model/base"
	"github.com/nexus-continuum/nexus/model/gate"
	"github.com/nexus-continuum/nexus/model/memory"
)

// The benchmark on CLINC150 (Larson et al., 1909.02027) runs only where this
// variable names a folder that holds clinc150/data_full.json:
//
//	NEXUS_BENCH_DATA=… go test ./model -run '^$' -bench CLINC150 -benchtime 1x -v
const dataVariable = "NEXUS_BENCH_DATA"

var (
	clincPart  = flag.String("clinc.part", "test", "part of CLINC150 that is measured: val for tuning, test for the record")
	clincSize  = flag.String("clinc.size", Small, "size of the model")
	clincArch  = flag.String("clinc.architecture", Flowing, "architecture of the model")
	clincBase  = flag.Bool("clinc.base", true, "start from the base of the size")
	clincSeeds = flag.Uint64("clinc.seeds", 1, "seeds of weights and training, from 1 on")
	clincOOS   = flag.Bool("clinc.refusals", false, "teach oos_train as refusals")
	clincKeep  = flag.String("clinc.keep", "", "folder to keep trained models in and to take them from, judged anew")
	clincFew   = flag.Int("clinc.few", 0, "teach only so many phrasings an answer; 0 for all")
)

type clincParts map[string][][2]string

func readCLINC(b *testing.B) clincParts {
	b.Helper()
	folder := os.Getenv(dataVariable)
	if folder == "" {
		b.Skipf("%s does not name a folder with clinc150/data_full.json", dataVariable)
	}
	raw, err := os.ReadFile(filepath.Join(folder, "clinc150", "data_full.json"))
	if err != nil {
		b.Fatal(err)
	}
	var parts clincParts
	if err := json.Unmarshal(raw, &parts); err != nil {
		b.Fatal(err)
	}
	return parts
}

// lessons are those that are taught.
func (c clincParts) lessons() (lessons []Lesson, fresh []string) {
	kept := map[string]int{}
	// Phrasings that stand side by side in the file are much alike.
	for _, i := range rand.New(rand.NewPCG(1, 1)).Perm(len(c["train"])) {
		row := c["train"][i]
		if kept[row[1]]++; *clincFew == 0 || kept[row[1]] <= *clincFew {
			lessons = append(lessons, Lesson{Topic: "clinc150", Prompt: row[0], Response: row[1]})
		}
	}
	if *clincOOS {
		for _, row := range c["oos_train"] {
			lessons = append(lessons, Lesson{Topic: "clinc150", Prompt: row[0], Refusal: true})
		}
	}
	for _, l := range lessons {
		fresh = append(fresh, LessonID(l.Topic, l.Prompt))
	}
	return lessons, fresh
}

// BenchmarkCLINC150 teaches CLINC150 through the product's own path (memorise,
// learn, finish), asks the prompts of a part and prints what the gate makes of
// them: figures of every seed and their mean, a reliability diagram, what each
// feature adds, how risk and threshold behave.
func BenchmarkCLINC150(b *testing.B) {
	parts := readCLINC(b)
	for b.Loop() {
		var t table
		for seed := range *clincSeeds {
			m := parts.taught(b, seed+1)
			a := m.exam(parts[*clincPart], parts["oos_"+*clincPart])
			t.add(fmt.Sprintf("seed %d", seed+1), a.figures(m.gate))
			if seed == 0 {
				b.Logf("reliability, foreign prompts thinned out to %.0f %%:\n%s", 100*gate.ForeignShare, a.reliability(m.gate))
				if !*clincOOS {
					b.Logf("without a feature:\n%s", a.ablation(m.gate))
					b.Logf("fifty random splits of the part:\n%s", a.splits())
				}
				b.Logf("calibrated with the first few judged prompts:\n%s", a.fresh(m.gate))
				b.Logf("the bound alone, by the number of judged prompts:\n%s", a.loosening(m.gate))
			}
		}
		b.Logf("%s %s, base %v, %s part:\n%s", *clincArch, *clincSize, *clincBase, *clincPart, t.String())
		for name, value := range t.mean() {
			b.ReportMetric(value, strings.ReplaceAll(name, " ", "-"))
		}
	}
	b.ReportMetric(0, "ns/op")
}

// clincConfig is what the flags ask for.
func clincConfig(seed uint64) Config {
	cfg := Config{Architecture: *clincArch, Size: *clincSize, Seed: seed}
	if !*clincBase {
		cfg.Base = base.None()
	}
	return cfg
}

func (c clincParts) taught(b *testing.B, seed uint64) *Model {
	b.Helper()
	cfg := clincConfig(seed)
	m, err := New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	kept := filepath.Join(*clincKeep, fmt.Sprintf("%s-%s-base=%v-few=%d-refusals=%v-%d.gob", *clincArch, *clincSize, *clincBase, *clincFew, *clincOOS, seed))
	if m, ok := reopened(b, cfg, kept); ok {
		return m
	}
	lessons, fresh := c.lessons()
	m, _ = m.Memorise(lessons)
	m = m.Calibrated(func() {})
	m, report := learned(b, m, LearnOptions{Fresh: fresh, Seed: seed})
	b.Logf("seed %d: %s", seed, report.Why)
	if *clincKeep != "" {
		var data bytes.Buffer
		if err := errors.Join(gob.NewEncoder(&data).Encode(m.Parts()), os.WriteFile(kept, data.Bytes(), 0o644)); err != nil {
			b.Fatal(err)
		}
	}
	return m
}

// reopened takes a model from a file and calibrates it anew.
func reopened(b *testing.B, cfg Config, file string) (*Model, bool) {
	b.Helper()
	data, err := os.ReadFile(file)
	if *clincKeep == "" || err != nil {
		return nil, false
	}
	var parts []Part
	if err := gob.NewDecoder(bytes.NewReader(data)).Decode(&parts); err != nil {
		b.Fatal(err)
	}
	m, err := Open(cfg, parts)
	if err != nil {
		b.Fatal(err)
	}
	m.gate = gate.Calibrate(m.judging(fullScope).all(func() {}), cfg.withDefaults().TargetError)
	return m, true
}

// asked is a prompt of the part and what memory found for it.
type asked struct {
	gate.Record
	repeat         bool // answered without the gate
	refusal        []bool
	depth          int
	converged      bool
	responseRepeat bool // the repeat answers right
}

// exam is a part of CLINC150 as one model sees it.
type exam struct{ in, out []asked }

func (m *Model) exam(in, out [][2]string) exam {
	s := m.get()
	defer m.put(s)
	var e exam
	for _, row := range in {
		e.in = append(e.in, m.look1(row[0], row[1], s))
	}
	for _, row := range out {
		a := m.look1(row[0], "", s)
		a.Foreign = true
		e.out = append(e.out, a)
	}
	return e
}

// look1 asks one prompt; response is the right one, empty if there is none.
func (m *Model) look1(prompt, response string, s *scratch) asked {
	r, ok := m.seen(prompt, memory.Query{}, s)
	a := asked{Record: r, depth: s.infos[0].Depth, converged: s.infos[0].Converged}
	if !ok {
		v := m.Ask([]Query{{Prompt: prompt}})[0]
		a.repeat, a.responseRepeat = true, v.Responded && v.Response == response
		return a
	}
	for i := range r.Candidates {
		known, refusal := m.store.Response(s.found[0].Candidates[i].Answer)
		a.refusal = append(a.refusal, refusal)
		if !refusal && known == response {
			a.Right = i
		}
	}
	return a
}

// verdict is what a gate makes of a prompt.
type verdict struct {
	confidence float64
	right      bool
}

func (a *asked) by(g *gate.Gate) verdict {
	if a.repeat {
		return verdict{1, a.responseRepeat}
	}
	best, confidence, _ := g.Weigh(&a.Look)
	if best >= 0 && a.refusal[best] {
		return verdict{0, false}
	}
	return verdict{confidence, best >= 0 && best == a.Right}
}

func verdicts(all []asked, g *gate.Gate) []verdict {
	out := make([]verdict, len(all))
	for i := range all {
		out[i] = all[i].by(g)
	}
	return out
}

func share[T any](all []T, yes func(T) bool) float64 {
	n := 0
	for _, x := range all {
		if yes(x) {
			n++
		}
	}
	return float64(n) / float64(max(len(all), 1))
}

// figure is one cell of a table.
type figure struct {
	name  string
	value float64
}

func (e exam) figures(g *gate.Gate) []figure {
	in, out := verdicts(e.in, g), verdicts(e.out, g)
	tau := g.Threshold()
	depths := make([]int, 0, len(e.in))
	for _, a := range e.in {
		depths = append(depths, a.depth)
	}
	slices.Sort(depths)
	return []figure{
		{"accuracy %", 100 * share(in, func(v verdict) bool { return v.right })},
		{"AUROC", auroc(in, out)},
		{"recall@90 %", 100 * recallAt90(in, out)},
		{"ECE mixed", calibrationError(in, out, gate.ForeignShare)},
		{"ECE in scope", calibrationError(in, out, 0)},
		{"threshold", tau},
		{"answered %", 100 * share(in, func(v verdict) bool { return v.confidence >= tau })},
		{"wrong %", 100 * share(in, func(v verdict) bool { return v.confidence >= tau && !v.right })},
		{"oos refused %", 100 * share(out, func(v verdict) bool { return v.confidence < tau })},
		{"converged %", 100 * share(e.in, func(a asked) bool { return a.converged })},
		{"depth", float64(depths[len(depths)/2])},
	}
}

// auroc is the probability that an in-scope prompt has more confidence than an
// out-of-scope one.
func auroc(in, out []verdict) float64 {
	sum := 0.0
	for _, i := range in {
		for _, o := range out {
			switch {
			case i.confidence > o.confidence:
				sum++
			case i.confidence == o.confidence:
				sum += 0.5
			}
		}
	}
	return sum / float64(len(in)) / float64(len(out))
}

// recallAt90 is the share of out-of-scope prompts refused at the confidence at
// which still 90 % of all in-scope prompts are answered, and answered right.
func recallAt90(in, out []verdict) float64 {
	var rights []float64
	for _, v := range in {
		if v.right {
			rights = append(rights, v.confidence)
		}
	}
	slices.Sort(rights)
	spare := len(rights) - (9*len(in)+9)/10
	if spare < 0 {
		return math.NaN()
	}
	return share(out, func(v verdict) bool { return v.confidence < rights[spare] })
}

const bins = 15

// binned sums confidence, right answers and weight by confidence; out-of-scope
// prompts are weighed such that they are foreign of all.
func binned(in, out []verdict, foreign float64) (weight, confidence, right [bins]float64) {
	put := func(all []verdict, w float64) {
		for _, v := range all {
			i := min(int(v.confidence*bins), bins-1)
			weight[i] += w
			confidence[i] += w * v.confidence
			if v.right {
				right[i] += w
			}
		}
	}
	put(in, 1)
	put(out, foreign/(1-foreign)*float64(len(in))/float64(len(out)))
	return weight, confidence, right
}

// calibrationError is the expected calibration error over fifteen bins (Guo et
// al., 1706.04599).
func calibrationError(in, out []verdict, foreign float64) float64 {
	weight, confidence, right := binned(in, out, foreign)
	sum, total := 0.0, 0.0
	for i := range weight {
		sum += math.Abs(right[i] - confidence[i])
		total += weight[i]
	}
	return sum / total
}

func (e exam) reliability(g *gate.Gate) string {
	weight, confidence, right := binned(verdicts(e.in, g), verdicts(e.out, g), gate.ForeignShare)
	var s strings.Builder
	total := 0.0
	for _, w := range weight {
		total += w
	}
	fmt.Fprintf(&s, "| confidence | right | share of prompts | |\n|---|---|---|---|\n")
	for i, w := range weight {
		if w > 0 {
			fmt.Fprintf(&s, "| %.3f | %.3f | %.1f %% | %s |\n", confidence[i]/w, right[i]/w, 100*w/total, strings.Repeat("▪", int(math.Round(20*right[i]/w))))
		}
	}
	return s.String()
}

// featureNames by number.
var featureNames = [gate.Features]string{
	gate.Best: "best", gate.Mean: "mean", gate.Cover: "cover", gate.Missing: "missing", gate.Back: "back", gate.Core: "core",
	gate.Sense: "sense", gate.Echo: "echo", gate.Lone: "lone", gate.Strange: "strange", gate.Instead: "instead", gate.Twin: "twin",
	gate.Margin: "margin", gate.Distinct: "distinct", gate.Unknown: "unknown", gate.Alien: "alien", gate.Plain: "plain", gate.Unseen: "unseen", gate.Saturation: "saturation", gate.Same: "same", gate.Negated: "negated", gate.Opposite: "opposite", gate.Other: "other", gate.Swapped: "swapped", gate.Asked: "asked", gate.Answers: "answers", gate.Phrasings: "phrasings", gate.Crowd: "crowd",
}

// without gives copies of records with one feature constant.
func without(records []gate.Record, feature int) []gate.Record {
	out := slices.Clone(records)
	for i := range out {
		blank(&out[i].Look, feature)
	}
	return out
}

func blank(l *gate.Look, feature int) {
	switch {
	case feature < gate.Margin:
		l.Candidates = slices.Clone(l.Candidates)
		for j := range l.Candidates {
			l.Candidates[j][feature] = 0.5
		}
	case feature >= gate.Distinct:
		l.Rest[feature-gate.Distinct] = 0
	}
}

// ablation calibrates anew without each feature. The gap follows from the
// others and cannot be taken away so.
func (e exam) ablation(g *gate.Gate) string {
	var t table
	row := func(name string, g *gate.Gate, e exam) { t.add(name, e.figures(g)[:5]) }
	row("all", g, e)
	for f := range gate.Features {
		if f == gate.Margin {
			continue
		}
		less := exam{slices.Clone(e.in), slices.Clone(e.out)}
		for _, all := range [][]asked{less.in, less.out} {
			for i := range all {
				blank(&all[i].Look, f)
			}
		}
		row("without "+featureNames[f], gate.Calibrate(without(g.Records(), f), 0.05), less)
	}
	return t.String()
}

// splits calibrates on one random part of the prompts and measures the risk on
// the others, fifty times, with foreign prompts in the share that the gate is
// made for.
func (e exam) splits() string {
	const times, judged = 50, 1000
	var pool []gate.Record
	for _, a := range e.in {
		if !a.repeat {
			pool = append(pool, a.Record)
		}
	}
	foreign := int(gate.ForeignShare / (1 - gate.ForeignShare) * float64(len(pool)))
	for _, a := range e.out[:min(foreign, len(e.out))] {
		if !a.repeat {
			pool = append(pool, a.Record)
		}
	}
	var s strings.Builder
	fmt.Fprintf(&s, "| target | wrong and answered, mean | spread | in-scope answered |\n|---|---|---|---|\n")
	for _, alpha := range []float64{0.01, 0.02, 0.05, 0.1} {
		sum, squares, answered, others := 0.0, 0.0, 0.0, 0.0
		for i := range uint64(times) {
			rng := rand.New(rand.NewPCG(i, 50))
			rng.Shuffle(len(pool), func(i, j int) { pool[i], pool[j] = pool[j], pool[i] })
			g := gate.Calibrate(pool[:judged], alpha)
			wrong := 0.0
			for j := range pool[judged:] {
				r := &pool[judged+j]
				best, confidence, _ := g.Weigh(&r.Look)
				yes := confidence >= g.Threshold()
				if yes && best != r.Right {
					wrong++
				}
				if !r.Foreign {
					others++
					if yes {
						answered++
					}
				}
			}
			risk := wrong / float64(len(pool)-judged)
			sum += risk
			squares += risk * risk
		}
		mean := sum / times
		fmt.Fprintf(&s, "| %.2f | %.4f | ± %.4f | %.1f %% |\n", alpha, mean, math.Sqrt(max(squares/times-mean*mean, 0)), 100*answered/others)
	}
	return s.String()
}

// fresh calibrates with the first few judged prompts only.
func (e exam) fresh(g *gate.Gate) string {
	records := slices.Clone(g.Records())
	rng := rand.New(rand.NewPCG(1, 1))
	rng.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
	var t table
	for _, n := range []int{0, 100, 400, 700, 1000, len(records)} {
		n = min(n, len(records))
		less := gate.Calibrate(records[:n], 0.05)
		t.add(fmt.Sprintf("%d judged", n), e.figures(less)[4:9])
	}
	return t.String()
}

// loosening shows caution that shrinks with experience: with the confidence as
// it is, the threshold that so many judged prompts allow.
func (e exam) loosening(g *gate.Gate) string {
	var pool []gate.Judged
	var answerable []float64
	put := func(all []asked) {
		for i := range all {
			v := all[i].by(g)
			pool = append(pool, gate.Judged{Confidence: v.confidence, Wrong: !v.right, Foreign: all[i].Foreign})
			if !all[i].Foreign {
				answerable = append(answerable, v.confidence)
			}
		}
	}
	put(e.in)
	put(e.out[:min(len(e.out), int(gate.ForeignShare/(1-gate.ForeignShare)*float64(len(e.in))))])
	var s strings.Builder
	fmt.Fprintf(&s, "| judged | threshold, mean of fifty draws | in-scope answered |\n|---|---|---|\n")
	for _, n := range []int{5, 18, 20, 50, 100, 200, 500, 1000, 2000} {
		const draws = 50
		tau, answered := 0.0, 0.0
		for i := range uint64(draws) {
			rng := rand.New(rand.NewPCG(i, uint64(n)))
			judged := make([]gate.Judged, n)
			for j := range judged {
				judged[j] = pool[rng.IntN(len(pool))]
			}
			t := gate.Threshold(judged, gate.NoPrior(), 0, 0.05)
			tau += t / draws
			answered += share(answerable, func(c float64) bool { return c >= t }) / draws
		}
		fmt.Fprintf(&s, "| %d | %.3f | %.1f %% |\n", n, tau, 100*answered)
	}
	return s.String()
}

// table collects rows of the same figures.
type table struct {
	names []string
	rows  [][]figure
}

func (t *table) add(name string, row []figure) {
	t.names, t.rows = append(t.names, name), append(t.rows, row)
}

func (t *table) mean() map[string]float64 {
	out := map[string]float64{}
	for _, row := range t.rows {
		for _, f := range row {
			out[f.name] += f.value / float64(len(t.rows))
		}
	}
	return out
}

func (t *table) String() string {
	var s strings.Builder
	line := func(name string, cell func(i int) string) {
		fmt.Fprintf(&s, "| %s |", name)
		for i := range t.rows[0] {
			fmt.Fprintf(&s, " %s |", cell(i))
		}
		s.WriteString("\n")
	}
	number := func(name string, x float64) string {
		if cmp.Compare(math.Abs(x), 2) < 0 && !strings.HasSuffix(name, "%") {
			return fmt.Sprintf("%.4f", x)
		}
		return fmt.Sprintf("%.2f", x)
	}
	line("", func(i int) string { return t.rows[0][i].name })
	line("---", func(int) string { return "---" })
	for r, row := range t.rows {
		line(t.names[r], func(i int) string { return number(row[i].name, row[i].value) })
	}
	if len(t.rows) > 1 && strings.HasPrefix(t.names[0], "seed") {
		mean := t.mean()
		line("mean", func(i int) string { return number(t.rows[0][i].name, mean[t.rows[0][i].name]) })
	}
	return s.String()
}
