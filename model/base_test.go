package model_test

import (
	"testing"

	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/model/base"
)

// A model that has only memorised goes over to another base with all its
// lessons; one whose weights were trained keeps them.
func TestAnotherBase(t *testing.T) {
	t.Parallel()
	without := model.Config{Seed: 3, Base: base.None()}
	old, err := model.New(without)
	if err != nil {
		t.Fatal(err)
	}
	old, _ = old.Memorise(fourPhrasings(50))
	if old.Info().Base != "" {
		t.Errorf("a model without a base names %q", old.Info().Base)
	}

	over, err := model.Open(model.Config{Seed: 3}, old.Parts())
	if err != nil {
		t.Fatal(err)
	}
	if got := over.Info(); got.Base != base.For(model.Small).Digest() || got.Lessons != 200 {
		t.Errorf("base %q with %d lessons", got.Base, got.Lessons)
	}
	if v := ask(over, "what is item 7 called"); v.Response != "It is called 7." {
		t.Errorf("after the change of the base: %+v", v)
	}
	again, err := model.Open(model.Config{Seed: 3}, over.Parts())
	if err != nil {
		t.Fatal(err)
	}
	same(t, over.Parts(), again.Parts())

	l, err := old.Learner(model.LearnOptions{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := l.Step(); err != nil {
			t.Fatal(err)
		}
	}
	trained, report, err := l.Finish(old)
	if err != nil || !report.Promoted {
		t.Fatalf("finish: %v, %+v", err, report)
	}
	kept, err := model.Open(model.Config{Seed: 3}, trained.Parts())
	if err != nil {
		t.Fatal(err)
	}
	if kept.Info().Base != "" {
		t.Error("trained weights went over to another base")
	}
	same(t, trained.Parts(), kept.Parts())
}
