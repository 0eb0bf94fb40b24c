package model

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/nexus-continuum/nexus/model/base"
)

// paraphrased is one prompt that is taught, and others that ask the same.
type paraphrased struct {
	taught string
	asked  []string
}

// paraphrases are questions to help desks, written for this test: nothing of
// them is in the text that the bases were made from.
func paraphrases(t testing.TB) []paraphrased { return phrasings(t, "testdata/paraphrase.txt") }

// phrasings reads a prompt and three paraphrases a line.
func phrasings(t testing.TB, file string) (out []paraphrased) {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		parts := strings.Split(strings.TrimSpace(line), " | ")
		if len(parts) != 4 {
			t.Fatalf("%q: %d parts, want a prompt and three paraphrases", line, len(parts))
		}
		out = append(out, paraphrased{parts[0], parts[1:]})
	}
	return out
}

func lessonOf(i int, p paraphrased) Lesson {
	return Lesson{Topic: "help", Prompt: p.taught, Response: fmt.Sprintf("Page %d of the handbook.", i)}
}

// standingOf asks all paraphrases of a model that was taught each prompt once.
func standingOf(m *Model, all []paraphrased) (out standing) {
	n := 0.0
	for i, p := range all {
		want := lessonOf(i, p).Response
		for _, prompt := range p.asked {
			best, v := m.bestOf(prompt)
			n++
			if best == want {
				out.right++
			}
			switch {
			case !v.Responded:
				out.refused++
			case v.Response != want:
				out.wrong++
			}
		}
	}
	out.right, out.refused, out.wrong = out.right/n, out.refused/n, out.wrong/n
	return out
}

func memorised(t testing.TB, cfg Config, all []paraphrased) *Model {
	t.Helper()
	m, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var lessons []Lesson
	for i, p := range all {
		lessons = append(lessons, lessonOf(i, p))
	}
	m, _ = m.Memorise(lessons)
	m = m.Calibrated(func() {})
	return m
}

// BenchmarkParaphrase teaches one prompt an answer, takes no gradient step, and
// asks three paraphrases of each, by the calibration that comes with the program.
func BenchmarkParaphrase(b *testing.B) {
	for name, cfg := range map[string]Config{
		"small/none": {Base: base.None()}, "small/base": {}, "base/none": {Size: Base, Base: base.None()}, "base/base": {Size: Base},
	} {
		b.Run(name, func(b *testing.B) {
			all := paraphrases(b)
			var s standing
			for b.Loop() {
				s = standingOf(memorised(b, cfg, all), all)
			}
			b.ReportMetric(100*s.right, "%best-right")
			b.ReportMetric(100*(1-s.refused-s.wrong), "%answered-right")
			b.ReportMetric(100*s.wrong, "%answered-wrong")
			b.ReportMetric(0, "ns/op")
		})
	}
}
