package model

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nexus-continuum/nexus/model/gate"
	"github.com/nexus-continuum/nexus/model/memory"
	"github.com/nexus-continuum/nexus/topic"
)

var (
	campaignWrite  = flag.String("campaign.write", "", "learn the default calibration from simulated deployments and write it to this file")
	campaignRounds = flag.Float64("campaign.rounds", 1.3, "how many deployments are simulated, as a multiple of the usual number")
	campaignLeave  = flag.Bool("campaign.leave", false, "also learn it without each family of data sets, and show how that does on it")
)

// intent is one answer of a data set: all ways in which it is asked for.
type intent struct {
	name  string
	lines []string
}

// dataset is what deployments are drawn from. Figures are shown by family: what
// a calibration learned from one data set may fit its siblings too well.
type dataset struct {
	name, family string
	intents      []intent
	rounds       int
}

// grouped are the intents of a file of "intent TAB prompt" lines, gzipped or not.
func grouped(t testing.TB, path string, least int) (out []intent) {
	t.Helper()
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		t.Logf("%s is not there: deployments are drawn without it", path)
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	if strings.HasSuffix(path, ".gz") {
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		lines = bufio.NewScanner(z)
	}
	lines.Buffer(nil, 1<<20)
	at, seen := map[string]int{}, map[string]bool{}
	for lines.Scan() {
		name, prompt, ok := strings.Cut(lines.Text(), "\t")
		if key := name + "\t" + strings.ToLower(prompt); !ok || seen[key] {
			continue
		} else {
			seen[key] = true
		}
		i, ok := at[name]
		if !ok {
			i = len(out)
			at[name] = i
			out = append(out, intent{name: name})
		}
		out[i].lines = append(out[i].lines, prompt)
	}
	return slices.DeleteFunc(out, func(g intent) bool { return len(g.lines) < least })
}

// clincByDomain are the train and validation parts of CLINC150, as a whole and by
// domain. Its test part has no say in any choice.
func clincByDomain(t testing.TB, folder string) (out []dataset) {
	t.Helper()
	var data map[string][][2]string
	if !readJSON(t, filepath.Join(folder, "clinc150", "data_full.json"), &data) {
		return nil
	}
	whole := dataset{name: "clinc", family: "clinc", rounds: 30}
	at := map[string]int{}
	for _, part := range []string{"train", "val"} {
		for _, line := range data[part] {
			i, ok := at[line[1]]
			if !ok {
				i = len(whole.intents)
				at[line[1]] = i
				whole.intents = append(whole.intents, intent{name: line[1]})
			}
			whole.intents[i].lines = append(whole.intents[i].lines, line[0])
		}
	}
	out = append(out, whole)
	var domains map[string][]string
	readJSON(t, filepath.Join(folder, "clinc150", "domains.json"), &domains)
	for name, intents := range domains {
		d := dataset{name: "clinc/" + name, family: "clinc", rounds: 6}
		for _, i := range intents {
			d.intents = append(d.intents, whole.intents[at[i]])
		}
		out = append(out, d)
	}
	slices.SortFunc(out, func(a, b dataset) int { return strings.Compare(a.name, b.name) })
	return out
}

func readJSON(t testing.TB, path string, into any) bool {
	t.Helper()
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		t.Logf("%s is not there: deployments are drawn without it", path)
		return false
	}
	if err == nil {
		err = json.Unmarshal(raw, into)
	}
	if err != nil {
		t.Fatal(err)
	}
	return true
}

// datasets are all that may be used for tuning and can be found: those in the
// folder that NEXUS_BENCH_DATA names, and those that come with the program.
func datasets(t testing.TB) (out []dataset) {
	t.Helper()
	if folder := os.Getenv("NEXUS_BENCH_DATA"); folder != "" {
		out = append(out, clincByDomain(t, folder)...)
		out = append(out, dataset{"hwu", "hwu", grouped(t, filepath.Join(folder, "hwu64", "train.tsv"), 6), 40})
		for _, name := range []string{"mdg", "msbot", "assistants", "chit", "snips"} {
			out = append(out, dataset{name, "base", grouped(t, filepath.Join(folder, "base", name+".group.tsv.gz"), 8), 5})
		}
	}
	desk := dataset{name: "helpdesk", family: "helpdesk", rounds: 24}
	for i, p := range phrasings(t, "testdata/helpdesk.txt") {
		desk.intents = append(desk.intents, intent{fmt.Sprint("page ", i), append([]string{p.taught}, p.asked...)})
	}
	facts := dataset{name: "pack", family: "pack", rounds: 12}
	at := map[string]int{}
	for _, l := range pack(t) {
		i, ok := at[l.Response]
		if !ok {
			i = len(facts.intents)
			at[l.Response] = i
			facts.intents = append(facts.intents, intent{name: l.Response})
		}
		facts.intents[i].lines = append(facts.intents[i].lines, l.Prompt)
	}
	return append(out, desk, facts)
}

// pack gives the lessons of general_knowledge.
func pack(t testing.TB) []Lesson {
	t.Helper()
	library, err := topic.Open("")
	if err != nil {
		t.Fatalf("open packs: %v", err)
	}
	p, err := library.Pack("general_knowledge")
	if err != nil {
		t.Fatalf("general_knowledge: %v", err)
	}
	out := make([]Lesson, 0, len(p.Lessons))
	for _, l := range p.Lessons {
		out = append(out, Lesson{Prompt: l.Prompt, Response: l.Response, Topic: p.Name})
	}
	return out
}

func idsOf(lessons []Lesson) []string {
	out := make([]string, len(lessons))
	for i, l := range lessons {
		out[i] = LessonID(l.Topic, l.Prompt)
	}
	return out
}

// question is a prompt and the response that it wants; empty for one that nothing
// was taught about.
type question struct{ prompt, want string }

// plan is a deployment that is to be simulated: what it is taught, and what people
// ask it then.
type plan struct {
	dataset string
	family  string
	answers int
	most    int // lessons an answer
	trained bool
	lessons []Lesson
	asked   []question
	strange []question
}

// size of a deployment: so many answers of so many lessons.
type size struct{ answers, lessons int }

// draw makes a plan of a data set; ok is false where it is too small for the shape.
func (d *dataset) draw(rng *rand.Rand, s size, uneven bool) (p plan, ok bool) {
	intents := slices.Clone(d.intents)
	rng.Shuffle(len(intents), func(i, j int) { intents[i], intents[j] = intents[j], intents[i] })
	intents = slices.DeleteFunc(intents, func(g intent) bool { return len(g.lines) < s.lessons+1 && (s.lessons < 10 || len(g.lines) < 13) })
	if len(intents) < 3 {
		return p, false
	}
	known := max(min(s.answers, len(intents)*4/5), 1)
	p = plan{dataset: d.name, family: d.family, answers: known, most: s.lessons}
	for i, g := range intents {
		lines := slices.Clone(g.lines)
		rng.Shuffle(len(lines), func(a, b int) { lines[a], lines[b] = lines[b], lines[a] })
		if i >= known {
			for _, l := range lines[:min(len(lines), 3)] {
				p.strange = append(p.strange, question{l, ""})
			}
			continue
		}
		n := min(s.lessons, len(lines)-1)
		if uneven {
			n = 1 + rng.IntN(n)
		}
		for _, l := range lines[:n] {
			p.lessons = append(p.lessons, Lesson{Topic: "t", Prompt: l, Response: g.name})
		}
		for _, l := range lines[n:min(len(lines), n+max(3, 300/known))] {
			p.asked = append(p.asked, question{l, g.name})
		}
	}
	rng.Shuffle(len(p.asked), func(i, j int) { p.asked[i], p.asked[j] = p.asked[j], p.asked[i] })
	rng.Shuffle(len(p.strange), func(i, j int) { p.strange[i], p.strange[j] = p.strange[j], p.strange[i] })
	p.asked, p.strange = p.asked[:min(len(p.asked), 300)], p.strange[:min(len(p.strange), 80)]
	return p, true
}

// Shapes that deployments are drawn with.
var (
	manyAnswers = []int{1, 2, 4, 5, 8, 10, 20, 30, 60, 100, 150}
	manyLessons = []int{1, 1, 1, 2, 3, 3, 5, 8, 10, 20, 50, 90}
)

// plans draws deployments of all shapes from every data set. Every third that has
// lessons enough is trained.
func plans(t testing.TB, rounds float64) (out []plan) {
	t.Helper()
	rng := rand.New(rand.NewPCG(7, 7))
	for _, d := range datasets(t) {
		for range int(math.Ceil(float64(d.rounds) * rounds)) {
			s := size{manyAnswers[rng.IntN(len(manyAnswers))], manyLessons[rng.IntN(len(manyLessons))]}
			p, ok := d.draw(rng, s, rng.IntN(3) == 0)
			if !ok || len(p.lessons) > 3000 {
				continue
			}
			p.trained = len(out)%3 == 2 && s.lessons >= 5 && len(p.lessons) >= 40 && len(p.lessons) <= 1200
			out = append(out, p)
		}
	}
	return out
}

// deployment is a plan carried out.
type deployment struct {
	plan
	model *Model
	own   []gate.Record // by which it calibrates itself
	trial gate.Trial    // what it was asked
}

// carriedOut teaches a plan's lessons to empty, and asks its questions.
func (p plan) carriedOut(t testing.TB, empty *Model) deployment {
	t.Helper()
	m, _ := empty.Memorise(p.lessons)
	if p.trained {
		m, _ = learned(t, m, LearnOptions{Fresh: idsOf(p.lessons), Seed: 1})
	}
	j := m.judging(fullScope)
	d := deployment{plan: p, model: m, own: j.all(func() {})}
	m.gate = gate.Calibrate(d.own, m.cfg.TargetError)
	d.trial.Profile, d.trial.Own = m.gate.Profile(), d.own
	d.ask(m)
	d.lead(m)
	return d
}

// ask collects what memory found for the questions.
func (d *deployment) ask(m *Model) {
	s := m.get()
	defer m.put(s)
	number := map[string]uint32{}
	m.store.Each(0, func(_, a uint32) bool {
		response, _ := m.store.Response(a)
		number[response] = a
		return true
	})
	for _, q := range slices.Concat(d.asked, d.strange) {
		r, ok := m.seen(q.prompt, memory.Query{}, s)
		switch {
		case !ok:
			continue
		case q.want == "":
			r.Foreign, r.Sort = true, gate.LeftOut
		default:
			a := number[q.want]
			r.Right = slices.IndexFunc(s.found[0].Candidates, func(c memory.Candidate) bool { return c.Answer == a })
		}
		d.trial.Records = append(d.trial.Records, r)
	}
}

// lead adds the foreign prompts that calibration makes up, but for those that are
// left-out lessons.
func (d *deployment) lead(m *Model) {
	for _, r := range d.own {
		if r.Foreign && r.Sort != gate.LeftOut {
			d.trial.Records = append(d.trial.Records, r)
		}
	}
}

// outcome is how a gate did on what a deployment was asked, in shares.
type outcome struct {
	best, oracle, right, wrong float64
	foreign                    [4]float64 // answered, by sort
	near                       float64    // AUROC of right ones against those whose answer is not known
}

// oracleShare is the target of the oracle: the most right answers that any one
// threshold allows with that share of wrong ones.
const oracleShare = 0.05

func (d *deployment) outcome(g *gate.Gate) (o outcome) {
	type scored struct {
		c     float64
		right bool
	}
	var in []scored
	var foreign [4][]float64
	for i := range d.trial.Records {
		r := &d.trial.Records[i]
		best, c, _ := g.Weigh(&r.Look)
		if r.Foreign {
			foreign[r.Sort] = append(foreign[r.Sort], c)
			continue
		}
		in = append(in, scored{c, best == r.Right})
	}
	n := float64(max(len(in), 1))
	slices.SortFunc(in, func(a, b scored) int { return cmp.Compare(b.c, a.c) })
	right, wrong := 0.0, 0.0
	for _, s := range in {
		if s.right {
			right++
			o.best += 1 / n
		} else {
			wrong++
		}
		if wrong <= oracleShare*n {
			o.oracle = max(o.oracle, right/n)
		}
		if s.c >= g.Threshold() {
			o.right, o.wrong = right/n, wrong/n
		}
	}
	for s, cs := range foreign {
		for _, c := range cs {
			if c >= g.Threshold() {
				o.foreign[s] += 1 / float64(len(cs))
			}
		}
	}
	var known []float64
	for _, s := range in {
		if s.right {
			known = append(known, s.c)
		}
	}
	o.near = aurocOf(known, foreign[gate.LeftOut])
	return o
}

// aurocOf is the chance that one of a is above one of b.
func aurocOf(a, b []float64) float64 {
	if len(a) == 0 || len(b) == 0 {
		return math.NaN()
	}
	sum := 0.0
	for _, x := range a {
		for _, y := range b {
			switch {
			case x > y:
				sum++
			case x == y:
				sum += 0.5
			}
		}
	}
	return sum / float64(len(a)) / float64(len(b))
}

// summary shows outcomes by family and number of lessons.
func summary(all []deployment, gates []*gate.Gate) string {
	type key struct {
		family string
		few    int
	}
	bands := []int{1, 3, 10, 90}
	rows := map[key][]outcome{}
	for i := range all {
		for _, b := range bands {
			if all[i].most <= b {
				k := key{all[i].family, b}
				rows[k] = append(rows[k], all[i].outcome(gates[i]))
				break
			}
		}
	}
	keys := make([]key, 0, len(rows))
	for k := range rows {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b key) int { return cmp.Or(strings.Compare(a.family, b.family), a.few-b.few) })
	var s strings.Builder
	fmt.Fprintf(&s, "| family | lessons, at most | deployments | best right | oracle | right | of the oracle | wrong | wrong, ninth of ten | near AUROC | foreign answered: left out, made up, elsewhere, turned |\n|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, k := range keys {
		var o outcome
		var wrongs []float64
		n, nears := float64(len(rows[k])), 0.0
		for _, r := range rows[k] {
			o.best, o.oracle, o.right, o.wrong = o.best+r.best/n, o.oracle+r.oracle/n, o.right+r.right/n, o.wrong+r.wrong/n
			for i, f := range r.foreign {
				o.foreign[i] += f / n
			}
			if !math.IsNaN(r.near) {
				o.near, nears = o.near+r.near, nears+1
			}
			wrongs = append(wrongs, r.wrong)
		}
		slices.Sort(wrongs)
		fmt.Fprintf(&s, "| %s | %d | %d | %.1f | %.1f | %.1f | %.2f | %.1f | %.1f | %.3f | %.0f %.0f %.0f %.0f |\n", k.family, k.few, len(rows[k]), 100*o.best, 100*o.oracle, 100*o.right,
			o.right/max(o.oracle, 1e-9), 100*o.wrong, 100*wrongs[len(wrongs)*9/10], o.near/max(nears, 1), 100*o.foreign[0], 100*o.foreign[1], 100*o.foreign[2], 100*o.foreign[3])
	}
	return s.String()
}

// TestCampaign learns the default calibration from simulated deployments and
// writes it, when it is asked to.
func TestCampaign(t *testing.T) {
	if *campaignWrite == "" {
		return
	}
	empty, err := New(Config{Seed: 1, Size: cmp.Or(os.Getenv("NEXUS_MODEL_SIZE"), Small)})
	if err != nil {
		t.Fatal(err)
	}
	all := make([]deployment, 0, 300)
	for i, p := range plans(t, *campaignRounds) {
		all = append(all, p.carriedOut(t, empty))
		if i%20 == 0 {
			t.Logf("%d deployments", i)
		}
	}
	var families []string
	if *campaignLeave {
		families = []string{"base", "clinc", "hwu", "helpdesk", "pack"}
	}
	writeDefault(t, all, families, *campaignWrite)
}

// writeDefault learns a default from deployments and writes it. It shows how it does
// on them, and before how one does that was learned without each of the families.
func writeDefault(t *testing.T, all []deployment, families []string, path string) {
	t.Helper()
	without := func(family string) gate.Default {
		var trials []gate.Trial
		for i := range all {
			// The base was made of the texts of the family "base": its nearness flatters.
			if f := all[i].family; f != "base" && f != family {
				trials = append(trials, all[i].trial)
			}
		}
		return gate.Learn(trials)
	}
	gates := make([]*gate.Gate, len(all))
	for _, family := range families {
		d := without(family)
		for i := range all {
			if all[i].family == family {
				gates[i] = d.Calibrate(all[i].own, 0.05)
			}
		}
	}
	if len(families) > 0 {
		t.Logf("each family by a default learned without it:\n%s", summary(all, gates))
	}
	d := without("")
	for i := range all {
		gates[i] = d.Calibrate(all[i].own, 0.05)
	}
	t.Logf("by the default that ships:\n%s", summary(all, gates))
	t.Logf("left out %.2f\nranker %.2f\nconfidence %.2f\nstretch %.2f", d.LeftOut, d.Ranker, d.Confidence, d.Stretch)
	if err := os.WriteFile(path, d.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
