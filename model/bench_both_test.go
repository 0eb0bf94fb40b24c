package model

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/model/gate"
	"github.com/nexus-continuum/nexus/model/kernel"
)

// quiz is what a model is taught, and what it is asked then.
type quiz struct {
	name     string
	lessons  []Lesson
	asked    []question
	training bool
}

// quizzes are those of the table of docs/development/benchmarks.md. Lessons come from
// train parts, questions from test parts.
func quizzes(b *testing.B, seed uint64) (out []quiz) {
	b.Helper()
	folder := os.Getenv(dataVariable)
	if folder == "" {
		b.Skipf("%s does not name a folder with clinc150/ and hwu64/", dataVariable)
	}
	draw := func(name string, train []intent, most int, asked []question) quiz {
		rng := rand.New(rand.NewPCG(seed, uint64(most)))
		e := quiz{name: name, asked: asked}
		for _, g := range train {
			for _, i := range rng.Perm(len(g.lines))[:min(most, len(g.lines))] {
				e.lessons = append(e.lessons, Lesson{Topic: "t", Prompt: g.lines[i], Response: g.name})
			}
		}
		return e
	}
	var asked []question
	for _, g := range grouped(b, filepath.Join(folder, "hwu64", "test.tsv"), 1) {
		for _, l := range g.lines {
			asked = append(asked, question{l, g.name})
		}
	}
	train := grouped(b, filepath.Join(folder, "hwu64", "train.tsv"), 1)
	for _, n := range []int{1, 5, 10} {
		out = append(out, draw(fmt.Sprintf("HWU64, %d", n), train, n, asked))
	}
	clinc := readCLINC(b)
	train, asked = nil, nil
	at := map[string]int{}
	for _, row := range clinc["train"] {
		i, ok := at[row[1]]
		if !ok {
			i = len(train)
			at[row[1]] = i
			train = append(train, intent{name: row[1]})
		}
		train[i].lines = append(train[i].lines, row[0])
	}
	for _, row := range clinc["test"] {
		asked = append(asked, question{row[0], row[1]})
	}
	for _, row := range clinc["oos_test"] {
		asked = append(asked, question{row[0], ""})
	}
	ten := draw("CLINC150, 10", train, 10, asked)
	trained := ten
	trained.name, trained.training = "CLINC150, 10, trained", true
	out = append(out, ten, trained)
	help := quiz{name: "paraphrases, 1"}
	for i, p := range paraphrases(b) {
		l := lessonOf(i, p)
		help.lessons = append(help.lessons, l)
		for _, prompt := range p.asked {
			help.asked = append(help.asked, question{prompt, l.Response})
		}
	}
	return append(out, help)
}

// mark is how an quiz went, in shares; of foreign prompts only what is answered counts.
type mark struct{ best, right, wrong, foreign, sent float64 }

func markOf(asked []question, ask func(prompt string) (best string, v Verdict, sent bool)) (m mark) {
	in, out := 0.0, 0.0
	for _, q := range asked {
		best, v, sent := ask(q.prompt)
		if sent {
			m.sent += 1 / float64(len(asked))
		}
		if q.want == "" {
			out++
			if v.Responded {
				m.foreign++
			}
			continue
		}
		in++
		if best == q.want {
			m.best++
		}
		switch {
		case v.Responded && v.Response == q.want:
			m.right++
		case v.Responded:
			m.wrong++
		}
	}
	m.best, m.right, m.wrong, m.foreign = m.best/in, m.right/in, m.wrong/in, m.foreign/max(out, 1)
	return m
}

// alone is the other encoder by itself: the mean of the cosines to the nearest lesson
// of an answer and to the mean of its lessons, without words, ranker or gate.
func (v *served) alone(e quiz) mark {
	sums, lessons := map[string][]float32{}, map[string][][]float32{}
	for _, l := range e.lessons {
		x := slices.Clone(v.known[l.Prompt])
		kernel.Normalise(x)
		lessons[l.Response] = append(lessons[l.Response], x)
		if sums[l.Response] == nil {
			sums[l.Response] = make([]float32, len(x))
		}
		kernel.Axpy(1, x, sums[l.Response])
	}
	return markOf(e.asked, func(prompt string) (best string, _ Verdict, _ bool) {
		most := float32(-10)
		for name, sum := range sums {
			x, near := v.known[prompt], float32(-1)
			for _, l := range lessons[name] {
				near = max(near, kernel.Dot(l, x))
			}
			if s := near + kernel.Dot(sum, x)/kernel.Norm(sum); s > most {
				best, most = name, s
			}
		}
		return best, Verdict{}, false
	})
}

// BenchmarkEmbeddings shows what an embedding server, named by NEXUS_EMBEDDINGS_URL
// and NEXUS_EMBEDDINGS_MODEL, adds: `make bench-embeddings`.
func BenchmarkEmbeddings(b *testing.B) {
	if os.Getenv("NEXUS_EMBEDDINGS_URL") == "" {
		b.Skip("NEXUS_EMBEDDINGS_URL names no embedding server")
	}
	v := vectorsOf(b)
	marks := map[string]*[4]mark{}
	var names []string
	shares := map[string]float64{}
	for b.Loop() {
		for seed := range *clincSeeds {
			for _, e := range quizzes(b, seed+1) {
				if marks[e.name] == nil {
					marks[e.name] = new([4]mark)
					names = append(names, e.name)
				}
				share := v.sit(b, e, marks[e.name])
				shares[e.name] += share / float64(*clincSeeds)
			}
		}
	}
	var s strings.Builder
	fmt.Fprintf(&s, "| lessons an answer | best right: alone | server alone | both | unsure: right | wrong | foreign | sent | alone: right | wrong | foreign | both: right | wrong | foreign | λ |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n")
	p := func(x float64) float64 { return 100 * x / float64(*clincSeeds) }
	for _, name := range names {
		own, server, both, unsure := marks[name][0], marks[name][1], marks[name][2], marks[name][3]
		fmt.Fprintf(&s, "| %s | %.1f | %.1f | %.1f | %.1f | %.1f | %.1f | %.0f | %.1f | %.1f | %.1f | %.1f | %.1f | %.1f | %.2f |\n", name, p(own.best), p(server.best), p(both.best),
			p(unsure.right), p(unsure.wrong), p(unsure.foreign), p(unsure.sent), p(own.right), p(own.wrong), p(own.foreign), p(both.right), p(both.wrong), p(both.foreign), shares[name])
	}
	b.Logf("%s\n%s", s.String(), v.latency(b))
	b.ReportMetric(0, "ns/op")
}

// sit takes one quiz in every way and adds what came of it; it returns how much the
// server counts.
func (v *served) sit(b *testing.B, e quiz, marks *[4]mark) (share float64) {
	b.Helper()
	m, err := New(Config{Seed: 1})
	if err != nil {
		b.Fatal(err)
	}
	m, _ = m.Memorise(e.lessons)
	if e.training {
		m, _ = learned(b, m, LearnOptions{Fresh: idsOf(e.lessons), Seed: 1})
	} else {
		m = m.Calibrated(func() {})
	}
	texts := make([]string, 0, len(e.asked))
	for _, q := range e.asked {
		texts = append(texts, Texts(q.prompt)...)
	}
	v.need(texts)
	seen := v.onto(m)
	f := seen.Fit(func() {})
	v.need(f.Texts())
	f.Calibrate(v.see, func() {})
	seen = f.Onto(seen)
	both := seen.blended(f.share, seen.view.fit.gate, v.see)
	serves := seen.Both()
	own := func(m *Model) func(prompt string) (string, Verdict, bool) {
		return func(prompt string) (string, Verdict, bool) {
			best, _ := m.bestOf(prompt)
			return best, m.Ask([]Query{{Prompt: prompt}})[0], false
		}
	}
	ways := []mark{
		markOf(e.asked, own(m)), v.alone(e), markOf(e.asked, own(both)),
		markOf(e.asked, func(prompt string) (string, Verdict, bool) {
			v := m.Ask([]Query{{Prompt: prompt}})[0]
			if v.Reason == job.ReasonTaughtRefusal || v.Reason == job.ReasonNotConverged || serves.Sure(&v) {
				return "", v, false
			}
			return "", both.Ask([]Query{{Prompt: prompt}})[0], true
		}),
	}
	for i, w := range ways {
		s := &marks[i]
		s.best, s.right, s.wrong, s.foreign, s.sent = s.best+w.best, s.right+w.right, s.wrong+w.wrong, s.foreign+w.foreign, s.sent+w.sent
	}
	return f.share
}

// latency tells how long one prompt takes: at the server, and in the model that sees
// through both.
func (v *served) latency(b *testing.B) string {
	b.Helper()
	var took []time.Duration
	for i := range 100 {
		began := time.Now()
		if _, err := v.client.Embed(b.Context(), v.client.Model(), v.dim, []string{fmt.Sprintf("how do i change the number %d of my card", i)}); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	e := quizzes(b, 1)[3]
	m, err := New(Config{Seed: 1})
	if err != nil {
		b.Fatal(err)
	}
	m, _ = m.Memorise(e.lessons)
	m = v.onto(m)
	both := m.blended(usualShare(), gate.NewBoth(0.05), v.see)
	per := func(m *Model) time.Duration {
		began := time.Now()
		for _, q := range e.asked[:500] {
			m.Ask([]Query{{Prompt: q.prompt}})
		}
		return time.Since(began) / 500
	}
	return fmt.Sprintf("a request of one prompt: p50 %s, p99 %s; a prompt in the model over 1 500 lessons: own encoder %s, both %s",
		took[50].Round(100*time.Microsecond), took[98].Round(100*time.Microsecond), per(m).Round(time.Microsecond), per(both).Round(time.Microsecond))
}
