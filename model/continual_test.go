package model

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nexus-continuum/nexus/model/encoder"
	"github.com/nexus-continuum/nexus/model/kernel"
	"github.com/nexus-continuum/nexus/model/learn"
	"github.com/nexus-continuum/nexus/model/text"
)

// BenchmarkContinual teaches the ten domains of CLINC150 (domains.json) one
// after the other, each as one job, and asks for all domains taught so far
// after each. Beside it stand everything at once, the same without replay, and
// plain fine-tuning of a classifier that has no memory; figures are the means
// of -clinc.seeds, and -clinc.base=false begins from scratch. It runs only where
// NEXUS_BENCH_DATA names a folder that holds clinc150/.
func BenchmarkContinual(b *testing.B) {
	atOnce := func(d *domains) *domains {
		return &domains{
			names: []string{"all"}, foreign: d.foreign,
			train: [][][2]string{slices.Concat(d.train...)}, asked: [][][2]string{slices.Concat(d.asked...)},
		}
	}
	inTurn := func(d *domains) *domains { return d }
	for _, c := range []struct {
		name  string
		order func(*domains) *domains
		begin func(b *testing.B, seed uint64) pupil
	}{
		{"product", inTurn, func(b *testing.B, seed uint64) pupil { return newProduct(b, seed, 0) }},
		{"at-once", atOnce, func(b *testing.B, seed uint64) pupil { return newProduct(b, seed, 0) }},
		{"no-replay", inTurn, func(b *testing.B, seed uint64) pupil { return newProduct(b, seed, 1) }},
		{"fine-tuning", inTurn, newFineTuning},
	} {
		b.Run(c.name, func(b *testing.B) {
			d := c.order(readDomains(b))
			for b.Loop() {
				var t table
				for seed := range *clincSeeds {
					t.add("", d.sequence(b, c.begin(b, seed+1)))
				}
				for name, value := range t.mean() {
					b.ReportMetric(value, name)
				}
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// pupil learns rows of prompt and intent, and is asked.
type pupil interface {
	teach(b *testing.B, rows [][2]string)
	asked(rows [][2]string) standing
}

// standing is how rows were answered, in shares of all.
type standing struct {
	right   float64 // the best candidate is, answered or not
	refused float64
	wrong   float64 // answered
}

type domains struct {
	names        []string
	train, asked [][][2]string // by domain
	foreign      [][2]string
}

func readDomains(b *testing.B) *domains {
	folder := os.Getenv(dataVariable)
	if folder == "" {
		b.Skipf("%s does not name a folder with clinc150/", dataVariable)
	}
	read := func(name string, into any) {
		raw, err := os.ReadFile(filepath.Join(folder, "clinc150", name))
		if err == nil {
			err = json.Unmarshal(raw, into)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	var intents map[string][]string
	var parts map[string][][2]string
	read("domains.json", &intents)
	read("data_full.json", &parts)
	d := &domains{foreign: parts["oos_"+*clincPart]}
	for name := range intents {
		d.names = append(d.names, name)
	}
	slices.Sort(d.names)
	of := func(part, name string) (rows [][2]string) {
		for _, row := range parts[part] {
			if slices.Contains(intents[name], row[1]) {
				rows = append(rows, row)
			}
		}
		return rows
	}
	for _, name := range d.names {
		d.train, d.asked = append(d.train, of("train", name)), append(d.asked, of(*clincPart, name))
	}
	return d
}

// sequence teaches domain after domain. Forgetting is the mean over domains of
// the drop from the best that a domain ever had (Chaudhry et al., 1801.10112).
func (d *domains) sequence(b *testing.B, p pupil) []figure {
	b.Helper()
	best, last := make([]float64, len(d.names)), make([]float64, len(d.names))
	var table strings.Builder
	var all, foreign standing
	for i, name := range d.names {
		p.teach(b, d.train[i])
		all = standing{}
		for j := range i + 1 {
			s := p.asked(d.asked[j])
			last[j], best[j] = s.right, max(best[j], s.right)
			all.right += s.right / float64(i+1)
			all.refused += s.refused / float64(i+1)
			all.wrong += s.wrong / float64(i+1)
		}
		foreign = p.asked(d.foreign)
		fmt.Fprintf(&table, "\n%-20s right %5.1f %%, refused %5.1f %%, wrong %4.1f %%; out of scope refused %5.1f %%",
			name, 100*all.right, 100*all.refused, 100*all.wrong, 100*foreign.refused)
	}
	forgotten := 0.0
	for j := range best {
		forgotten += (best[j] - last[j]) / float64(len(best))
	}
	b.Log(table.String())
	return []figure{
		{"%right", 100 * all.right},
		{"%forgotten", 100 * forgotten},
		{"%refused", 100 * all.refused},
		{"%oos-refused", 100 * foreign.refused},
		{"%wrong", 100 * all.wrong},
	}
}

// product is the whole model: memory, gradient steps with replay, gate.
type product struct {
	model *Model
	seed  uint64
}

func newProduct(b *testing.B, seed uint64, replay int) pupil {
	b.Helper()
	cfg := clincConfig(seed)
	cfg.ReplayBuffer = replay
	m, err := New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	return &product{m, seed}
}

func (p *product) teach(b *testing.B, rows [][2]string) {
	lessons := make([]Lesson, len(rows))
	for i, row := range rows {
		lessons[i] = Lesson{Topic: "clinc150", Prompt: row[0], Response: row[1]}
	}
	m, _ := p.model.Memorise(lessons)
	var report Report
	p.model, report = learned(b, m, LearnOptions{Fresh: idsOf(lessons), Seed: p.seed})
	if !report.Promoted {
		b.Logf("not promoted: %s", report.Why)
	}
}

func (p *product) asked(rows [][2]string) (out standing) {
	one := 1 / float64(len(rows))
	for _, row := range rows {
		best, v := p.model.bestOf(row[0])
		right := best == row[1]
		if right {
			out.right += one
		}
		switch {
		case !v.Responded:
			out.refused += one
		case !right:
			out.wrong += one
		}
	}
	return out
}

// bestOf is the response of the best candidate, and the verdict.
func (m *Model) bestOf(prompt string) (string, Verdict) {
	s := m.get()
	defer m.put(s)
	q := Query{Prompt: prompt}
	m.encodeAndSearch([]Query{q}, s)
	v := m.judge(q, 0, s)
	if v.Responded {
		return v.Response, v
	}
	fill(&s.seen, &s.found[0], s.infos[0], m.gate.Profile())
	best, _, _ := m.gate.Weigh(&s.seen)
	if best < 0 {
		return "", v
	}
	response, _ := m.store.Response(s.found[0].Candidates[best].Answer)
	return response, v
}

// fineTuning is what is left without memory and replay: the same encoder, and a
// prototype for each answer, trained on each domain in turn.
type fineTuning struct {
	seed       uint64
	weights    encoder.Weights
	encoder    encoder.Encoder
	labels     map[string]int
	names      []string
	prototypes []float32
}

func newFineTuning(b *testing.B, seed uint64) pupil {
	b.Helper()
	m, err := New(clincConfig(seed))
	if err != nil {
		b.Fatal(err)
	}
	return &fineTuning{seed: seed, weights: m.weights, labels: map[string]int{}}
}

func (f *fineTuning) teach(b *testing.B, rows [][2]string) {
	d, buckets := f.weights.Shape()
	examples := make([]learn.Example, len(rows))
	for i, row := range rows {
		label, ok := f.labels[row[1]]
		if !ok {
			label = len(f.names)
			f.labels[row[1]], f.names = label, append(f.names, row[1])
			f.prototypes = append(f.prototypes, make([]float32, d)...)
		}
		examples[i].Label = label
		text.Reader{Buckets: uint32(buckets)}.Read(&examples[i].Prompt, row[0])
	}
	t, err := learn.New(f.weights, examples, len(f.names), f.prototypes, learn.Options{Seed: f.seed})
	if err != nil {
		b.Fatal(err)
	}
	for t.Done() < t.Total() {
		if _, err := t.Step(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
	f.weights, f.prototypes = t.Weights(), t.Prototypes()
	if f.encoder, err = f.weights.Encoder(encoder.Options{}); err != nil {
		b.Fatal(err)
	}
	if err := t.Close(); err != nil {
		b.Fatal(err)
	}
}

func (f *fineTuning) asked(rows [][2]string) (out standing) {
	var e learn.Example
	d, buckets := f.weights.Shape()
	h, scratch := make([]float32, d), f.encoder.NewScratch()
	for _, row := range rows {
		text.Reader{Buckets: uint32(buckets)}.Read(&e.Prompt, row[0])
		f.encoder.Encode(&e.Prompt, h, scratch)
		best, top := 0, float32(-2)
		for l := range f.names {
			if s := kernel.Dot(h, f.prototypes[l*d:(l+1)*d]); s > top {
				best, top = l, s
			}
		}
		if f.names[best] == row[1] {
			out.right += 1 / float64(len(rows))
		} else {
			out.wrong += 1 / float64(len(rows))
		}
	}
	return out
}
