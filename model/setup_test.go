package model_test

import (
	"fmt"
	"testing"

	"github.com/nexus-continuum/nexus/model"
)

// taught is a small flowing model that knows lessons.
func taught(t testing.TB, lessons []model.Lesson) *model.Model {
	t.Helper()
	m, err := model.New(model.Config{Seed: 3})
	if err != nil {
		t.Fatalf("new model: %v", err)
	}
	m, _ = m.Memorise(lessons)
	m = m.Calibrated(func() {})
	return m
}

func ask(m *model.Model, prompt string) model.Verdict {
	return m.Ask([]model.Query{{Prompt: prompt}})[0]
}

// manyLessons are n lessons with two phrasings an answer.
func manyLessons(n int) []model.Lesson {
	out := make([]model.Lesson, 0, n)
	for i := range n {
		prompt := "what is item %d called"
		if i%2 == 1 {
			prompt = "the name of item %d"
		}
		out = append(out, model.Lesson{Topic: "numbers", Prompt: fmt.Sprintf(prompt, i/2), Response: fmt.Sprintf("It is called %d.", i/2)})
	}
	return out
}

// fourPhrasings are n answers with four lessons each: one of them is held out of
// gradient steps.
func fourPhrasings(n int) (out []model.Lesson) {
	for i := range n {
		for _, prompt := range []string{"what is item %d called", "the name of item %d", "tell me how item %d is named", "does item %d have a name"} {
			out = append(out, model.Lesson{Topic: "numbers", Prompt: fmt.Sprintf(prompt, i), Response: fmt.Sprintf("It is called %d.", i)})
		}
	}
	return out
}
