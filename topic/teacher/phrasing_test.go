package teacher_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sashabaranov/go-openai"

	"github.com/nexus-continuum/nexus/topic/teacher/teachertest"
)

func TestPhrasingsAreNewQuestions(t *testing.T) {
	t.Parallel()
	s := teachertest.Start(t)
	one := connect(t, s.URL, teachertest.Key, time.Minute)
	s.Says("Sure:\n```json\n{\"questions\":[\"Forgot my password\",\"how do i reset my password\",\" \",\"\u202eI am locked out\",\"I cannot sign in\",\"i cannot sign in?\"]}\n```", openai.FinishReasonStop)
	got, err := one.Phrasings(t.Context(), "Open Settings, then Security.", []string{"How do I reset my password?"})
	if want := []string{"Forgot my password", "I cannot sign in"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("phrasings %q, %v; want %q: each once, none that is known", got, err, want)
	}
	if asked := s.Asked()[0].Messages[1].Content; !strings.Contains(asked, "Open Settings, then Security.") || !strings.Contains(asked, "How do I reset my password?") {
		t.Errorf("asked with %q, want the answer and what is known", asked)
	}
	for text, word := range map[string]string{"I would rather not.": "no JSON", `{"questions":[]}`: "no question", `{"questions":1}`: "not the JSON"} {
		s.Says(text, openai.FinishReasonStop)
		if _, err := one.Phrasings(t.Context(), "At nine.", nil); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%q: error %v, want one with %q", text, err, word)
		}
	}
}
