package model

import (
	"encoding/json"
	"flag"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// The benchmark on CLINC150 (Larson et al., 1909.02027) runs only where this
// variable names a folder that holds clinc150/data_full.json:
//
//	NEXUS_BENCH_DATA=… go test ./model -run '^$' -bench CLINC150 -benchtime 1x
const dataVariable = "NEXUS_BENCH_DATA"

var (
	clincPart = flag.String("clinc.part", "test", "part of CLINC150 that is measured: val for tuning, test for the record")
	clincSize = flag.String("clinc.size", Small, "size of the model")
	clincArch = flag.String("clinc.architecture", Flowing, "architecture of the model")
	clincSeed = flag.Uint64("clinc.seed", 1, "seed of weights and training")
	clincOOS  = flag.Bool("clinc.refusals", false, "teach oos_train as refusals")
)

// BenchmarkCLINC150 teaches CLINC150 through the product's own path (memorise,
// learn, finish) and asks its test prompts.
func BenchmarkCLINC150(b *testing.B) {
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
	for b.Loop() {
		m, took := teachCLINC(b, parts)
		in, out := parts[*clincPart], parts["oos_"+*clincPart]
		reportCLINC(b, m, m.answersTo(in), m.answersTo(out))
		b.ReportMetric(took.Seconds(), "train-s")
	}
}

func teachCLINC(b *testing.B, parts map[string][][2]string) (*Model, time.Duration) {
	m, err := New(Config{Architecture: *clincArch, Size: *clincSize, Seed: *clincSeed})
	if err != nil {
		b.Fatal(err)
	}
	var lessons []Lesson
	var fresh []string
	for _, row := range parts["train"] {
		lessons = append(lessons, Lesson{Topic: "clinc150", Prompt: row[0], Response: row[1]})
	}
	if *clincOOS {
		for _, row := range parts["oos_train"] {
			lessons = append(lessons, Lesson{Topic: "clinc150", Prompt: row[0], Refusal: true})
		}
	}
	for _, l := range lessons {
		fresh = append(fresh, LessonID(l.Topic, l.Prompt))
	}
	m, _ = m.Memorise(lessons)
	began := time.Now()
	l, err := m.Learner(LearnOptions{Fresh: fresh, Seed: *clincSeed})
	if err != nil {
		b.Fatal(err)
	}
	for l.Done() < l.Total() {
		if _, err := l.Step(); err != nil {
			b.Fatal(err)
		}
	}
	took := time.Since(began)
	m, report, err := l.Finish(m)
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("%s; before %+v, after %+v", report.Why, report.Before, report.After)
	return m, took
}

// outcome of one prompt.
type outcome struct {
	confidence float64
	right      bool
	answered   bool
	depth      int
	converged  bool
}

// answersTo asks the rows of a part, one prompt at a time.
func (m *Model) answersTo(rows [][2]string) []outcome {
	out := make([]outcome, 0, len(rows))
	for _, row := range rows {
		v := m.Ask([]Query{{Prompt: row[0]}})[0]
		best, _ := m.Candidate(row[0])
		out = append(out, outcome{
			confidence: v.Confidence, right: !best.Refusal && best.Response == row[1], answered: v.Responded,
			depth: v.Depth, converged: v.Converged,
		})
		if best.Refusal {
			out[len(out)-1].confidence = 0
		}
	}
	return out
}

func reportCLINC(b *testing.B, m *Model, in, out []outcome) {
	share := func(os []outcome, yes func(outcome) bool) float64 {
		n := 0
		for _, o := range os {
			if yes(o) {
				n++
			}
		}
		return float64(n) / float64(len(os))
	}
	b.ReportMetric(100*share(in, func(o outcome) bool { return o.right }), "accuracy-%")
	b.ReportMetric(100*share(in, func(o outcome) bool { return o.answered }), "answered-%")
	b.ReportMetric(100*share(in, func(o outcome) bool { return o.answered && !o.right }), "wrong-answered-%")
	b.ReportMetric(100*share(out, func(o outcome) bool { return !o.answered }), "oos-refused-%")
	b.ReportMetric(100*share(in, func(o outcome) bool { return o.converged }), "converged-%")
	// The confidence at which still 90 % of all in-scope prompts are answered
	// and answered right.
	var rights []float64
	depths := make([]int, 0, len(in))
	for _, o := range in {
		depths = append(depths, o.depth)
		if o.right {
			rights = append(rights, o.confidence)
		}
	}
	slices.Sort(rights)
	slices.Sort(depths)
	b.ReportMetric(float64(depths[len(depths)/2]), "median-depth")
	if spare := len(rights) - (9*len(in)+9)/10; spare >= 0 {
		at := rights[spare]
		b.ReportMetric(100*share(out, func(o outcome) bool { return o.confidence < at }), "oos-recall@90-%")
	}
	b.ReportMetric(auroc(in, out), "auroc")
	b.ReportMetric(calibrationError(in), "ece")
	b.ReportMetric(m.Info().Threshold, "threshold")
}

// auroc is the probability that an in-scope prompt has more confidence than an
// out-of-scope one.
func auroc(in, out []outcome) float64 {
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

// calibrationError is the expected calibration error over fifteen bins (Guo et
// al., 1706.04599).
func calibrationError(os []outcome) float64 {
	const bins = 15
	var n, right, confidence [bins]float64
	for _, o := range os {
		i := min(int(o.confidence*bins), bins-1)
		n[i]++
		confidence[i] += o.confidence
		if o.right {
			right[i]++
		}
	}
	sum := 0.0
	for i := range bins {
		sum += math.Abs(right[i] - confidence[i])
	}
	return sum / float64(len(os))
}
