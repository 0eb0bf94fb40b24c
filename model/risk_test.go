package model

import (
	"fmt"
	"testing"
)

// A bolder bound never raises the threshold, and what the present one leads to is what
// serves.
func TestRiskOfTargets(t *testing.T) {
	t.Parallel()
	m, err := New(Config{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	var lessons []Lesson
	for i, thing := range []string{"pump", "valve", "filter", "gasket", "bearing", "sensor", "motor", "cable", "hinge", "bolt", "spring", "lever"} {
		for _, ask := range []string{"Where do we keep the spare %s?", "spare %s location", "in which store is the %s", "I need a new %s, where is it"} {
			lessons = append(lessons, Lesson{Topic: "store", Prompt: fmt.Sprintf(ask, thing), Response: fmt.Sprintf("Shelf %d", i)})
		}
	}
	m, _ = m.Memorise(lessons)
	m, _ = m.Recalibrate(func() bool { return true })
	targets := []float64{0.001, 0.01, 0.05, 0.2, 0.5}
	r := m.Risk(m.Config().TargetError, targets)
	if r.Prompts == 0 || r.Foreign == 0 || len(r.Curve) == 0 {
		t.Fatalf("nothing was held out: %+v", r)
	}
	for i := 1; i < len(r.Choices); i++ {
		if a, b := r.Choices[i-1], r.Choices[i]; b.Threshold > a.Threshold || b.Answered < a.Answered {
			t.Errorf("from %v to %v: %+v to %+v", targets[i-1], targets[i], a, b)
		}
	}
	if want := m.Info().Threshold; r.Now.Threshold != want || r.Now != r.Choices[2] {
		t.Errorf("now %+v, want the threshold %v and %+v", r.Now, want, r.Choices[2])
	}
	other, err := m.WithTargetError(0.2)
	if err != nil || other.Info().Threshold != r.Choices[3].Threshold {
		t.Errorf("with a target of 0.2 the threshold is %v, foretold %v (%v)", other.Info().Threshold, r.Choices[3].Threshold, err)
	}
	n := 0
	for _, b := range r.Reliability {
		n += b.Prompts
		if b.Prompts > 0 && (b.Confidence < b.From || b.Confidence > b.To || b.Right < 0 || b.Right > 1) {
			t.Errorf("%+v", b)
		}
	}
	if n != r.Prompts {
		t.Errorf("%d prompts in the diagram, want %d", n, r.Prompts)
	}
}
