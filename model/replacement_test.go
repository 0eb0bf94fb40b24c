package model

import (
	"math"
	"testing"

	"github.com/nexus-continuum/nexus/model/base"
)

// A successor of every other shape learns all lessons, also those that came
// while it was trained, and the former model stays as it was.
func TestReplacement(t *testing.T) {
	t.Parallel()
	// With so few phrasings an answer none is held out, and the successor is not
	// measured by two steps.
	lessons := fewPhrasings(pack(t), 3)[:160]
	for name, cfg := range map[string]Config{
		"layered":              {Architecture: Layered},
		"base":                 {Size: Base},
		"layered without base": {Architecture: Layered, Base: base.None()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, err := New(Config{Seed: 1})
			if err != nil {
				t.Fatal(err)
			}
			m, _ = m.Memorise(lessons[:150])
			l, err := m.Replacement(cfg, LearnOptions{Seed: 1})
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if _, err := l.Step(); err != nil {
					t.Fatal(err)
				}
			}
			onto, _ := m.Memorise(lessons[150:])
			onto, _ = onto.Unlearn(func(x Lesson) bool { return x.Prompt == lessons[0].Prompt })
			next, report, err := l.judgeAndPromote(onto, l.trainer.Weights())
			if err != nil {
				t.Fatal(err)
			}
			if !report.Promoted {
				t.Fatalf("not promoted: %s", report.Why)
			}
			want := cfg.withDefaults()
			if i := next.Info(); i.Architecture != want.Architecture || i.Size != want.Size || i.Lessons != 159 || !i.Trained || i.Base != want.Base.Digest() {
				t.Errorf("the successor is %+v", i)
			}
			for _, l := range []Lesson{lessons[3], lessons[155]} {
				if v := next.Ask([]Query{{Prompt: l.Prompt}})[0]; v.Response != l.Response {
					t.Errorf("%q is answered %q", l.Prompt, v.Response)
				}
			}
			if v := onto.Ask([]Query{{Prompt: lessons[3].Prompt}})[0]; v.Response != lessons[3].Response || onto.Info().Architecture != Flowing {
				t.Errorf("the former model: %+v", v)
			}
			again, err := Open(cfg, next.Parts())
			if err != nil || again.Info().Lessons != 159 || !again.Info().Trained {
				t.Errorf("opened again: %v", err)
			}
		})
	}
}

// fewPhrasings keeps n lessons an answer.
func fewPhrasings(lessons []Lesson, n int) (out []Lesson) {
	seen := map[string]int{}
	for _, l := range lessons {
		if seen[l.Response]++; seen[l.Response] <= n {
			out = append(out, l)
		}
	}
	return out
}

// What is broken stays out, as with all new weights, and the former model serves.
func TestAReplacementIsJudged(t *testing.T) {
	t.Parallel()
	m, err := New(Config{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	lessons := pack(t)[:300]
	m, _ = m.Memorise(lessons)
	l, err := m.Replacement(Config{Architecture: Layered}, LearnOptions{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	broken := l.trainer.Weights()
	broken.Sections()[0].Data[77] = float32(math.NaN())
	next, report, err := l.judgeAndPromote(m, broken)
	if err != nil {
		t.Fatal(err)
	}
	if report.Promoted || report.Why == "" || next.Info().Architecture != Flowing {
		t.Errorf("a broken model follows: %+v", report)
	}
	if v := next.Ask([]Query{{Prompt: lessons[5].Prompt}})[0]; v.Response != lessons[5].Response {
		t.Errorf("the former model: %+v", v)
	}
}
