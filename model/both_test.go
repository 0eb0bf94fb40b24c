package model

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/nexus-continuum/nexus/model/flow"
)

// meant is another encoder: texts that end in the same word mean the same.
func meant(text string) []float32 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(text[strings.LastIndex(text, " ")+1:]))
	rng := rand.New(rand.NewPCG(h.Sum64(), 2))
	v := make([]float32, 24)
	for i := range v {
		v[i] = float32(rng.NormFloat64()) + 2 // as of many encoders, all point one way
	}
	return v
}

var meantSpace = Space{Name: "meant", Dim: 24}

// sighted gives m what meant sees of its lessons, fitted.
func sighted(t *testing.T, m *Model) *Model {
	t.Helper()
	vectors := map[string][]float32{}
	for _, text := range m.Unseen(meantSpace) {
		vectors[text] = meant(text)
	}
	m = m.WithVectors(meantSpace, vectors)
	f := m.Fit(func() {})
	if f == nil {
		t.Fatal("the view is not complete")
	}
	f.Calibrate(meant, func() {})
	if m = f.Onto(m); !m.Fitted() || m.Both() == nil {
		t.Fatal("the view is not fitted")
	}
	return m
}

// endings are lessons whose last word says what they mean, and a prompt for each
// answer that has only that word in common with them.
func endings() (lessons []Lesson, asked map[string]string) {
	asked = map[string]string{}
	for i, word := range []string{"invoice", "holiday", "printer", "network", "lunch", "badge", "parking", "laptop", "badminton", "shuttle"} {
		for j, way := range []string{"please tell me about the %s", "what do I do with my %s", "who knows the %s"} {
			lessons = append(lessons, Lesson{Topic: "t", Prompt: fmt.Sprintf(way, fmt.Sprint(word, "s"[:j%2])), Response: fmt.Sprint("Answer ", i)})
		}
		asked[fmt.Sprintf("uncle %c wonders: %s", 'a'+i, word)] = fmt.Sprint("Answer ", i)
	}
	return lessons, asked
}

func TestBothEncodersKnowTheSameLessons(t *testing.T) {
	t.Parallel()
	lessons, asked := endings()
	m, err := New(Config{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	before, _ := m.Memorise(lessons)
	before = before.Calibrated(func() {})
	if before.Both() != nil {
		t.Fatal("there is another view without any vectors")
	}
	m = sighted(t, before)
	both := m.Both()
	for _, l := range lessons {
		if v := both.Ask([]Query{{Prompt: l.Prompt}}, meant)[0]; v.Response != l.Response || !v.Repeat {
			t.Errorf("%q: %+v", l.Prompt, v)
		}
	}
	right := 0
	for prompt, want := range asked {
		v := both.Ask([]Query{{Prompt: prompt}}, meant)[0]
		if v.Response == want {
			right++
		} else if v.Responded {
			t.Errorf("%q is answered %q", prompt, v.Response)
		}
	}
	if right < len(asked)*2/3 {
		t.Errorf("%d of %d answered", right, len(asked))
	}
	// The own encoder alone answers as it did.
	for prompt := range asked {
		if a, b := fmt.Sprintf("%+v", before.Ask([]Query{{Prompt: prompt}})), fmt.Sprintf("%+v", m.Ask([]Query{{Prompt: prompt}})); a != b {
			t.Errorf("%q: alone %s, beside another %s", prompt, a, b)
		}
	}
	if n := len(m.Parts()); n <= len(before.Parts()) || !same(before.Parts(), m.Parts()[:len(before.Parts())]) {
		t.Error("the own parts are not as they were")
	}

	again, err := Open(Config{Seed: 1}, m.Parts())
	if err != nil {
		t.Fatal(err)
	}
	if !same(m.Parts(), again.Parts()) || again.Both() == nil || again.Both().Share() != both.Share() {
		t.Error("what was opened is not what was written")
	}
}

func same(a, b []Part) bool {
	return slices.EqualFunc(a, b, func(x, y Part) bool { return x.Name == y.Name && bytes.Equal(x.Data, y.Data) })
}

func TestAViewFollowsItsModel(t *testing.T) {
	t.Parallel()
	lessons, _ := endings()
	m, err := New(Config{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	m, _ = m.Memorise(lessons)
	m = sighted(t, m)

	more, _ := m.Memorise([]Lesson{{Topic: "t", Prompt: "something new", Response: "Yes."}})
	if more.Both() != nil || !slices.Equal(more.Unseen(meantSpace), []string{"something new"}) {
		t.Errorf("a lesson that nobody embedded: missing %q", more.Unseen(meantSpace))
	}
	less, _ := m.Unlearn(func(l Lesson) bool { return l.Prompt == lessons[0].Prompt })
	for _, p := range less.Parts() {
		if strings.HasPrefix(p.Name, prefixViewLessons) && len(p.Data) > (len(lessons)-1)*(2*meantSpace.Dim+1)+2 {
			t.Errorf("part %s of %d bytes holds more than %d vectors", p.Name, len(p.Data), len(lessons)-1)
		}
	}
	if less.Both() == nil || less.Seen() != len(lessons)-1 {
		t.Errorf("after unlearning %d lessons are seen", less.Seen())
	}
	// Other weights see otherwise: what was fitted to the old ones says nothing of them.
	w, ok := m.weights.Clone().(*flow.Weights)
	if !ok {
		t.Fatal("no flowing weights")
	}
	other, err := m.withWeights(w, true)
	if err != nil || other.Fitted() || other.Both() != nil || len(other.Unseen(meantSpace)) != 0 {
		t.Errorf("with other weights: fitted %v, missing %q, %v", other.Fitted(), other.Unseen(meantSpace), err)
	}
	if strict, err := m.WithTargetError(0.001); err != nil || strict.Both() == nil || strict.view.fit.gate.Threshold() <= m.view.fit.gate.Threshold() {
		t.Error("a stricter bound does not reach the other calibration")
	}
	if n := len(m.Unseen(Space{Name: "another", Dim: 24})); n != len(lessons)+len(elsewhere()) {
		t.Errorf("%d texts are wanted in another space", n)
	}
}

func TestFeedbackCountsForBothEncoders(t *testing.T) {
	t.Parallel()
	lessons, asked := endings()
	m, err := New(Config{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	m, _ = m.Memorise(lessons)
	m = sighted(t, m)
	before := m.view.fit.gate.Threshold()
	var complaints []Judgement
	for prompt := range asked {
		if v := m.Both().Ask([]Query{{Prompt: prompt}}, meant)[0]; v.Responded {
			complaints = append(complaints, Judgement{Interaction: prompt, Prompt: prompt, Response: &v.Response})
		}
	}
	m, _ = m.Feedback(complaints)
	for _, c := range complaints {
		if v := m.Both().Ask([]Query{{Prompt: c.Prompt}}, meant)[0]; v.Responded && v.Response == *c.Response {
			t.Errorf("%q is answered again with what was called wrong", c.Prompt)
		}
	}
	if m.Fitted() {
		t.Error("it is not fitted anew")
	}
	if m, err = Open(Config{Seed: 1}, m.Parts()); err != nil || m.Fitted() || len(m.view.judgements) != len(complaints) {
		t.Fatalf("after opening %d judgements, %v", len(m.view.judgements), err)
	}
	if m = sighted(t, m); m.view.fit.gate.Threshold() <= before {
		t.Errorf("threshold %.3f after %d complaints, before %.3f", m.view.fit.gate.Threshold(), len(complaints), before)
	}
	m, _ = m.Unlearn(func(Lesson) bool { return true })
	if len(m.view.judgements) != 0 {
		t.Errorf("%d judgements of what was unlearned are kept", len(m.view.judgements))
	}
}

func TestDamagedVectorsAreNotOpened(t *testing.T) {
	t.Parallel()
	lessons, _ := endings()
	m, err := New(Config{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	m, _ = m.Memorise(lessons)
	m = sighted(t, m)
	parts := m.Parts()
	for i, p := range parts {
		if !strings.HasPrefix(p.Name, partView) {
			continue
		}
		for _, n := range []int{0, 1, len(p.Data) / 2, len(p.Data) - 1} {
			cut := slices.Clone(parts)
			cut[i].Data = p.Data[:n]
			if _, err := Open(Config{Seed: 1}, cut); err == nil {
				t.Errorf("part %s of %d bytes instead of %d is opened", p.Name, n, len(p.Data))
			}
		}
	}
}
