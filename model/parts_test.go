package model_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/model/wire"
)

func TestReopenedModelGivesTheSameVerdicts(t *testing.T) {
	t.Parallel()
	m := taught(t, manyLessons(700))
	m, _ = m.Memorise([]model.Lesson{{Topic: "numbers", Prompt: "what is item 7 called", Response: "It has another name now."}})
	again, err := model.Open(model.Config{Seed: 3}, m.Parts())
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	for _, p := range []string{"what is item 7 called", "what is item 12 called?", "item 13 please", "nothing of the kind", "wht is item 14 called"} {
		a, b := ask(m, p), ask(again, p)
		// What the replaced lesson said still weighs a little in the model that
		// saw it go, and not in the opened one.
		if math.Abs(a.Confidence-b.Confidence) > 0.01 {
			t.Errorf("%q: confidence %.4f, after opening %.4f", p, a.Confidence, b.Confidence)
		}
		b.Confidence = a.Confidence
		if fmt.Sprintf("%+v", a) != fmt.Sprintf("%+v", b) {
			t.Errorf("%q: before %+v, after opening %+v", p, a, b)
		}
	}
	if a, b := fmt.Sprintf("%+v", m.Info()), fmt.Sprintf("%+v", again.Info()); a != b {
		t.Errorf("info before %s, after opening %s", a, b)
	}
	same(t, m.Parts(), again.Parts())
}

func same(t *testing.T, a, b []model.Part) {
	t.Helper()
	if len(a) != len(b) {
		t.Fatalf("%d parts and then %d", len(a), len(b))
	}
	for i := range a {
		if a[i].Name != b[i].Name || !bytes.Equal(a[i].Data, b[i].Data) {
			t.Errorf("part %s differs", a[i].Name)
		}
	}
}

func TestAFewLessonsChangeFewBytes(t *testing.T) {
	t.Parallel()
	m := taught(t, manyLessons(3000))
	next, _ := m.Memorise([]model.Lesson{{Topic: "t", Prompt: "one more thing", Response: "Indeed."}})
	old := map[string][]byte{}
	for _, p := range m.Parts() {
		old[p.Name] = p.Data
	}
	changed, all := 0, 0
	for _, p := range next.Parts() {
		all += len(p.Data)
		if !bytes.Equal(old[p.Name], p.Data) {
			changed += len(p.Data)
		}
	}
	if changed*4 > all {
		t.Errorf("one lesson more changes %d of %d bytes", changed, all)
	}
}

func TestDamagedPartsAreRefused(t *testing.T) {
	t.Parallel()
	parts := taught(t, manyLessons(40)).Parts()
	for i := range parts {
		for _, cut := range []int{0, 1, len(parts[i].Data) / 2, len(parts[i].Data) - 1} {
			damaged := append([]model.Part(nil), parts...)
			damaged[i].Data = parts[i].Data[:cut]
			if _, err := model.Open(model.Config{Seed: 3}, damaged); !errors.Is(err, wire.ErrCorrupt) {
				t.Errorf("part %s cut to %d bytes: %v", parts[i].Name, cut, err)
			}
		}
		if _, err := model.Open(model.Config{Seed: 3}, append(append([]model.Part(nil), parts[:i]...), parts[i+1:]...)); err == nil {
			t.Errorf("part %s is missing and nobody notices", parts[i].Name)
		}
	}
}

func FuzzOpen(f *testing.F) {
	parts := taught(f, manyLessons(12)).Parts()
	for i, p := range parts {
		f.Add(uint8(i), p.Data)
	}
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		hostile := append([]model.Part(nil), parts...)
		hostile[int(which)%len(parts)].Data = data
		m, err := model.Open(model.Config{Seed: 3}, hostile)
		if err != nil {
			return
		}
		ask(m, "what is item 7 called")
		m.Unlearn(func(l model.Lesson) bool { return l.Prompt == "item 3" })
		if _, err := model.Open(model.Config{Seed: 3}, m.Parts()); err != nil {
			t.Fatalf("what was opened cannot be opened again: %v", err)
		}
	})
}
