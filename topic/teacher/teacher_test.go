package teacher_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sashabaranov/go-openai"

	"github.com/nexus-continuum/nexus/topic"
	"github.com/nexus-continuum/nexus/topic/teacher"
	"github.com/nexus-continuum/nexus/topic/teacher/teachertest"
)

func connect(t *testing.T, url, key string, patience time.Duration) *teacher.Teacher {
	t.Helper()
	one, err := teacher.New(teacher.Options{URL: url, Model: "tiny", APIKey: key, Answers: 7, Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	return one
}

const tides = `{"lessons":[
{"answer":"Mostly the Moon, and the Sun to a lesser part.","questions":["What causes the tides?","why are there tides"," "]},
{"answer":"About twelve hours and 25 minutes.","questions":["How long is it from one high tide to the next?","what causes the tides"]},
{"answer":"","questions":["What is a neap tide?"]}]}`

func TestLessonsAreReadFromWhatModelsWrite(t *testing.T) {
	t.Parallel()
	want := []topic.Lesson{
		{Prompt: "What causes the tides?", Response: "Mostly the Moon, and the Sun to a lesser part."},
		{Prompt: "why are there tides", Response: "Mostly the Moon, and the Sun to a lesser part."},
		{Prompt: "How long is it from one high tide to the next?", Response: "About twelve hours and 25 minutes."},
	}
	for name, text := range map[string]string{
		"JSON":          tides,
		"in a fence":    "```json\n" + tides + "\n```",
		"with a remark": "Here are your lessons:\n" + tides + "\nShall I write more?",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := teachertest.Start(t)
			s.Says(text, openai.FinishReasonStop)
			got, err := connect(t, s.URL+"/", teachertest.Key, time.Minute).Lessons(t.Context(), "tides")
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("lessons %q, %v; want %q: each question once, nothing empty", got, err, want)
			}
			asked := s.Asked()
			if len(asked) != 1 || asked[0].Model != "tiny" || asked[0].ResponseFormat.Type != openai.ChatCompletionResponseFormatTypeJSONSchema {
				t.Fatalf("asked %+v, want the model tiny once, held to a schema", asked)
			}
			if last := asked[0].Messages[1].Content; !strings.Contains(last, "tides") || !strings.Contains(last, "7 answers") {
				t.Errorf("asked for %q, want the topic and the number of answers", last)
			}
		})
	}
}

func TestTeacherErrorsSayWhatToDo(t *testing.T) {
	t.Parallel()
	says := func(text string, finish openai.FinishReason) func(*teachertest.Server) {
		return func(s *teachertest.Server) { s.Says(text, finish) }
	}
	fails := func(status int) func(*teachertest.Server) {
		return func(s *teachertest.Server) { s.Fails(status) }
	}
	for _, c := range []struct {
		name  string
		key   string
		set   func(*teachertest.Server)
		wraps error
		word  string
	}{
		{"a wrong key", "other", says(tides, openai.FinishReasonStop), teacher.ErrRefused, "NEXUS_TEACHER_API_KEY"},
		{"an unknown model", teachertest.Key, fails(http.StatusNotFound), teacher.ErrRefused, "NEXUS_TEACHER_MODEL"},
		{"a request that it does not take", teachertest.Key, fails(http.StatusBadRequest), teacher.ErrRefused, "Bad Request"},
		{"too many requests", teachertest.Key, fails(http.StatusTooManyRequests), teacher.ErrAway, "Too Many"},
		{"a fault of the server", teachertest.Key, fails(http.StatusInternalServerError), teacher.ErrAway, "Internal Server Error"},
		{"an answer that was cut off", teachertest.Key, says(tides[:90], openai.FinishReasonLength), teacher.ErrRefused, "NEXUS_TEACHER_ANSWERS"},
		{"no JSON", teachertest.Key, says("I would rather not.", openai.FinishReasonStop), nil, "no JSON"},
		{"other JSON", teachertest.Key, says(`{"lessons":"none"}`, openai.FinishReasonStop), nil, "not the JSON that was asked for"},
		{"no lessons", teachertest.Key, says(`{"lessons":[]}`, openai.FinishReasonStop), nil, "no lesson"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := teachertest.Start(t)
			c.set(s)
			got, err := connect(t, s.URL, c.key, time.Minute).Lessons(t.Context(), "tides")
			if err == nil || !strings.Contains(err.Error(), c.word) {
				t.Fatalf("%d lessons, error %v; want one with %q", len(got), err, c.word)
			}
			for _, one := range []error{teacher.ErrRefused, teacher.ErrAway} {
				if errors.Is(err, one) != errors.Is(c.wraps, one) {
					t.Errorf("error %v, want one that wraps %v", err, c.wraps)
				}
			}
		})
	}
}

// A proxy in between may answer with a page, or with something that is no answer.
func TestTeacherBehindAProxy(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]error{http.StatusBadGateway: teacher.ErrAway, http.StatusForbidden: teacher.ErrRefused, http.StatusOK: nil} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = w.Write([]byte("<html>" + strings.Repeat("please wait ", 1000)))
		}))
		t.Cleanup(s.Close)
		_, err := connect(t, s.URL, "", time.Minute).Lessons(t.Context(), "tides")
		if err == nil || want != nil && !errors.Is(err, want) || want == nil && (errors.Is(err, teacher.ErrAway) || errors.Is(err, teacher.ErrRefused)) || len(err.Error()) > 600 {
			t.Errorf("status %d: error %v, want a short one that wraps %v", status, err, want)
		}
	}
}

// A model that thinks for ever is not waited for.
func TestTeacherIsNotWaitedForForEver(t *testing.T) {
	t.Parallel()
	thinking := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-thinking }))
	t.Cleanup(s.Close)
	t.Cleanup(func() { close(thinking) })
	_, err := connect(t, s.URL, "", 50*time.Millisecond).Lessons(t.Context(), "tides")
	if err == nil || errors.Is(err, teacher.ErrRefused) || !strings.Contains(err.Error(), "no answer within 50ms") {
		t.Errorf("error %v, want one that names the patience", err)
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := connect(t, s.URL, "", time.Minute).Lessons(gone, "tides"); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v for a caller who left, want context.Canceled", err)
	}
}

func TestTeacherThatIsNotThere(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	if _, err := connect(t, s.URL, "", time.Minute).Lessons(t.Context(), "tides"); !errors.Is(err, teacher.ErrAway) {
		t.Errorf("error %v, want one that wraps ErrAway", err)
	}
}

func TestTeacherURL(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]bool{
		"http://localhost:11434/v1": true, "https://api.openai.com/v1": true,
		"": false, "localhost:11434": false, "ftp://host/v1": false, "https://": false, "https://me:secret@host/v1": false, "https://host/v1?x=1": false,
	} {
		if _, err := teacher.CheckURL(url); (err == nil) != want {
			t.Errorf("CheckURL(%q) = %v", url, err)
		}
	}
}
