// Package teachertest stands in for a large language model: a server that
// speaks the chat API of OpenAI and says what a test lets it say.
package teachertest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/sashabaranov/go-openai"
)

// Key is what the server wants as a bearer token.
const Key = "teacher-key"

// Server is a model that says Text.
type Server struct {
	// URL is the base of its API.
	URL string

	mu     sync.Mutex
	text   string
	finish openai.FinishReason
	status int
	asked  []openai.ChatCompletionRequest
}

// Start begins to serve until the test ends.
func Start(t testing.TB) *Server {
	s := &Server{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/chat/completions", s.complete)
	h := httptest.NewServer(mux)
	t.Cleanup(h.Close)
	s.URL = h.URL + "/v1"
	return s
}

// Says makes the model say text from now on, and stop for the reason finish.
func (s *Server) Says(text string, finish openai.FinishReason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text, s.finish, s.status = text, finish, http.StatusOK
}

// Fails makes the server answer with an HTTP status from now on.
func (s *Server) Fails(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = status
}

// Asked are the requests so far, those that failed too.
func (s *Server) Asked() []openai.ChatCompletionRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]openai.ChatCompletionRequest(nil), s.asked...)
}

func (s *Server) complete(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var asked openai.ChatCompletionRequest
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		refuse(w, http.StatusBadRequest, "the request is not JSON: "+err.Error())
		return
	}
	s.asked = append(s.asked, asked)
	switch {
	case r.Header.Get("Authorization") != "Bearer "+Key:
		refuse(w, http.StatusUnauthorized, "wrong key")
	case s.status >= http.StatusBadRequest:
		refuse(w, s.status, http.StatusText(s.status))
	default:
		write(w, openai.ChatCompletionResponse{
			Object: "chat.completion", Model: asked.Model,
			Choices: []openai.ChatCompletionChoice{{
				Message:      openai.ChatCompletionMessage{Role: openai.ChatMessageRoleAssistant, Content: s.text},
				FinishReason: s.finish,
			}},
		})
	}
}

func refuse(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(openai.ErrorResponse{Error: &openai.APIError{Message: message, Type: "error"}})
}

func write(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}
